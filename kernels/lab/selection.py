"""Operators that choose and copy (headrace_rows.h): rows gathered from a table at rest, the largest values, unique keys. Exact."""

import math
import struct

import values
from rows import DTYPES, quantized
from table import Array, Case, Expect, Operator, out
from values import half, normals

LARGEST = {"f16": 65504.0, "bf16": values.decode("bf16", b"\x7f\x7f")[0]}


def stored(form, row):
    """A row at rest and the values it holds."""
    dim = len(row)
    if form == "i8":
        bits, codes = quantized(row)
        data = values.encode("u16", [bits, 0]) + values.encode("i8", codes)
        return data + bytes(-dim % 4), [code * half(bits) for code in codes], bits, codes
    data = values.encode(form, row)
    return data + bytes(-len(data) % 4), values.decode(form, data), None, None


def narrowed(form, row):
    """Bytes of a row as it is asked for, and its scale."""
    if form == "i8":
        bits, codes = quantized(row)
        return values.encode("i8", codes), bits
    limit = LARGEST.get(form, math.inf)
    return values.encode(form, [max(-limit, min(limit, v)) for v in row]), None


def gather_rows_cases(draw, _):
    for form, dtype in DTYPES.items():
        for to, to_dtype in DTYPES.items():
            for rows, dim in ((5, 1), (4, 8), (6, 17), (3, 64), (2, 130), (0, 4), (3, draw.randrange(200, 600))):
                yield gather_rows_case(draw, form, dtype, to, to_dtype, rows, dim)


def gather_rows_case(draw, form, dtype, to, to_dtype, rows, dim):
    table_rows, more_rows, gap = draw.randrange(1, 9), draw.randrange(3), draw.choice([0, 4, 8])
    spread = draw.choice([1.0, 1e-3, 3e4])
    kept = [stored(form, normals(draw, dim, spread if form != "f16" else min(spread, 1e3))) for _ in range(table_rows + more_rows)]
    at_rest = [data + b"\x5a" * gap for data, *_ in kept]
    index = [draw.randrange(table_rows + more_rows) for _ in range(rows)]
    data, scales = b"", []
    for i in index:
        plain, (_, row, bits, codes) = None, kept[i]
        plain = (values.encode("i8", codes), bits) if form == to == "i8" else narrowed(to, row)
        data, scales = data + plain[0], scales + [plain[1]]
    fields = dict(rows=rows, dim=dim, table=Array("u8", b"".join(at_rest[:table_rows])), table_rows=table_rows, more_rows=more_rows,
                  row_bytes=len(at_rest[0]), index=Array("u32", index), values=out("u8", len(data)), stored=dtype, dtype=to_dtype)
    expect = {"values": Expect(list(data))}
    if more_rows:
        fields["more"] = Array("u8", b"".join(at_rest[table_rows:]))
    if to == "i8":
        fields["scales"], expect["scales"] = out("u16", rows), Expect(scales)
    return Case(f"{form} to {to}, {rows} x {dim}", fields, expect)


def magnitude(value):
    """What top-k compares: the bits without the sign, so NaN is above infinity."""
    return struct.unpack("<I", struct.pack("<f", value))[0] & 0x7FFFFFFF


def top_k_inputs(draw):
    for n, k in ((1, 1), (7, 0), (33, 5), (1000, 10), (4097, 500), (20000, 200), (300, 300), (0, 0), (70000, 7)):
        yield n, k, normals(draw, n)
    yield 2000, 50, [draw.choice([1.0, -1.0, 0.5]) for _ in range(2000)]  # ties
    yield 5000, 100, [0.0] * 5000
    some = normals(draw, 3000)
    for at, x in zip(draw.sample(range(3000), 4), (math.inf, -math.inf, math.nan, 1e30)):
        some[at] = x
    yield 3000, 6, values.rounded("f32", some)


def top_k_cases(draw, _):
    for n, k, data in top_k_inputs(draw):
        chosen = sorted(sorted(range(n), key=lambda i: (-magnitude(data[i]), i))[:k])
        yield Case(f"{k} of {n}", dict(count=n, k=k, values=Array("f32", data), indices=out("u32", k), selected=out("f32", k)),
                   {"indices": Expect(chosen), "selected": Expect([data[i] for i in chosen])})


def dedup_cases(draw, _):
    for n in (0, 1, 2, 33, 256, 1025, 5000, 40000):
        pool = [draw.randrange(2**64) for _ in range(max(1, n // draw.choice([1, 3, 40])))]
        pool += [0, 2**64 - 1, 1 << 63]
        keys = [draw.choice(pool) for _ in range(n)]
        unique = sorted(set(keys))
        place = {key: i for i, key in enumerate(unique)}
        counts = [0] * len(unique)
        for key in keys:
            counts[place[key]] += 1
        rest = n - len(unique)
        fields = dict(count=n, keys=Array("u64", keys), unique=out("u64", n), inverse=out("u32", n), counts=out("u32", n),
                      unique_count=out("u32", 1))
        yield Case(f"{len(unique)} of {n}", fields, {
            "unique": Expect(unique, skip=rest), "inverse": Expect([place[key] for key in keys]),
            "counts": Expect(counts, skip=rest), "unique_count": Expect([len(unique)])})


OPERATORS = [
    Operator("gather_rows", gather_rows_cases),
    Operator("top_k", top_k_cases),
    Operator("dedup", dedup_cases),
]
