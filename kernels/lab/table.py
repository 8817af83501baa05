"""Words of the table of operators: arrays, cases with their reference, benches. A new operator is one `Operator` in its family's
file (rows.py, dense.py, attention.py, moe.py), and nowhere else."""

import dataclasses
import math
import typing

import values


@dataclasses.dataclass
class Array:
    """An argument in memory. `role`: "in" is read, "out" is written (poisoned before), "both" has values and is written.

    data: numbers, or bytes as they lie; for "out" the count of elements."""

    form: str
    data: typing.Any
    role: str = "in"
    shift: int = 0  # elements between the allocation's start and the array's: an odd address

    def size(self):
        return self.data if isinstance(self.data, int) else len(self.encoded()) // values.WIDTH[self.form]

    def encoded(self):
        return self.data if isinstance(self.data, bytes) else values.encode(self.form, self.data)


def out(form, size, shift=0):
    return Array(form, size, "out", shift)


def both(form, data, shift=0):
    return Array(form, data, "both", shift)


@dataclasses.dataclass
class Expect:
    """What an output should be, and what is allowed: the number format's very bits, a relative error in the 2-norm, or a bound
    for each element (with `row`: for the 2-norm of each row of so many). NaN passes only where the bits of NaN are expected, an
    infinity only as itself."""

    numbers: list
    norm: float = None
    bounds: list = None
    row: int = 1
    skip: int = 0  # elements at the end that may be anything

    def fault(self, form, data):
        """"" or what is wrong with the bytes of an output; and the error as a share of what is allowed."""
        data = data[: len(data) - self.skip * values.WIDTH[form]]
        got = values.decode(form, data)
        if len(got) != len(self.numbers):
            return f"{len(got)} elements for {len(self.numbers)}", math.inf
        if self.norm is None and self.bounds is None:
            return self._bits_fault(form, data, got)
        odd = [i for i, (g, w) in enumerate(zip(got, self.numbers)) if g != w and not math.isfinite(g - w)]
        if odd:
            return f"[{odd[0]}] = {got[odd[0]]} for {self.numbers[odd[0]]}, and {len(odd) - 1} more not finite", math.inf
        errors = [0.0 if g == w else abs(g - w) for g, w in zip(got, self.numbers)]
        return self._norm_fault(errors) if self.bounds is None else self._bounds_fault(got, errors)

    def _bits_fault(self, form, data, got):
        wanted = values.encode(form, self.numbers)
        if data == wanted:
            return "", 0.0
        width = values.WIDTH[form]
        wrong = [i for i in range(len(got)) if data[i * width : (i + 1) * width] != wanted[i * width : (i + 1) * width]]
        return f"[{wrong[0]}] = {got[wrong[0]]} for {self.numbers[wrong[0]]}, and {len(wrong) - 1} more", math.inf

    def _norm_fault(self, errors):
        size = math.sqrt(math.fsum(w * w for w in self.numbers if math.isfinite(w)))
        error = math.sqrt(math.fsum(e * e for e in errors))
        allowed = self.norm * size
        share = error / allowed if allowed else (0.0 if error == 0.0 else math.inf)
        return ("" if share <= 1.0 else f"error {error:.3g} in the 2-norm, {allowed:.3g} allowed"), share

    def _bounds_fault(self, got, errors):
        if self.row > 1:
            errors = [math.sqrt(math.fsum(e * e for e in errors[at : at + self.row])) for at in range(0, len(errors), self.row)]
            got = self.numbers = [f"row {r}" for r in range(len(errors))]
        shares = [e / b if b else (0.0 if e == 0.0 else math.inf) for e, b in zip(errors, self.bounds)]
        share = max(shares, default=0.0)
        if share <= 1.0:
            return "", share
        at = shares.index(share)
        return f"[{at}] = {got[at]} for {self.numbers[at]}, {self.bounds[at]:.3g} allowed", share


@dataclasses.dataclass
class Case:
    """One call: the struct's fields (numbers and Arrays) and what the written arrays should hold. A field of fields is a struct
    in host memory; its arrays are called "outer.inner". prepare(library, fields) runs first, where a call of the library is
    part of the inputs."""

    text: str
    fields: dict
    expect: dict
    prepare: typing.Callable = None


@dataclasses.dataclass
class Operator:
    """headrace_NAME: `cases(draw)` yields Cases of small sizes from a random.Random; the reference is plain Python."""

    name: str
    cases: typing.Callable


@dataclasses.dataclass
class Bench:
    """What one target of the issue asks for. `run(bench_run)` returns a list of rows (bench.Row); `needs` names the entries that
    the side called ours calls: without them peers alone are measured."""

    name: str
    needs: tuple
    run: typing.Callable
