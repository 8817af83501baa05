#!/usr/bin/env python3
"""check_registers.py FOLDER [--write]: what ptxas said of each CUDA kernel (cmake/keep_ptxas leaves it beside the objects)
against kernels/cuda_registers.tsv: no kernel spills, none needs more registers than its line allows, each has a line and each
line a kernel. --write makes the table of what was found."""

import pathlib
import re
import subprocess
import sys

TABLE = pathlib.Path(__file__).parent.parent / "kernels" / "cuda_registers.tsv"
HEAD = "# Registers a thread of each kernel may need, by target: .ci/check_cuda fails above. New ones: .ci/check_registers.py FOLDER --write.\n"
COMPILING = re.compile(r"Compiling entry function '(\S+)' for '(\S+)'")
SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")


def demangled(names):
    """Kernel names without namespaces of ours, result and parameters, such as quantize_rows_kernel<2u>."""
    out = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout.splitlines()
    return {name: short(text) for name, text in zip(names, out)}


def short(text):
    text = re.sub(r"\(anonymous namespace\)::|headrace::kernels::(device::)?|^void ", "", text)
    depth = 0
    for i, c in enumerate(text):  # the parameters begin at the first parenthesis outside <>
        depth += (c == "<") - (c == ">")
        if c == "(" and depth == 0:
            return text[:i]
    return text


def found(folder):
    """{(mangled name, target): (registers, spilled bytes, stack bytes)}."""
    kernels = {}
    for path in sorted(folder.rglob("*.ptxas")):
        at, spilled, stack = None, 0, 0
        for line in path.read_text().splitlines():
            if match := COMPILING.search(line):
                at, spilled, stack = match.groups(), 0, 0
            elif match := SPILLS.search(line):
                stack, spilled = int(match[1]), int(match[2]) + int(match[3])
            elif (match := REGISTERS.search(line)) and at:
                kernels[at] = (int(match[1]), spilled, stack)
                at = None
    return kernels


def shares_registers(folder):
    """Mangled names of kernels whose warps hand registers to each other (setmaxnreg, *_cuda_90a.cu): 128 x 40 + 256 x 232 are
    what 384 threads have at 168. With fewer the second group waits for ever."""
    files = [path for path in folder.rglob("*.ptxas") if "_cuda_90a.cu" in path.name]
    return {name for path in files for name, _ in COMPILING.findall(path.read_text())}


def is_ours(name):
    """CUB's kernels are as they are."""
    return "headrace" in name and "3cub" not in name


def main():
    folder = pathlib.Path(sys.argv[1])
    kernels = {key: what for key, what in found(folder).items() if is_ours(key[0])}
    if not kernels:
        sys.exit("Error: no ptxas output in " + sys.argv[1])
    names = demangled(sorted({name for name, _ in kernels}))
    used = {}
    for (name, target), what in kernels.items():
        key = (names[name], target)
        used[key] = max(used.get(key, (0, 0, 0)), what)
    if "--write" in sys.argv:
        lines = [f"{kernel}\t{target}\t{(registers + 7) // 8 * 8}\n" for (kernel, target), (registers, _, _) in sorted(used.items())]
        TABLE.write_text(HEAD + "kernel\tarch\tlimit\n" + "".join(lines))
    limits = {}
    for line in TABLE.read_text().splitlines():
        if not line.startswith("#") and not line.startswith("kernel\t"):
            kernel, target, limit = line.split("\t")
            limits[kernel, target] = int(limit)
    wrong = []
    for name, target in sorted(key for key in kernels if key[0] in shares_registers(folder)):
        if (kernels[name, target][0] + 7) // 8 * 8 != 168:
            wrong.append(f"{names[name]} needs {kernels[name, target][0]} registers for {target}: setmaxnreg counts on 168")
    for (kernel, target), (registers, spilled, stack) in sorted(used.items()):
        if spilled:
            wrong.append(f"{kernel} spills {spilled} bytes for {target}")
        if (kernel, target) not in limits:
            wrong.append(f"{kernel} for {target} ({registers} registers) has no line in {TABLE.name}")
        elif registers > limits[kernel, target]:
            wrong.append(f"{kernel} needs {registers} registers for {target}, its line allows {limits[kernel, target]}")
    wrong += [f"{kernel} for {target} stands in {TABLE.name} and is not built" for kernel, target in sorted(limits.keys() - used.keys())]
    for line in wrong:
        print("Error: " + line)
    if wrong:
        sys.exit(1)
    most = max(registers for registers, _, _ in used.values())
    print(f"{len(used)} kernels: no spills, {most} registers at most, all within {TABLE.name}")


if __name__ == "__main__":
    main()
