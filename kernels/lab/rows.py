"""Operators on rows of embedding tables (headrace_rows.h): cases and references in plain Python; benches in rows_bench.py."""

import steps
import values
from table import Array, Case, Expect, Operator, both, out
from values import half, half_at_least, single


DTYPES = {"f32": 0, "i8": 1, "f16": 2, "bf16": 3}


def quantized(row):
    """Scale (fp16 bits) and codes of one row: kernels/quantize_rows/quantize_rows.hpp."""
    largest = max(abs(v) for v in row)
    if largest <= 2.0**-25:
        return 0, [0] * len(row)
    bits = half_at_least(largest / 127) if largest <= 127 * 65504 else 0x7BFF
    factor = single(1 / half(bits))
    return bits, [max(-127, min(127, round(single(v * factor)))) for v in row]


def codec_shapes(draw):
    """Rows and dim at the edges of lanes, vectors and blocks."""
    for dim in (1, 3, 4, 15, 16, 17, 31, 32, 33, 64, 100, 127, 128, 129, 255, 256, 257, 300, 1030):
        yield draw.choice([1, 2, 5, 9]), dim
    yield 0, 8
    yield 70, 8
    yield 1, draw.randrange(2, 700)


def hard_rows(draw, rows, dim):
    """Rows of all sizes: normal, tiny, huge, constant, zero."""
    kinds = [1.0, 1e-3, 1e3, 1e-6, 0.0, 3e6, 1e7]
    data = []
    for _ in range(rows):
        spread = draw.choice(kinds)
        data += values.normals(draw, dim, spread) if spread else [0.0] * dim
    return data


def quantize_cases(draw, _):
    for rows, dim in codec_shapes(draw):
        shift, data = draw.choice([0, 0, 1]), hard_rows(draw, rows, dim)
        made = [quantized(data[r * dim : (r + 1) * dim]) for r in range(rows)]
        fields = dict(rows=rows, dim=dim, values=Array("f32", data, "in", shift), codes=out("i8", rows * dim, shift),
                      scales=out("u16", rows))
        yield Case(f"{rows} x {dim}, shift {shift}", fields,
                   {"codes": Expect([c for _, codes in made for c in codes]), "scales": Expect([bits for bits, _ in made])})


def dequantize_cases(draw, _):
    for rows, dim in codec_shapes(draw):
        codes = [draw.randrange(-127, 128) for _ in range(rows * dim)]
        scales = [draw.choice([0, 0x3C00, draw.randrange(0x0400, 0x7C00)]) for _ in range(rows)]
        fields = dict(rows=rows, dim=dim, codes=Array("i8", codes, "in", draw.choice([0, 1])), scales=Array("u16", scales),
                      values=out("f32", rows * dim))
        yield Case(f"{rows} x {dim}", fields,
                   {"values": Expect([code * half(scales[i // dim]) for i, code in enumerate(codes)])})


def push(draw, form, rows, dim):
    """Gradients as they arrive: the values, and the fields that carry them."""
    if form == "i8":
        codes = [draw.randrange(-127, 128) for _ in range(rows * dim)]
        scales = [draw.randrange(0x1800, 0x2800) for _ in range(rows)]
        return ([single(code * half(scales[i // dim])) for i, code in enumerate(codes)],
                dict(gradients=Array("i8", codes), scales=Array("u16", scales)))
    data = values.normals(draw, rows * dim, 1.0, form)
    if data and form == "f32":
        data[draw.randrange(len(data))] = draw.choice([float("nan"), float("inf"), 1e35])
        data = values.rounded("f32", data)
    return data, dict(gradients=Array(form, data))


def update_case(draw, name, form, rows, dim, apart):
    """`apart`: states in an array of their own, else behind the weights of their row."""
    rule = steps.drawn_rule(draw, name)
    rule.first_columns, rule.first_rate = draw.choice([0, min(1, dim)]), single(draw.uniform(0.01, 0.5))
    words = steps.state_words(name, dim)
    table_rows, stride, state_stride = rows + draw.randrange(0, 9), dim + (0 if apart else words) + draw.choice([0, 1, 4]), words + 3
    weights = [values.normals(draw, dim) for _ in range(table_rows)]
    states = [steps.drawn_state(draw, name, dim) for _ in range(table_rows)]
    index = draw.sample(range(table_rows), rows)
    gradients, fields = push(draw, form, rows, dim)
    before = laid_out(name, dim, weights, states, stride, state_stride, apart)
    for i, row in enumerate(index):
        rule.step(weights[row], states[row], gradients[i * dim : (i + 1) * dim])
    after = laid_out(name, dim, weights, states, stride, state_stride, apart)
    numbers = {key: value for key, value in vars(rule).items() if key != "rule"}
    fields.update(numbers, rows=rows, dim=dim, table=both("u32", before[0]), table_rows=table_rows, row_stride=stride,
                  index=Array("u32", index), gradient_dtype=DTYPES[form], rule=steps.RULES[name], state_stride=state_stride * apart)
    expect = {"table": Expect(values.decode("u32", after[0]))}
    if apart and words:
        fields["states"], expect["states"] = both("u32", before[1]), Expect(values.decode("u32", after[1]))
    return Case(f"{name}, {form}, {rows} x {dim}, states {'apart' if apart else 'behind'}", fields, expect)


def laid_out(name, dim, weights, states, stride, state_stride, apart):
    """Bytes of table and states; what lies between rows is a pattern that must stay."""
    table, beside = b"", b""
    for w, s in zip(weights, states):
        words = steps.state_bytes(name, s, dim)
        row = values.encode("f32", w) + (b"" if apart else words)
        table += row + b"\x5a" * (4 * stride - len(row))
        beside += words + b"\x5a" * (4 * state_stride - len(words))
    return table, beside


def update_cases(draw, _):
    for name in steps.RULES:
        for form in DTYPES:
            for rows, dim in ((1, 1), (5, 8), (3, 17), (4, 33), (2, draw.randrange(34, 300))):
                yield update_case(draw, name, form, rows, dim, draw.choice([False, True]))
    yield update_case(draw, "adagrad", "f32", 0, 4, True)


OPERATORS = [
    Operator("quantize_rows", quantize_cases),
    Operator("dequantize_rows", dequantize_cases),
    Operator("sparse_update", update_cases),
]
