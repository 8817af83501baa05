"""Attention of one query over a cache of keys and values (headrace_attention.h): cases and the definition in 64-bit floats."""

import math
from operator import mul

from attention import DTYPES, OUTPUT_ERROR, norm
from table import Array, Case, Expect, Operator, both, out
from values import normals, single

SHAPES = (  # lengths, heads, kv_heads, dim, pinned, window, slots_begin, slots_end
    ([1, 5, 0, 40], 2, 2, 16, 2, 9, 0, 0),
    ([70, 3], 4, 2, 32, 4, 60, 0, 0),
    ([200], 8, 1, 16, 0, 130, 0, 0),
    ([33, 90], 2, 1, 64, 0, 64, 5, 50),
    ([300, 12], 2, 2, 128, 8, 40, 0, 0),
    ([2], 1, 1, 16, 0, 4, 3, 4),
    ([700], 2, 1, 64, 0, 700, 0, 0),  # split among blocks on a GPU, and merged
    ([40], 20, 1, 16, 0, 64, 0, 0),  # more heads to a key than a product has rows
)


def decode_cases(draw, backend):
    for shape in SHAPES:
        for form in ("f32",) if backend == "cpu" else ("bf16", "f16"):
            yield decode_case(draw, form, *shape)


def decode_case(draw, form, lengths, heads, kv_heads, dim, pinned, window, begin, end):
    slots, scale = pinned + window, single(1 / math.sqrt(dim))
    q = normals(draw, len(lengths) * heads * dim, 1.0, form)
    keys, kept = (normals(draw, len(lengths) * kv_heads * slots * dim, 1.0, form) for _ in range(2))
    used = [range(begin, min(n, slots, end or slots)) for n in lengths]
    for s, live in enumerate(used):  # what is not to be read would spoil all
        for slot in set(range(slots)) - set(live):
            for h in range(kv_heads):
                at = ((s * kv_heads + h) * slots + slot) * dim
                keys[at : at + dim] = kept[at : at + dim] = [math.nan] * dim
    o, lse = [], []
    for s, live in enumerate(used):
        for h in range(heads):
            at = (s * kv_heads + h // (heads // kv_heads)) * slots
            row = q[(s * heads + h) * dim :][:dim]
            k, v = ([data[(at + slot) * dim :][:dim] for slot in live] for data in (keys, kept))
            scores = [scale * sum(map(mul, row, key)) for key in k]
            top = max(scores, default=0.0)
            e = [math.exp(x - top) for x in scores]
            total = math.fsum(e)
            lse.append(top + math.log(total) if e else -math.inf)
            o += [sum(map(mul, e, column)) / total for column in zip(*v)] or [0.0] * dim
    fields = dict(dtype=DTYPES[form], sequences=len(lengths), heads=heads, kv_heads=kv_heads, head_dim=dim, scale=scale,
                  pinned=pinned, window=window, slots_begin=begin, slots_end=end, q=Array(form, q), keys=Array(form, keys),
                  values=Array(form, kept), lengths=Array("u32", lengths), o=out(form, len(o)), lse=out("f32", len(lse)))
    return Case(f"{form}, {lengths}, {heads}/{kv_heads} heads of {dim}, {pinned} + {window}, slots {begin} to {end}", fields, {
        "o": Expect(o, bounds=[OUTPUT_ERROR[form] * norm(o)], row=max(2, len(o))),
        "lse": Expect(lse, bounds=[1e-5 * (1 + abs(x)) if math.isfinite(x) else 0.0 for x in lse])})


def merge_cases(draw, backend):
    for form in ("f32",) if backend == "cpu" else ("bf16", "f16"):
        for rows, dim in ((1, 1), (9, 37), (5, 128)):
            yield merge_case(draw, form, rows, dim)


def merge_case(draw, form, rows, dim):
    """Rows with keys on both sides, on one, on none."""
    o, other = (normals(draw, rows * dim, 1.0, form) for _ in range(2))
    sums = [[-math.inf if row % 4 in (3, side + 1) else x for row, x in enumerate(normals(draw, rows, 2.0))] for side in range(2)]
    merged, lse = [], []
    for row, pair in enumerate(zip(*sums)):
        e = [math.exp(x) for x in pair]
        total = math.fsum(e)
        lse.append(math.log(total) if total else -math.inf)
        cells = zip(o[row * dim : (row + 1) * dim], other[row * dim : (row + 1) * dim])
        merged += [(e[0] * a + e[1] * b) / total if total else 0.0 for a, b in cells]
    fields = dict(dtype=DTYPES[form], dim=dim, rows=rows, o=both(form, o), lse=both("f32", sums[0]), other_o=Array(form, other),
                  other_lse=Array("f32", sums[1]))
    return Case(f"{form}, {rows} rows of {dim}", fields, {
        "o": Expect(merged, bounds=[OUTPUT_ERROR[form] * norm(merged)], row=max(2, len(merged))),
        "lse": Expect(lse, bounds=[1e-5 * (1 + abs(x)) if math.isfinite(x) else 0.0 for x in lse])})


OPERATORS = [Operator("decode_attention", decode_cases), Operator("merge_attention", merge_cases)]
