"""The DeepFM of `headrace bench deepfm` in PyTorch, written the natural way: sparse gradients and Adagrad.

    python3 -c "$(cat torch_deepfm.py)" BATCH SECONDS THREADS ps|direct

Says "ready VERSION" once data, model and warm-up are done, or "absent WHY". Then, for each line that comes,
trains for SECONDS and answers with the median step in seconds, the steps and the seconds they took. Ends with its input.
`direct` is forward and backward alone: no step of the optimizer.
"""

import os
import sys
import time

batch, seconds, threads = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
updates = sys.argv[4] == "ps"
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[library + "_NUM_THREADS"] = str(threads)
os.environ["OMP_WAIT_POLICY"] = "passive"  # else OpenMP's threads spin and take the cores from OpenBLAS's

try:
    import numpy as np
    import torch
except Exception as why:
    print("absent", " ".join(str(why).split()), flush=True)
    sys.exit()

FIELDS, DIM, ROWS, NUMBERS, SAMPLES = 26, 16, 1_000_000, 13, 200_000


def mix64(x):
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def make_samples():
    random = np.random.default_rng(7)
    weights = np.arange(1, 1_000_001) ** -1.05
    cdf = np.cumsum(weights) / weights.sum()
    ranks = np.minimum(np.searchsorted(cdf, random.random((SAMPLES, FIELDS))), 999_999).astype(np.uint64)
    ids = mix64(ranks * np.uint64(FIELDS) + np.arange(FIELDS, dtype=np.uint64)) % np.uint64(ROWS)
    numbers = random.random((SAMPLES, NUMBERS), dtype=np.float32)
    labels = (random.random(SAMPLES) < 0.25).astype(np.float32)
    return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(numbers), torch.from_numpy(labels)


class DeepFM(torch.nn.Module):
    def __init__(self):
        super().__init__()
        # First-order weight and vector in one table: a quarter faster than two, each with its own sort.
        self.rows = torch.nn.Embedding(ROWS, 1 + DIM, sparse=True)
        torch.nn.init.uniform_(self.rows.weight, -0.01, 0.01)
        torch.nn.init.zeros_(self.rows.weight[:, 0])
        self.bias = torch.nn.Parameter(torch.zeros(1))
        self.mlp = torch.nn.Sequential(
            torch.nn.Linear(FIELDS * DIM + NUMBERS, 256),
            torch.nn.ReLU(),
            torch.nn.Linear(256, 128),
            torch.nn.ReLU(),
            torch.nn.Linear(128, 1),
        )

    def forward(self, ids, numbers):
        rows = self.rows(ids)
        first, v = rows[:, :, 0].sum(1), rows[:, :, 1:]
        second = 0.5 * (v.sum(1).square() - v.square().sum(1)).sum(1)
        deep = self.mlp(torch.cat([v.flatten(1), numbers], 1)).squeeze(1)
        return self.bias + first + second + deep


def blas():
    with open("/proc/self/maps") as maps:
        return {os.path.realpath(line.split()[-1]) for line in maps if "blas" in line}


if any("/blas/libblas.so" in library for library in blas()):
    print("absent PyTorch has the reference BLAS, many times slower than any in use: install libopenblas0-pthread")
    sys.exit()

torch.set_num_threads(threads)
torch.manual_seed(7)
ids, numbers, labels = make_samples()
model = DeepFM()
optimizer = torch.optim.Adagrad(model.parameters(), lr=0.01)
lost = torch.nn.BCEWithLogitsLoss()
at = 0


def step():
    global at
    if at + batch > SAMPLES:
        at = 0
    these = slice(at, at + batch)
    at += batch
    optimizer.zero_grad(set_to_none=True)
    loss = lost(model(ids[these], numbers[these]), labels[these])
    loss.backward()
    if updates:
        optimizer.step()


def train(seconds, least):
    times = []
    begin = time.perf_counter()
    while len(times) < least or time.perf_counter() - begin < seconds:
        from_ = time.perf_counter()
        step()
        times.append(time.perf_counter() - from_)
    return np.median(times), len(times), time.perf_counter() - begin


train(min(seconds, 1), 5)
names = sorted(os.path.basename(library) for library in blas() if "blas/lib" not in library)
print("ready PyTorch", torch.__version__, *names, flush=True)
for _ in sys.stdin:
    print(*train(seconds, 3), flush=True)
