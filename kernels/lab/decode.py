"""Attention of one query over a cache of keys and values (headrace_attention.h): cases and the definition in 64-bit floats."""

import math
from operator import mul

from attention import DTYPES, OUTPUT_ERROR, norm
from table import Array, Case, Expect, Operator, out
from values import normals, single

SHAPES = (  # lengths, heads, kv_heads, dim, pinned, window, slots_begin, slots_end
    ([1, 5, 0, 40], 2, 2, 16, 2, 9, 0, 0),
    ([70, 3], 4, 2, 32, 4, 60, 0, 0),
    ([200], 8, 1, 16, 0, 130, 0, 0),
    ([33, 90], 2, 1, 64, 0, 64, 5, 50),
    ([300, 12], 2, 2, 128, 8, 40, 0, 0),
    ([2], 1, 1, 16, 0, 4, 3, 4),
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


OPERATORS = [Operator("decode_attention", decode_cases)]
