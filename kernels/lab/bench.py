#!/usr/bin/env python3
"""bench.py LIBRARY --seed N [--only bench,op,…] [--device cpu --small]: ours beside PyTorch, in one process. Lines of
JSON: the ceilings first, then each bench's rows as soon as they are there. --device cpu --small is a trial of the lab itself. Exit
status 1 where ours was wrong or a bench failed, 77 without torch."""

import argparse
import json
import sys
import time

import operators
from bench_run import BenchRun
from library import Library


def rows_of(bench, run):
    """A bench's rows as dicts; what it raises is its state."""
    try:
        return [row.line() for row in bench.run(run)]
    except Exception as error:  # noqa: BLE001: one bench must not end the others
        text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return [{"name": bench.name, "state": f"failed: {text}", "ratio": None, "target": None, "unit": "", "holds": None}]


def main():
    try:
        import torch
    except ImportError:
        print("skipped: this Python has no torch", file=sys.stderr)
        return 77
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    only = set(filter(None, given.only.split(",")))
    run = BenchRun(torch, Library(given.library), given.device, given.seed, given.small)
    print(json.dumps({"ceilings": run.measure_ceilings(), "torch": torch.__version__}), flush=True)
    bad = False
    for bench in operators.all_benches():
        if only and not only & {bench.name, *bench.needs}:
            continue
        began = time.monotonic()
        made = rows_of(bench, run)
        bad = bad or any(row["state"].startswith(("wrong", "failed")) for row in made)
        lost = any("CUDA error" in row["state"] or "status 7" in row["state"] for row in made)
        print(json.dumps({"bench": bench.name, "rows": made, "seconds": round(time.monotonic() - began, 2)}), flush=True)
        if lost:
            break  # the device answers nothing more in this process
        if run.cuda:
            torch.cuda.empty_cache()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
