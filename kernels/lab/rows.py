"""Operators on rows of embedding tables (headrace_rows.h): cases and references in plain Python; benches in rows_bench.py."""

import math

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


def bags(draw, count, longest, rows):
    """Bags of 0 to `longest` occurrences: offsets and inverse."""
    offsets = [0]
    for _ in range(count):
        offsets.append(offsets[-1] + (draw.randrange(longest + 1) if rows else 0))
    return offsets, [draw.randrange(rows) for _ in range(offsets[-1])]


POOL_SHAPES = [(7, 5, 4, 1), (9, 3, 20, 8), (40, 12, 9, 16), (5, 20, 6, 17), (6, 4, 40, 64), (11, 7, 5, 130), (3, 2, 3, 260), (1, 1, 70, 3),
               (5, 0, 3, 4), (4, 5, 0, 4)]  # rows, bags, longest, dim


def pool_cases(draw, _):
    for form, dtype in DTYPES.items():
        for rows, count, longest, dim in POOL_SHAPES:
            offsets, inverse = bags(draw, count, longest, rows)
            table, fields = push(draw, form, rows, dim)
            table = [v if abs(v) < 1e30 else 1.0 for v in table]
            if form == "f32":
                fields["gradients"] = Array("f32", table)
            fields["values"] = fields.pop("gradients")
            weights = values.normals(draw, len(inverse)) if draw.randrange(2) else None
            wanted = []
            for begin, end in zip(offsets, offsets[1:]):
                for c in range(dim):
                    total = 0.0
                    for i in range(begin, end):
                        v = table[inverse[i] * dim + c]
                        total = single(total + (single(weights[i] * v) if weights else v))
                    wanted.append(total)
            fields.update(rows=rows, dim=dim, occurrences=len(inverse), inverse=Array("u32", inverse), bags=count,
                          offsets=Array("u32", offsets), dtype=dtype, out=out("f32", count * dim, draw.choice([0, 0, 1])))
            if weights:
                fields["weights"] = Array("f32", weights)
            yield Case(f"{form}, {rows} x {dim}, {count} bags of up to {longest}", fields, {"out": Expect(wanted)})


def pool_backward_cases(draw, backend):
    for rows, count, longest, dim in POOL_SHAPES + [(2, 60, 30, 5), (3, 300, 12, 33)]:
        offsets, inverse = bags(draw, count, longest, rows)
        gradients = values.normals(draw, count * dim)
        weights = values.normals(draw, len(inverse)) if draw.randrange(2) else None
        before = values.normals(draw, rows * dim)
        total, size, times = list(before), [abs(v) for v in before], [1] * rows
        for b in range(count):
            for i in range(offsets[b], offsets[b + 1]):
                times[inverse[i]] += 1
                for c in range(dim):
                    at, g = inverse[i] * dim + c, gradients[b * dim + c]
                    g = single(weights[i] * g) if weights else g
                    total[at], size[at] = single(total[at] + g), size[at] + abs(g)
        exact = backend == "cpu" or max(times, default=0) <= 256
        bounds = None if exact else [(2 * times[i // dim] + 2) * 2.0**-24 * x for i, x in enumerate(size)]
        fields = dict(rows=rows, dim=dim, occurrences=len(inverse), inverse=Array("u32", inverse), bags=count,
                      offsets=Array("u32", offsets), out_gradients=Array("f32", gradients), row_gradients=both("f32", before))
        if weights:
            fields["weights"] = Array("f32", weights)
        yield Case(f"{rows} x {dim}, {count} bags of up to {longest}", fields, {"row_gradients": Expect(total, bounds=bounds)})


def pool_weights_cases(draw, _):
    for form, dtype in DTYPES.items():
        for rows, count, longest, dim in POOL_SHAPES:
            offsets, inverse = bags(draw, count, longest, rows)
            table, fields = push(draw, form, rows, dim)
            table = [v if abs(v) < 1e30 else 1.0 for v in table]
            if form == "f32":
                fields["gradients"] = Array("f32", table)
            fields["values"] = fields.pop("gradients")
            above = values.normals(draw, count * dim)
            wanted, bounds = [], []
            for b in range(count):
                for i in range(offsets[b], offsets[b + 1]):
                    terms = [table[inverse[i] * dim + c] * above[b * dim + c] for c in range(dim)]
                    wanted.append(math.fsum(terms))
                    bounds.append((dim + 1) * 2.0**-24 * math.fsum(map(abs, terms)) + dim * 2.0**-149)
            fields.update(rows=rows, dim=dim, occurrences=len(inverse), inverse=Array("u32", inverse), bags=count,
                          offsets=Array("u32", offsets), dtype=dtype, out_gradients=Array("f32", above, "in", draw.choice([0, 0, 1])),
                          weight_gradients=out("f32", len(inverse)))
            yield Case(f"{form}, {rows} x {dim}, {count} bags of up to {longest}", fields,
                       {"weight_gradients": Expect(wanted, bounds=bounds)})


OPERATORS = [
    Operator("quantize_rows", quantize_cases),
    Operator("dequantize_rows", dequantize_cases),
    Operator("sparse_update", update_cases),
    Operator("gather_pool", pool_cases),
    Operator("gather_pool_backward", pool_backward_cases),
    Operator("gather_pool_weights", pool_weights_cases),
]
