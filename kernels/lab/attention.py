"""Attention over ragged sequences (headrace_attention.h): cases and the plain definition, all of P, in 64-bit floats. The CPU library
computes in f32, the CUDA library in bf16 and f16; inputs are what the format holds, so that the reference has the same."""

import dataclasses
import math
from operator import mul

import values
from table import Array, Case, Expect, Operator, both, out
from values import normals, single

CAUSAL, WINDOWED = 1, 2
BETWEEN = 24576.0  # between tokens: another number there is an error that no bound allows
DTYPES = {"f32": 0, "f16": 2, "bf16": 3}
OUTPUT_ERROR = {"f32": 1e-5, "f16": 1.5 * 2.0**-11, "bf16": 1.5 * 2.0**-8}  # relative, of o
GRADIENT_ERROR = {"f32": 1e-6, "f16": 2.0**-11, "bf16": 2.0**-8}  # of the norm with magnitudes


@dataclasses.dataclass
class Shape:
    lengths: list
    heads: int
    kv_heads: int
    dim: int
    flags: int = 0
    window: int = 0
    globals: int = 0
    alibi: bool = False
    table: int = -1  # largest distance of the bias table, -1: none
    inactive: bool = False
    gap: int = 0  # of strides

    def tokens(self):
        return sum(self.lengths)

    def sees(self, i, j):
        causal = not self.flags & CAUSAL or j <= i
        if not self.flags & WINDOWED:
            return causal
        near = abs(i - j) < self.window or j < self.globals
        return causal and (near or (not self.flags & CAUSAL and i < self.globals))


SHAPES = (
    Shape([1, 5, 0, 17, 33], 2, 2, 16),
    Shape([64, 3, 65], 2, 1, 32, CAUSAL, gap=8),
    Shape([130], 1, 1, 64, CAUSAL),
    Shape([40, 70], 2, 2, 16, CAUSAL | WINDOWED, 8, 3),
    Shape([77], 2, 1, 16, WINDOWED, 5, 2),
    Shape([30, 12], 4, 2, 16, CAUSAL, alibi=True, gap=16),
    Shape([50, 9], 2, 2, 32, 0, table=6),
    Shape([20, 31, 8], 2, 2, 16, CAUSAL, table=3, inactive=True),
    Shape([9, 23], 2, 1, 16, table=0),
    Shape([66], 1, 1, 128, CAUSAL | WINDOWED, 1, 0),
    Shape([0, 1], 1, 1, 128, CAUSAL),
)

# Long tiles of each width, and more tiles than sm_90a's ring has stages: forward alone on a device, since the definition's time
# grows with the square of a length, and last, since what hangs there should hide nothing else.
LONG_SHAPES = (
    Shape([140], 1, 1, 16, CAUSAL),
    Shape([140], 1, 1, 32),
    Shape([40, 9], 1, 1, 64),
    Shape([390], 1, 1, 64),
    Shape([257], 1, 1, 128, table=30),
    Shape([300, 20, 140], 2, 1, 128, CAUSAL),
    Shape([520], 1, 1, 128, CAUSAL | WINDOWED, 70, 3),
)


class Attention:
    """One batch: inputs as their format holds them, outputs in 64 bits."""

    def __init__(self, draw, shape, form):
        self.shape, self.form = shape, form
        s, self.scale = shape, single(1 / math.sqrt(shape.dim))
        n = s.tokens()
        self.q, self.d_o = (normals(draw, n * s.heads * s.dim, 1.0, form) for _ in range(2))
        self.k, self.v = (normals(draw, n * s.kv_heads * s.dim, 1.0, form) for _ in range(2))
        self.slopes = [single(draw.uniform(0.01, 0.5)) for _ in range(s.heads)] if s.alibi else None
        self.table = normals(draw, s.heads * (2 * s.table + 1)) if s.table >= 0 else None
        self.active = [draw.randrange(2) for _ in range(len(s.lengths) * s.heads)] if s.inactive else None
        self.offsets = [0]
        for length in s.lengths:
            self.offsets.append(self.offsets[-1] + length)
        self.o, self.lse = [0.0] * len(self.q), [-math.inf] * (n * s.heads)

    def cell(self, data, token, head, heads):
        at = (token * heads + head) * self.shape.dim
        return data[at : at + self.shape.dim]

    def key_head(self, head):
        return head // (self.shape.heads // self.shape.kv_heads)

    def runs(self):
        """(sequence begin, length, head) of those that are active."""
        for i, length in enumerate(self.shape.lengths):
            for head in range(self.shape.heads):
                if not self.active or self.active[i * self.shape.heads + head]:
                    yield self.offsets[i], length, head

    def distance_at(self, i, j, head):
        limit = self.shape.table
        return head * (2 * limit + 1) + max(-limit, min(limit, j - i)) + limit

    def score(self, q, k, i, j, head):
        score = self.scale * sum(map(mul, q, k))
        score -= self.slopes[head] * abs(i - j) if self.slopes else 0.0
        return score + (self.table[self.distance_at(i, j, head)] if self.table else 0.0)

    def heads_of(self, data, begin, length, head, heads):
        return [self.cell(data, begin + i, head, heads) for i in range(length)]

    def probabilities(self, begin, length, head):
        """For each query: the keys it sees, P, and ln of the sum."""
        kv, s = self.key_head(head), self.shape
        k = self.heads_of(self.k, begin, length, kv, s.kv_heads)
        for i in range(length):
            q = self.cell(self.q, begin + i, head, s.heads)
            seen = [j for j in range(length) if s.sees(i, j)]
            scores = [self.score(q, k[j], i, j, head) for j in seen]
            top = max(scores, default=0.0)
            e = [math.exp(x - top) for x in scores]
            total = math.fsum(e)
            yield i, seen, [x / total for x in e], (top + math.log(total) if e else -math.inf)

    def forward(self):
        s = self.shape
        for begin, length, head in self.runs():
            v = self.heads_of(self.v, begin, length, self.key_head(head), s.kv_heads)
            for i, seen, p, lse in self.probabilities(begin, length, head):
                at = ((begin + i) * s.heads + head) * s.dim
                self.lse[(begin + i) * s.heads + head] = lse
                self.o[at : at + s.dim] = [sum(map(mul, p, column)) for column in zip(*(v[j] for j in seen))] or [0.0] * s.dim

    def backward(self):
        """dq, dk, dv and the table's gradient, each with the same sums over magnitudes."""
        s = self.shape
        sizes = len(self.q), len(self.k), len(self.v), len(self.table or [])
        made, size = [[0.0] * n for n in sizes], [[0.0] * n for n in sizes]
        for begin, length, head in self.runs():
            kv = self.key_head(head)
            k, v = (self.heads_of(x, begin, length, kv, s.kv_heads) for x in (self.k, self.v))
            for i, seen, p, _ in self.probabilities(begin, length, head):
                at = ((begin + i) * s.heads + head) * s.dim
                q, d_o, o = (x[at : at + s.dim] for x in (self.q, self.d_o, self.o))
                dot, dots = sum(map(mul, d_o, o)), sum(abs(a * b) for a, b in zip(d_o, o))
                for j, weight in zip(seen, p):
                    ds = weight * (sum(map(mul, d_o, v[j])) - dot)
                    ds_size = weight * (sum(abs(a * b) for a, b in zip(d_o, v[j])) + dots)
                    to = ((begin + j) * s.kv_heads + kv) * s.dim
                    add(made[0], size[0], at, self.scale * ds, self.scale * ds_size, k[j])
                    add(made[1], size[1], to, self.scale * ds, self.scale * ds_size, q)
                    add(made[2], size[2], to, weight, weight, d_o)
                    if self.table:
                        add(made[3], size[3], self.distance_at(i, j, head), ds, ds_size, [1.0])
        return made, size

    def strides(self):
        return self.shape.heads * self.shape.dim + self.shape.gap, self.shape.kv_heads * self.shape.dim + self.shape.gap

    def laid(self, data, heads):
        """Tokens a stride apart."""
        width = heads * self.shape.dim
        return [x for t in range(self.shape.tokens()) for x in data[t * width : (t + 1) * width] + [BETWEEN] * self.shape.gap]

    def fields(self):
        s, (q_stride, k_stride) = self.shape, self.strides()
        fields = dict(flags=s.flags, dtype=DTYPES[self.form], sequences=len(s.lengths), tokens=s.tokens(), heads=s.heads,
                      kv_heads=s.kv_heads, head_dim=s.dim, scale=self.scale, window=s.window, globals=s.globals,
                      q=Array(self.form, self.laid(self.q, s.heads)), q_stride=q_stride,
                      k=Array(self.form, self.laid(self.k, s.kv_heads)), k_stride=k_stride,
                      v=Array(self.form, self.laid(self.v, s.kv_heads)), v_stride=k_stride,
                      offsets=Array("u32", self.offsets), o_stride=q_stride)
        if self.slopes:
            fields["alibi_slopes"] = Array("f32", self.slopes)
        if self.table:
            fields.update(bias_table=Array("f32", self.table), max_distance=s.table)
        if self.active:
            fields["active"] = Array("u8", self.active)
        return fields


def add(total, size, at, factor, size_factor, vector):
    for c, x in enumerate(vector):
        total[at + c] += factor * x
        size[at + c] += size_factor * abs(x)


def norm(x):
    return math.sqrt(math.fsum(v * v for v in x))


def batches(draw, backend, more=()):
    for shape in (*SHAPES, *(() if backend == "cpu" else more)):
        for form in ("f32",) if backend == "cpu" else ("bf16", "f16"):
            batch = Attention(draw, shape, form)
            batch.forward()
            yield f"{form}, {shape}", batch


def poisoned(batch, heads):
    """An output with room between its tokens: NaN where the call writes."""
    return both(batch.form, batch.laid([math.nan] * (batch.shape.tokens() * heads * batch.shape.dim), heads))


def attention_cases(draw, backend):
    for text, batch in batches(draw, backend, LONG_SHAPES):
        s, fields = batch.shape, batch.fields()
        fields.update(o=poisoned(batch, s.heads), lse=out("f32", len(batch.lse)))
        whole = OUTPUT_ERROR[batch.form] * norm(batch.o)
        lse = [1e-5 * (1 + abs(x)) if math.isfinite(x) else 0.0 for x in batch.lse]
        yield Case(text, fields, {"o": within(batch, batch.o, s.heads, whole), "lse": Expect(batch.lse, bounds=lse)})


def within(batch, numbers, heads, bound):
    """The whole array's error in the 2-norm."""
    laid = batch.laid(numbers, heads)
    return Expect(laid, bounds=[bound], row=max(2, len(laid)))


def attention_backward_cases(draw, backend):
    for text, batch in batches(draw, backend):
        s, (q_stride, k_stride), forward = batch.shape, batch.strides(), batch.fields()
        forward.update(o=Array(batch.form, batch.laid(batch.o, s.heads)), lse=Array("f32", batch.lse))
        batch.o = values.rounded(batch.form, batch.o)
        made, size = batch.backward()
        allowed = [GRADIENT_ERROR[batch.form] * norm(x) for x in size]
        fields = dict(forward=forward, d_o=Array(batch.form, batch.laid(batch.d_o, s.heads)), d_o_stride=q_stride,
                      dq=poisoned(batch, s.heads), dq_stride=q_stride, dk=poisoned(batch, s.kv_heads), dk_stride=k_stride,
                      dv=poisoned(batch, s.kv_heads), dv_stride=k_stride)
        expect = {name: within(batch, made[at], heads, allowed[at])
                  for at, (name, heads) in enumerate((("dq", s.heads), ("dk", s.kv_heads), ("dv", s.kv_heads)))}
        if batch.table:
            before = normals(draw, len(batch.table))
            fields["bias_table_gradient"] = both("f32", before)
            expect["bias_table_gradient"] = Expect([a + b for a, b in zip(made[3], before)], row=max(2, len(before)),
                                                   bounds=[allowed[3] + 1e-6 * norm(before)])
        yield Case(text, fields, expect)


OPERATORS = [
    Operator("attention", attention_cases),
    Operator("attention_backward", attention_backward_cases),
]
