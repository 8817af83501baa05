"""Experts' own nets over their own rows (headrace_moe.h): cases and references in 64-bit floats."""

import math
from operator import mul

from attention import DTYPES, norm
from table import Array, Case, Expect, Operator, both, out
from values import normals, rounded

SWIGLU = 1
ERROR = {"f32": 1e-5, "bf16": 4e-3}  # relative, in the 2-norm: of the forward pass
GRADIENT_ERROR = {"f32": 1e-5, "bf16": 1e-2}
SHAPES = (  # rows of each expert, dim, hidden; multiples of 8 as the CUDA library asks
    ([3, 0, 5], 8, 16),
    ([1], 24, 8),
    ([17, 1, 0, 40], 16, 40),
    ([66, 9], 72, 136),
    ([130, 0, 70], 24, 16),  # enough rows for the products of sm_90a
    ([0, 0], 8, 8),
)


def product(x, w, across):
    """x [n, k] times w [k, m], flat; `across`: w is [m, k]."""
    n, k = len(x), len(x[0]) if x else 0
    columns = w if across else list(zip(*w))
    return [[sum(map(mul, row, column)) for column in columns] for row in x] if n and k else [[] for _ in range(n)]


def matrix(data, rows, columns, begin=0):
    return [data[begin + r * columns : begin + (r + 1) * columns] for r in range(rows)]


def flat(rows):
    return [x for row in rows for x in row]


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


class Net:
    """One batch. Weights of an expert without rows are NaN: they are not to be read."""

    def __init__(self, draw, form, counts, dim, hidden, flags):
        self.form, self.counts, self.dim, self.hidden, self.flags = form, counts, dim, hidden, flags
        self.offsets = [sum(counts[:e]) for e in range(len(counts) + 1)]
        self.rows, size = self.offsets[-1], dim * hidden
        self.x, self.dy = (normals(draw, self.rows * dim, 1.0, form) for _ in range(2))
        self.w1, self.w3, self.w2 = ([x for n in counts for x in (normals(draw, size, spread, form) if n else [math.nan] * size)]
                                     for spread in (dim**-0.5, dim**-0.5, hidden**-0.5))

    def experts(self):
        """Of each expert with rows: their numbers, and its matrices w1, w3 [dim, hidden], w2 [hidden, dim]."""
        for e, count in enumerate(self.counts):
            if count:
                at = e * self.dim * self.hidden
                yield e, self.offsets[e], count, (matrix(self.w1, self.dim, self.hidden, at), matrix(self.w3, self.dim, self.hidden, at),
                                                  matrix(self.w2, self.hidden, self.dim, at))

    def forward(self):
        """first, third and y."""
        first, third, y = [], [], []
        for _, begin, count, (w1, w3, w2) in self.experts():
            x = matrix(self.x, count, self.dim, begin * self.dim)
            a, b = product(x, w1, False), product(x, w3, False)
            h = [[u * sigmoid(u) * v for u, v in zip(r, s)] for r, s in zip(a, b)] if self.flags else [[max(u, 0.0) for u in r] for r in a]
            first, third, y = first + flat(a if self.flags else h), third + flat(b), y + flat(product(h, w2, False))
        return first, third, y

    def backward(self, first, third):
        """Gradients of x, w1, w3 and w2, from first and third as they lie in memory."""
        size = len(self.w1)
        dx, dw1, dw3, dw2 = [], [0.0] * size, [0.0] * size, [0.0] * size
        for e, begin, count, (w1, w3, w2) in self.experts():
            x, dy = (matrix(data, count, self.dim, begin * self.dim) for data in (self.x, self.dy))
            a, b = (matrix(data, count, self.hidden, begin * self.hidden) for data in (first, third))
            dh = product(dy, w2, True)
            if self.flags:
                h = [[u * sigmoid(u) * v for u, v in zip(r, s)] for r, s in zip(a, b)]
                slope = lambda u: sigmoid(u) * (1.0 + u * (1.0 - sigmoid(u)))
                da = [[d * v * slope(u) for d, u, v in zip(*line)] for line in zip(dh, a, b)]
                db = [[d * u * sigmoid(u) for d, u in zip(*line)] for line in zip(dh, a)]
                dx += [p + q for p, q in zip(flat(product(da, w1, True)), flat(product(db, w3, True)))]
                put(dw3, e * self.dim * self.hidden, product(turned(x), db, False))
            else:
                h, da = a, [[d if u > 0.0 else 0.0 for d, u in zip(*line)] for line in zip(dh, a)]
                dx += flat(product(da, w1, True))
            put(dw1, e * self.dim * self.hidden, product(turned(x), da, False))
            put(dw2, e * self.dim * self.hidden, product(turned(h), dy, False))
        return dx, dw1, dw3, dw2

    def fields(self):
        fields = dict(flags=self.flags, rows=self.rows, experts=len(self.counts), dim=self.dim, hidden=self.hidden, dtype=DTYPES[self.form],
                      offsets=Array("u32", self.offsets), x=Array(self.form, self.x), w1=Array(self.form, self.w1),
                      w2=Array(self.form, self.w2))
        return dict(fields, w3=Array(self.form, self.w3)) if self.flags else fields


def turned(rows):
    return [list(column) for column in zip(*rows)]


def put(data, at, rows):
    values = flat(rows)
    data[at : at + len(values)] = values


def nets(draw, backend):
    for counts, dim, hidden in SHAPES:
        for flags in (0, SWIGLU):
            net = Net(draw, "f32" if backend == "cpu" else "bf16", counts, dim, hidden, flags)
            yield f"{net.form}, rows {counts}, {dim} x {hidden}, {'swiglu' if flags else 'relu'}", net


def grouped_ffn_cases(draw, backend):
    for text, net in nets(draw, backend):
        first, third, y = net.forward()
        error = ERROR[net.form]
        fields = dict(net.fields(), first=out(net.form, len(first)), y=out("f32", len(y)))
        expect = {"first": Expect(first, norm=error), "y": Expect(y, norm=error)}
        if net.flags:
            fields["third"], expect["third"] = out(net.form, len(third)), Expect(third, norm=error)
        yield Case(text, fields, expect)


def grouped_ffn_backward_cases(draw, backend):
    for text, net in nets(draw, backend):
        first, third, _ = (rounded(net.form, data) for data in net.forward())
        made, error, size = net.backward(first, third), GRADIENT_ERROR[net.form], len(net.w1)
        fields = dict(net.fields(), first=Array(net.form, first), y_gradients=Array(net.form, net.dy), x_gradients=out("f32", len(made[0])))
        expect = {"x_gradients": Expect(made[0], norm=error)}
        if net.flags:
            fields["third"] = Array(net.form, third)
        for name, gradient in (("w1", made[1]), ("w3", made[2]), ("w2", made[3])):
            if name == "w3" and not net.flags:
                continue
            before = normals(draw, size, 0.25)
            allowed = error * norm(gradient) + 1e-6 * norm(before)
            fields[f"{name}_gradients"] = both("f32", before)
            expect[f"{name}_gradients"] = Expect([a + b for a, b in zip(before, gradient)], bounds=[allowed], row=max(2, size))
        yield Case(text, fields, expect)


OPERATORS = [
    Operator("grouped_ffn", grouped_ffn_cases),
    Operator("grouped_ffn_backward", grouped_ffn_backward_cases),
]
