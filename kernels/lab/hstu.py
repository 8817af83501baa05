"""HSTU's pointwise attention (headrace_attention.h): cases and the plain definition in 64-bit floats. Nothing cancels as in softmax, so
errors are measured by the results themselves."""

import math
from operator import mul

from attention import CAUSAL, OUTPUT_ERROR, WINDOWED, Attention, Shape, add, norm, poisoned, within
from table import Array, Case, Expect, Operator, both
from values import normals

SHAPES = (  # shape, normaliser
    (Shape([1, 5, 0, 17, 33], 2, 2, 16, CAUSAL), 0.0),
    (Shape([64, 3, 65], 1, 1, 32, CAUSAL, gap=8), 70.0),
    (Shape([40, 70], 2, 2, 16, CAUSAL | WINDOWED, 8, 3, table=20), 0.0),
    (Shape([130], 1, 1, 64), 0.0),
    (Shape([20, 31], 1, 1, 128, CAUSAL, table=3), 31.0),
)


class Hstu(Attention):
    """One batch; the weights are SiLU(score) / n."""

    def __init__(self, draw, shape, form, normaliser):
        super().__init__(draw, shape, form)
        self.normaliser = normaliser

    def scores(self, begin, length, head):
        """For each query: the keys it sees and their scores."""
        k = self.heads_of(self.k, begin, length, head, self.shape.heads)
        for i in range(length):
            q = self.cell(self.q, begin + i, head, self.shape.heads)
            seen = [j for j in range(length) if self.shape.sees(i, j)]
            yield i, seen, [self.score(q, k[j], i, j, head) for j in seen]

    def probabilities(self, begin, length, head):
        n = self.normaliser or length
        for i, seen, scores in self.scores(begin, length, head):
            yield i, seen, [s * sigmoid(s) / n for s in scores], 0.0

    def backward(self):
        """dq, dk, dv and the table's gradient."""
        s = self.shape
        made = [[0.0] * n for n in (len(self.q), len(self.k), len(self.v), len(self.table or []))]
        size = [list(x) for x in made]
        for begin, length, head in self.runs():
            k, v = (self.heads_of(x, begin, length, head, s.heads) for x in (self.k, self.v))
            n = self.normaliser or length
            for i, seen, scores in self.scores(begin, length, head):
                at = ((begin + i) * s.heads + head) * s.dim
                q, d_o = self.q[at : at + s.dim], self.d_o[at : at + s.dim]
                for j, score in zip(seen, scores):
                    sig = sigmoid(score)
                    ds = sum(map(mul, d_o, v[j])) / n * sig * (1 + score * (1 - sig))
                    to = ((begin + j) * s.heads + head) * s.dim
                    add(made[0], size[0], at, self.scale * ds, 0.0, k[j])
                    add(made[1], size[1], to, self.scale * ds, 0.0, q)
                    add(made[2], size[2], to, score * sig / n, 0.0, d_o)
                    if self.table:
                        add(made[3], size[3], self.distance_at(i, j, head), ds, 0.0, [1.0])
        return made

    def fields(self):
        fields = super().fields()
        del fields["kv_heads"]
        fields.update(value_dim=self.shape.dim, normaliser=self.normaliser)
        return fields


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def batches(draw, backend):
    for shape, normaliser in SHAPES:
        for form in ("f32",) if backend == "cpu" else ("bf16", "f16"):
            yield f"{form}, n {normaliser}, {shape}", Hstu(draw, shape, form, normaliser)


def hstu_cases(draw, backend):
    for text, batch in batches(draw, backend):
        batch.forward()
        heads, bound = batch.shape.heads, OUTPUT_ERROR[batch.form] * norm(batch.o)
        yield Case(text, dict(batch.fields(), o=poisoned(batch, heads)), {"o": within(batch, batch.o, heads, bound)})


def hstu_backward_cases(draw, backend):
    for text, batch in batches(draw, backend):
        heads, stride, forward = batch.shape.heads, batch.strides()[0], batch.fields()
        made, share = batch.backward(), OUTPUT_ERROR[batch.form]
        fields = dict(forward=forward, d_o=Array(batch.form, batch.laid(batch.d_o, heads)), d_o_stride=stride)
        expect = {}
        for name, exact in zip(("dq", "dk", "dv"), made):
            fields.update({name: poisoned(batch, heads), f"{name}_stride": stride})
            expect[name] = within(batch, exact, heads, share * norm(exact))
        if batch.table:
            before = normals(draw, len(batch.table))
            fields["bias_table_gradient"] = both("f32", before)
            after = [a + b for a, b in zip(made[3], before)]
            expect["bias_table_gradient"] = Expect(after, row=max(2, len(after)), bounds=[1e-5 * norm(after)])
        yield Case(text, fields, expect)


OPERATORS = [Operator("hstu", hstu_cases), Operator("hstu_backward", hstu_backward_cases)]
