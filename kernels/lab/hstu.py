"""HSTU's pointwise attention, and two sides of an attention joined (headrace_attention.h): cases and references in 64-bit floats."""

import math
from operator import mul

import values
from attention import CAUSAL, DTYPES, OUTPUT_ERROR, WINDOWED, Attention, Shape, add, norm, poisoned, within
from table import Array, Case, Expect, Operator, both
from values import normals, single

SHAPES = (  # and the normaliser
    (Shape([1, 6, 0, 19, 40], 2, 2, 16, CAUSAL), 0.0),
    (Shape([64, 3, 65], 2, 2, 32, CAUSAL, gap=8, table=9), 100.0),
    (Shape([90], 1, 1, 64, CAUSAL | WINDOWED, 20, 4), 0.0),
    (Shape([33, 20], 2, 2, 16, 0, table=4), 50.0),
    (Shape([45], 1, 1, 128, WINDOWED, 7, 2), 0.0),
)


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


class Pointwise(Attention):
    """The same batch with SiLU in the place of softmax: weights add up to nothing in particular."""

    def __init__(self, draw, shape, form, normaliser):
        super().__init__(draw, shape, form)
        self.normaliser = normaliser

    def pairs(self):
        """Offsets of the query's and the key's vectors, the pair's score, n, and where its bias stands."""
        s = self.shape
        for begin, length, head in self.runs():
            for i in range(length):
                at = ((begin + i) * s.heads + head) * s.dim
                for j in range(length):
                    if s.sees(i, j):
                        to = ((begin + j) * s.heads + head) * s.dim
                        score = self.score(self.q[at : at + s.dim], self.k[to : to + s.dim], i, j, head)
                        yield at, to, score, self.normaliser or length, self.distance_at(i, j, head)

    def forward(self):
        """o, and the same with magnitudes in its sums."""
        self.size = [0.0] * len(self.o)
        for at, to, s, n, _ in self.pairs():
            weight = s * sigmoid(s) / n
            add(self.o, self.size, at, weight, abs(weight), self.v[to : to + self.shape.dim])

    def backward(self):
        sizes = len(self.q), len(self.k), len(self.v), len(self.table or [])
        made, size, d = [[0.0] * n for n in sizes], [[0.0] * n for n in sizes], self.shape.dim
        for at, to, s, n, place in self.pairs():
            q, k, v, d_o = self.q[at : at + d], self.k[to : to + d], self.v[to : to + d], self.d_o[at : at + d]
            slope = sigmoid(s) * (1.0 + s * (1.0 - sigmoid(s))) / n
            ds, ds_size = slope * sum(map(mul, d_o, v)), abs(slope) * sum(abs(a * b) for a, b in zip(d_o, v))
            add(made[0], size[0], at, self.scale * ds, self.scale * ds_size, k)
            add(made[1], size[1], to, self.scale * ds, self.scale * ds_size, q)
            add(made[2], size[2], to, s * sigmoid(s) / n, abs(s) * sigmoid(s) / n, d_o)
            if self.table:
                add(made[3], size[3], place, ds, ds_size, [1.0])
        return made, size

    def fields(self):
        fields = super().fields()
        del fields["kv_heads"]
        return dict(fields, value_dim=self.shape.dim, normaliser=self.normaliser)


def batches(draw, backend):
    for shape, normaliser in SHAPES:
        for form in ("f32",) if backend == "cpu" else ("bf16", "f16"):
            batch = Pointwise(draw, shape, form, normaliser)
            batch.forward()
            yield f"{form}, {shape}, n {normaliser}", batch


def hstu_cases(draw, backend):
    for text, batch in batches(draw, backend):
        allowed = OUTPUT_ERROR[batch.form] * norm(batch.size)
        yield Case(text, dict(batch.fields(), o=poisoned(batch, batch.shape.heads)),
                   {"o": within(batch, batch.o, batch.shape.heads, allowed)})


def hstu_backward_cases(draw, backend):
    for text, batch in batches(draw, backend):
        s, (stride, _) = batch.shape, batch.strides()
        made, size = batch.backward()
        allowed = [OUTPUT_ERROR[batch.form] * norm(x) for x in size]
        forward = dict(batch.fields(), o=Array(batch.form, batch.laid(values.rounded(batch.form, batch.o), s.heads)))
        fields = dict(forward=forward, d_o=Array(batch.form, batch.laid(batch.d_o, s.heads)), d_o_stride=stride)
        expect = {}
        for at, name in enumerate(("dq", "dk", "dv")):
            fields.update({name: poisoned(batch, s.heads), f"{name}_stride": stride})
            expect[name] = within(batch, made[at], s.heads, allowed[at])
        if batch.table:
            before = normals(draw, len(batch.table))
            fields["bias_table_gradient"] = both("f32", before)
            expect["bias_table_gradient"] = Expect([a + b for a, b in zip(made[3], before)], row=max(2, len(before)),
                                                   bounds=[allowed[3] + 1e-6 * norm(before)])
        yield Case(text, fields, expect)


def merge_cases(draw, backend):
    """Sides of like and of unlike weight, of none, and both of none."""
    for rows, dim in ((1, 1), (7, 16), (40, 33), (5, 128), (0, 8)):
        for form in ("f32",) if backend == "cpu" else ("bf16", "f16"):
            sides = [normals(draw, rows * dim, 1.0, form) for _ in range(2)]
            lse = [[draw.choice([single(draw.gauss(0, 3)), single(draw.gauss(0, 3)), -math.inf]) for _ in range(rows)] for _ in range(2)]
            o, sums, bounds, u = [], [], ([], []), {"f32": 0.0, "f16": 2.0**-11, "bf16": 2.0**-8}[form]
            for r in range(rows):
                top = max(lse[0][r], lse[1][r])
                weights = [math.exp(side[r] - top) if math.isfinite(top) else 0.0 for side in lse]
                total, apart = sum(weights), abs(lse[0][r] - lse[1][r])
                share = [w / total if total else 0.0 for w in weights]
                sums.append(top + math.log(total) if total else -math.inf)
                near = 2.0**-24 * (8 + (apart if math.isfinite(apart) else 0.0))
                bounds[1].append(near + 2.0**-23 * abs(sums[-1]) if total else 0.0)
                for c in range(r * dim, (r + 1) * dim):
                    o.append(share[0] * sides[0][c] + share[1] * sides[1][c])
                    bounds[0].append(near * (abs(sides[0][c]) + abs(sides[1][c])) + u * abs(o[-1]) + (2.0**-25 if u else 0.0))
            fields = dict(dtype=DTYPES[form], dim=dim, rows=rows, o=both(form, sides[0]), lse=both("f32", lse[0]),
                          other_o=Array(form, sides[1]), other_lse=Array("f32", lse[1]))
            yield Case(f"{form}, {rows} x {dim}", fields, {"o": Expect(o, bounds=bounds[0]), "lse": Expect(sums, bounds=bounds[1])})


OPERATORS = [
    Operator("merge_attention", merge_cases),
    Operator("hstu", hstu_cases),
    Operator("hstu_backward", hstu_backward_cases),
]
