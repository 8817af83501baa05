#!/usr/bin/env python3
"""check.py LIBRARY --seed N [--only op,…]: tests of every C entry against references in 64-bit arithmetic. One line of JSON for
each operator, as soon as it is done: a caller (run.py) goes on behind one that ended the process. No torch, no numpy."""

import argparse
import ctypes
import json
import random
import sys
import time

import operators
import values
from library import DEVICE_FAILED, Failed, Library

GUARD = b"\xa5" * 256  # before and behind every array: what a call writes beside its outputs shows here
POISON = b"\xff"  # NaN in every float format


class Placed:
    """An Array in the library's memory, between guards; alone in an allocation of its size where `guard` is empty."""

    def __init__(self, library, array, guard):
        self.library, self.array, self.guard = library, array, guard
        self.begin = len(guard) + array.shift * values.WIDTH[array.form]
        self.size = array.size() * values.WIDTH[array.form]
        self.start = library.new_memory(self.begin + self.size + len(guard))
        self.reset()

    def address(self):
        return (self.start or 0) + self.begin

    def reset(self):
        data = POISON * self.size if self.array.role == "out" else self.array.encoded()
        self.written = GUARD[:1] * self.begin + data + self.guard
        self.library.write(self.start, self.written)

    def look(self):
        """Bytes of the array now, and what is wrong: guards or an input that changed."""
        now = self.library.read(self.start, len(self.written))
        if now[: self.begin] != self.written[: self.begin] or now[self.begin + self.size :] != self.guard:
            return b"", "wrote beside it"
        if self.array.role == "in" and now != self.written:
            return b"", "is an input and changed"
        return now[self.begin : self.begin + self.size], ""


class CaseRun:
    """One case on one library: called twice from the same start, so that what differs from run to run shows."""

    def __init__(self, library, op, case, guard=GUARD):
        self.library, self.op, self.case, self.guard = library, op, case, guard
        if case.prepare:
            case.prepare(library, case.fields)
        self.inner = [name for name, field in case.fields.items() if isinstance(field, dict)]
        flat = [(name, field) for name, field in case.fields.items() if name not in self.inner]
        flat += [(f"{outer}.{name}", field) for outer in self.inner for name, field in case.fields[outer].items()]
        self.placed = {name: Placed(library, field, guard) for name, field in flat if hasattr(field, "role")}
        self.numbers = {name: field for name, field in flat if not hasattr(field, "role")}

    def run(self, once=False):
        """Faults as texts, and the largest share of what is allowed."""
        first, faults = self._once()
        if faults:
            return faults, float("inf")
        if not once:
            faults = self._again(first)
        share = 0.0
        for name, expect in self.case.expect.items():
            fault, used = expect.fault(self.placed[name].array.form, first[name])
            share = max(share, used)
            faults += [f"{name}: {fault}"] if fault else []
        return faults, share

    def _again(self, first):
        for placed in self.placed.values():
            placed.reset()
        second, faults = self._once()
        return faults + [f"{name}: other bits in the second run" for name in first if first[name] != second.get(name)]

    def free(self):
        for placed in self.placed.values():
            self.library.free_memory(placed.start)

    def _once(self):
        args, _keep = self._args()
        size = self.library.workspace_size(self.op, args)
        workspace = self._workspace(size)
        self.library.need(self.library.queue(self.op, args, None, workspace, size))
        self.library.wait()
        faults = self._workspace_fault(workspace, size)
        data = {}
        for name, placed in self.placed.items():
            data[name], fault = placed.look()
            faults += [f"{name}: {fault}"] if fault else []
        return {name: data[name] for name in self.case.expect}, faults

    def _args(self):
        """The struct, and the structs it points to: of the operator in front of _backward."""
        fields = {**self.numbers, **{name: placed.address() for name, placed in self.placed.items()}}
        inner = {outer: self.library.args(self.op.removesuffix("_backward"), **{
            name.split(".")[1]: value for name, value in fields.items() if name.startswith(f"{outer}.")}) for outer in self.inner}
        fields = {name: value for name, value in fields.items() if "." not in name}
        fields.update({outer: ctypes.addressof(struct) for outer, struct in inner.items()})
        return self.library.args(self.op, **fields), inner

    def _workspace(self, size):
        """Exactly as long as asked for, poisoned, guarded behind."""
        if size in (0, 2**64 - 1):
            return None
        at = self.library.new_memory(size + len(self.guard))
        self.library.write(at, POISON * size + self.guard)
        return at

    def _workspace_fault(self, at, size):
        if at is None:
            return []
        behind = self.library.read(at + size, len(self.guard))
        self.library.free_memory(at)
        return [] if behind == self.guard else ["workspace: wrote behind it"]


def check(library, operator, seed, once=False):
    """One operator: a dict for the report."""
    began, count, largest = time.monotonic(), 0, 0.0
    answer = {"op": operator.name, "state": "right", "seed": seed}
    if not library.has(operator.name):
        return {**answer, "state": "no entry", "cases": 0}
    try:
        for case in operator.cases(random.Random(f"{seed} {operator.name}"), library.backend):
            run = CaseRun(library, operator.name, case, b"" if once else GUARD)
            faults, share = run.run(once)
            run.free()
            count, largest = count + 1, max(largest, share)
            if faults:
                answer.update(state="wrong", text=f"{case.text}: {'; '.join(faults[:3])}")
                break
    except Failed as failed:
        answer.update(state="failed", text=str(failed), device_lost=failed.status == DEVICE_FAILED)
    return {**answer, "cases": count, "of_allowed": largest, "seconds": round(time.monotonic() - began, 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--once", action="store_true", help="for sanitizers: each case once, every array alone in its allocation, so that reads beside it are seen")
    given = parser.parse_args()
    library = Library(given.library)
    only = [name for name in given.only.split(",") if name]
    bad = 0
    for operator in operators.all_operators():
        if only and operator.name not in only:
            continue
        answer = check(library, operator, given.seed, given.once)
        bad += answer["state"] in ("wrong", "failed")
        print(json.dumps(answer), flush=True)
        if answer.get("device_lost"):
            break  # nothing more can be asked of this process
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
