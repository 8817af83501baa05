#!/usr/bin/env python3
"""clang-tidy over sources, several in one unit: most of its time goes into headers, which they share.

    .ci/tidy.py BUILD_FOLDER FILE…

A unit whose files cannot stand together (two constants of one name) is read in halves. Exits 1 when there is a finding.
"""
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

UNIT_FILES = 8
FOLDERS = "base|schemas|kernels|storage|ps|worker|serve|actors|cli"
ROOT = os.getcwd()


def commands(build):
    """Compile arguments of each file, without its own name and output."""
    with open(os.path.join(build, "compile_commands.json")) as listed:
        for entry in json.load(listed):
            arguments = shlex.split(entry["command"])
            kept, skip = [], False
            for argument in arguments[1:]:
                if skip or argument in ("-o", "-c"):
                    skip = argument == "-o"
                    continue
                if os.path.join(entry["directory"], argument) != os.path.join(entry["directory"], entry["file"]):
                    kept.append(argument)
            yield os.path.relpath(entry["file"], ROOT), entry["directory"], kept


def tidy(source, arguments, *more):
    run = subprocess.run(
        ["clang-tidy", "--quiet", f"--config-file={ROOT}/.clang-tidy", *more, source, "--", *arguments,
         "-Wno-unknown-warning-option"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    lines = [line for line in run.stdout.splitlines() if not re.match(r"\d+ warnings? generated", line)]
    return run.returncode, "\n".join(lines)


def stand_together(path, arguments):
    """Asks the compiler, which is several times faster."""
    return subprocess.run(["c++", "-fsyntax-only", "-w", path, *arguments], stderr=subprocess.DEVNULL, cwd=ROOT).returncode == 0


def read_unit(unit):
    files, arguments, scratch, name = unit
    if len(files) == 1:
        return tidy(os.path.join(ROOT, files[0]), arguments)
    path = os.path.join(scratch, f"unit{name}.cpp")
    with open(path, "w") as text:
        text.writelines(f'#include "{ROOT}/{file}"\n' for file in files)
    if stand_together(path, arguments):
        # The sources are headers of the unit, and are shown as such.
        return tidy(path, arguments, "--checks=-bugprone-suspicious-include",
                    rf"--header-filter=^{re.escape(ROOT)}/({FOLDERS})/.*\.(hpp|cpp)$")
    half = len(files) // 2
    parts = [read_unit((part, arguments, scratch, name + side)) for part, side in ((files[:half], "a"), (files[half:], "b"))]
    return max(code for code, _ in parts), "\n".join(said for _, said in parts if said)


def main(build, files):
    wanted = {os.path.normpath(file) for file in files}
    groups = defaultdict(list)
    for file, directory, arguments in commands(build):
        if file in wanted:
            wanted.discard(file)
            groups[os.path.dirname(file), directory, tuple(arguments)].append(file)
    if wanted:
        sys.exit("tidy: not compiled in " + build + ": " + " ".join(sorted(wanted)))
    with tempfile.TemporaryDirectory() as scratch:
        units = []
        for (_, _, arguments), members in sorted(groups.items()):
            for begin in range(0, len(members), UNIT_FILES):
                units.append((members[begin:begin + UNIT_FILES], list(arguments), scratch, str(len(units))))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(read_unit, units))
    for _, said in results:
        if said:
            print(said)
    print(f"tidy: {sum(len(unit[0]) for unit in units)} files in {len(units)} units")
    return max((code for code, _ in results), default=0)


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1], sys.argv[2:]) else 0)
