"""What the layers of `headrace bench attention` and `headrace bench moe` share in PyTorch: stands before a layer's own text.

    python3 -c "$(cat torch_layer.py torch_attention.py)" FOLDER SECONDS THREADS SIZE...

Reads the layer's inputs from files of float32 in FOLDER, takes a step, writes its outputs there and says "ready VERSION" after a
warm-up, or "absent WHY". Then, for each line that comes: "gemm" is answered with the GFLOP/s of a square product, any other with
the median step in seconds, the steps and the seconds they took, after SECONDS of them. Ends with its input.
"""

import os
import sys
import time

folder, seconds, threads = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
sizes = [int(size) for size in sys.argv[4:]]
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[library + "_NUM_THREADS"] = str(threads)
# Else OpenMP's threads, which wait by spinning, take the cores from OpenBLAS's: measured, half the speed with two threads.
os.environ["OMP_WAIT_POLICY"] = "passive"

try:
    import numpy as np
    import torch
except Exception as why:
    print("absent", " ".join(str(why).split()), flush=True)
    sys.exit()


def blas():
    with open("/proc/self/maps") as maps:
        return {os.path.realpath(line.split()[-1]) for line in maps if "blas" in line}


if any("/blas/libblas.so" in library for library in blas()):
    print("absent PyTorch has the reference BLAS, many times slower than any in use: install libopenblas0-pthread")
    sys.exit()

torch.set_num_threads(threads)


def read(name, *shape):
    return torch.from_numpy(np.fromfile(os.path.join(folder, name), dtype=np.float32).reshape(shape))


def median_time(step, seconds, least):
    times = []
    begin = time.perf_counter()
    while len(times) < least or time.perf_counter() - begin < seconds:
        from_ = time.perf_counter()
        step()
        times.append(time.perf_counter() - from_)
    return np.median(times), len(times), time.perf_counter() - begin


def gemm_rate(n=1024):
    a, b, c = torch.rand(n, n), torch.rand(n, n), torch.empty(n, n)
    return 2e-9 * n**3 / median_time(lambda: torch.mm(a, b, out=c), 0.2, 3)[0]


def serve(step, outputs, parameters):
    """`step()` goes forward and backward and gives y; `outputs(y)` is what is written, by name."""

    def fresh_step():
        for parameter in parameters:
            parameter.grad = None
        return step()

    for name, tensor in outputs(fresh_step()).items():
        tensor.detach().contiguous().numpy().tofile(os.path.join(folder, "pytorch_" + name))
    median_time(fresh_step, min(seconds, 1), 2)
    names = sorted(os.path.basename(library) for library in blas() if "blas/lib" not in library)
    print("ready PyTorch", torch.__version__, *names, flush=True)
    for line in sys.stdin:
        if line.strip() == "gemm":
            print(gemm_rate(), flush=True)
        else:
            print(*median_time(fresh_step, seconds, 3), flush=True)


