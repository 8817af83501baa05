"""Norms, interactions and gates (headrace_dense.h): cases, references in 64-bit floats, and the bounds of kernels/OP/OP.hpp."""

import math

from table import Array, Case, Expect, Operator, both, out
from values import normals, single

U = 2.0**-24
RMS = 1


def matrix(draw, rows, dim, spread=1.0):
    return normals(draw, rows * dim, spread)


def row_norm(x):
    return math.sqrt(math.fsum(v * v for v in x))


def norm_shapes(draw):
    for dim in (1, 4, 5, 31, 32, 64, 96, 129, 257, draw.randrange(300, 1100)):
        yield draw.choice([1, 3, 6]), dim, draw.choice([0, RMS])
    yield 0, 8, 0
    yield 33, 16, RMS


def norm_of(s, dim, flags, epsilon):
    """mean and rstd of a row."""
    mean = 0.0 if flags & RMS else math.fsum(s) / dim
    return mean, 1 / math.sqrt(math.fsum((v - mean) ** 2 for v in s) / dim + epsilon)


def layer_norm_cases(draw, _):
    for rows, dim, flags in norm_shapes(draw):
        x, residual = matrix(draw, rows, dim), matrix(draw, rows, dim) if draw.randrange(2) else None
        gain, bias, epsilon = normals(draw, dim), normals(draw, dim), single(draw.choice([1e-5, 1e-3]))
        total = [single(a + b) for a, b in zip(x, residual)] if residual else x
        y, means, rstds, bounds = [], [], [], ([], [], [])
        for r in range(rows):
            exact = [x[i] + residual[i] if residual else x[i] for i in range(r * dim, r * dim + dim)]
            mean, rstd = norm_of(exact, dim, flags, epsilon)
            shaped = [(v - mean) * rstd * g for v, g in zip(exact, gain)]
            whole = shaped if flags & RMS else [v + b for v, b in zip(shaped, bias)]
            y, means, rstds = y + whole, means + [mean], rstds + [rstd]
            bounds[0].append(1e-5 * (row_norm(shaped) + row_norm(gain) * abs(mean) * rstd) + 2 * U * row_norm(whole))
            bounds[1].append(1e-6 * math.fsum(map(abs, exact)) / dim)
            bounds[2].append(1e-5 * (1 + abs(mean) * rstd) * rstd)
        fields = dict(flags=flags, rows=rows, dim=dim, epsilon=epsilon, x=Array("f32", x), gain=Array("f32", gain),
                      y=out("f32", rows * dim), rstd=out("f32", rows))
        expect = {"y": Expect(y, bounds=bounds[0], row=dim), "rstd": Expect(rstds, bounds=bounds[2])}
        if residual:
            fields.update(residual=Array("f32", residual), sum=out("f32", rows * dim))
            expect["sum"] = Expect(total)
        if not flags & RMS:
            fields.update(bias=Array("f32", bias), mean=out("f32", rows))
            expect["mean"] = Expect(means, bounds=bounds[1])
        yield Case(f"{rows} x {dim}, {'rms' if flags else 'layer'}, {'with' if residual else 'no'} residual", fields, expect)


def layer_norm_backward_cases(draw, _):
    for rows, dim, flags in norm_shapes(draw):
        s, dy, ds = (matrix(draw, rows, dim) for _ in range(3))
        gain, use_ds = normals(draw, dim), draw.randrange(2)
        norms = [norm_of(s[r * dim : r * dim + dim], dim, flags, 1e-5) for r in range(rows)]
        norms = [(single(mean), single(rstd)) for mean, rstd in norms]
        before = [normals(draw, dim), normals(draw, dim)]
        grads, sizes = [list(b) for b in before], [[abs(v) for v in b] for b in before]
        dx, bounds = [], []
        for r, (mean, rstd) in enumerate(norms):
            at = range(r * dim, r * dim + dim)
            hat = [(s[i] - mean) * rstd for i in at]
            g = [dy[i] * gain[i - r * dim] for i in at]
            average = 0.0 if flags & RMS else math.fsum(g) / dim
            along = math.fsum(a * b for a, b in zip(g, hat)) / dim
            more = [ds[i] if use_ds else 0.0 for i in at]
            dx += [m + rstd * (v - average - h * along) for m, v, h in zip(more, g, hat)]
            bounds.append(1e-5 * (rstd * row_norm(g) + row_norm(more)))
            for c, i in enumerate(at):
                for k, term in enumerate((dy[i] * hat[c], dy[i])):
                    grads[k][c], sizes[k][c] = grads[k][c] + term, sizes[k][c] + abs(term)
        limits = [[(rows + 5) * U * v for v in size] for size in sizes]
        fields = dict(flags=flags, rows=rows, dim=dim, sum=Array("f32", s), gain=Array("f32", gain), y_gradients=Array("f32", dy),
                      rstd=Array("f32", [rstd for _, rstd in norms]), x_gradients=out("f32", rows * dim),
                      gain_gradients=both("f32", before[0]))
        expect = {"x_gradients": Expect(dx, bounds=bounds, row=dim), "gain_gradients": Expect(grads[0], bounds=limits[0])}
        if use_ds:
            fields["sum_gradients"] = Array("f32", ds)
        if not flags & RMS:
            fields.update(mean=Array("f32", [mean for mean, _ in norms]), bias_gradients=both("f32", before[1]))
            expect["bias_gradients"] = Expect(grads[1], bounds=limits[1])
        yield Case(f"{rows} x {dim}, {'rms' if flags else 'layer'}", fields, expect)


def dot_shapes(draw):
    """samples, fields, dim, and gaps of the three strides."""
    for samples, fields, dim in ((3, 2, 1), (2, 5, 4), (4, 27, 16), (2, 9, 33), (1, 64, 8), (3, 1, 5), (0, 3, 3), (2, 26, 128)):
        yield samples, fields, dim, draw.choice([0, 3]), draw.choice([0, 5]), draw.choice([0, 2])


def strided(rows, stride, row):
    """Values with a pattern between the rows: what a call must not touch. `row(r)` lists a row."""
    filler = single(1.25)
    return [v for r in range(rows) for v in (row(r) + [filler] * stride)[:stride]]


def dot_interaction_cases(draw, _):
    for samples, fields, dim, gap, sample_gap, out_gap in dot_shapes(draw):
        field_stride, pairs = dim + gap, fields * (fields - 1) // 2
        sample_stride, out_stride = fields * field_stride + sample_gap, pairs + out_gap
        e = normals(draw, samples * sample_stride)
        at = lambda s, f: e[s * sample_stride + f * field_stride :][:dim]
        wanted, bounds = [], []
        for s in range(samples):
            pair = [(at(s, i), at(s, j)) for i in range(fields) for j in range(i)]
            wanted.append([math.fsum(a * b for a, b in zip(x, y)) for x, y in pair])
            bounds.append([(dim + 1) * U * math.fsum(abs(a * b) for a, b in zip(x, y)) for x, y in pair])
        yield Case(f"{samples} x {fields} x {dim}, gaps {gap} {sample_gap} {out_gap}",
                   dict(samples=samples, fields=fields, dim=dim, sample_stride=sample_stride, field_stride=field_stride,
                        out_stride=out_stride, values=Array("f32", e),
                        out=both("f32", strided(samples, out_stride, lambda s: [float("nan")] * pairs))),
                   {"out": Expect(strided(samples, out_stride, lambda s: wanted[s]),
                                  bounds=[b for s in range(samples) for b in bounds[s] + [0.0] * out_gap])})


def dot_interaction_backward_cases(draw, _):
    for samples, fields, dim, gap, sample_gap, out_gap in dot_shapes(draw):
        pairs, field_stride = fields * (fields - 1) // 2, dim + gap
        sample_stride, out_stride = fields * field_stride + sample_gap, pairs + out_gap
        e, g = normals(draw, samples * sample_stride), normals(draw, samples * out_stride)
        gradient_field, gradient_sample = dim + out_gap, fields * (dim + out_gap) + gap
        wanted, bounds = [], []
        for s in range(samples):
            row, size = [1.25] * gradient_sample, [0.0] * gradient_sample
            for i in range(fields):
                for c in range(dim):
                    terms = [g[s * out_stride + max(i, j) * (max(i, j) - 1) // 2 + min(i, j)] *
                             e[s * sample_stride + j * field_stride + c] for j in range(fields) if j != i]
                    row[i * gradient_field + c] = math.fsum(terms)
                    size[i * gradient_field + c] = (fields + 1) * U * math.fsum(map(abs, terms))
            wanted, bounds = wanted + row, bounds + size
        yield Case(f"{samples} x {fields} x {dim}, gaps {gap} {sample_gap} {out_gap}",
                   dict(samples=samples, fields=fields, dim=dim, sample_stride=sample_stride, field_stride=field_stride,
                        out_stride=out_stride, gradient_sample_stride=gradient_sample, gradient_field_stride=gradient_field,
                        values=Array("f32", e), out_gradients=Array("f32", g), field_gradients=both("f32", [1.25] * len(wanted))),
                   {"field_gradients": Expect(wanted, bounds=bounds)})


SHAPES = ((1, 1), (5, 7), (3, 32), (40, 33), (0, 4), (2, 130))


def cross_combine_cases(draw, _):
    for rows, dim in SHAPES:
        x0, x, product = (matrix(draw, rows, dim) for _ in range(3))
        bias = normals(draw, dim)
        u = [p + bias[i % dim] for i, p in enumerate(product)]
        size = [abs(p) + abs(bias[i % dim]) for i, p in enumerate(product)]
        limit = (dim + 8) * U
        yield Case(f"{rows} x {dim}", dict(rows=rows, dim=dim, x0=Array("f32", x0), x=Array("f32", x), bias=Array("f32", bias),
                                           affine=both("f32", product), out=out("f32", rows * dim)),
                   {"affine": Expect(u, bounds=[limit * v for v in size]),
                    "out": Expect([a * b + c for a, b, c in zip(x0, u, x)],
                                  bounds=[limit * (abs(a) * b + abs(c)) for a, b, c in zip(x0, size, x)])})


def cross_combine_backward_cases(draw, _):
    for rows, dim in SHAPES:
        x0, u, g, before = (matrix(draw, rows, dim) for _ in range(4))
        bias = normals(draw, dim)
        du, limit = [a * b for a, b in zip(g, x0)], (dim + rows + 8) * U
        sums = [bias[c] + math.fsum(du[c::dim]) for c in range(dim)]
        sizes = [abs(bias[c]) + math.fsum(map(abs, du[c::dim])) for c in range(dim)]
        yield Case(f"{rows} x {dim}",
                   dict(rows=rows, dim=dim, x0=Array("f32", x0), affine=Array("f32", u), out_gradients=Array("f32", g),
                        affine_gradients=out("f32", rows * dim), x0_gradients=both("f32", before), bias_gradients=both("f32", bias)),
                   {"affine_gradients": Expect(du, bounds=[limit * abs(v) for v in du]),
                    "x0_gradients": Expect([b + a * c for a, b, c in zip(g, before, u)],
                                           bounds=[limit * (abs(b) + abs(a * c)) for a, b, c in zip(g, before, u)]),
                    "bias_gradients": Expect(sums, bounds=[limit * v for v in sizes])})


def gate_shapes(draw):
    return ((1, 1, 1), (4, 3, 5), (3, 8, 32), (2, 33, 17), (0, 2, 2), (5, 4, 130), (2, draw.randrange(34, 90), 9))


def softmax(x):
    e = [math.exp(v - max(x)) for v in x]
    return [v / math.fsum(e) for v in e]


def gate_mix_cases(draw, _):
    for rows, experts, dim in gate_shapes(draw):
        z, y = normals(draw, rows * experts, 3.0), normals(draw, rows * experts * dim)
        gates, mixed, limits = [], [], ([], [])
        for r in range(rows):
            row = z[r * experts : (r + 1) * experts]
            g, scale = softmax(row), 8 * max(map(abs, row))
            gates += g
            limits[0].extend((scale + experts + 16) * U * v for v in g)
            for c in range(dim):
                terms = [g[e] * y[(r * experts + e) * dim + c] for e in range(experts)]
                mixed.append(math.fsum(terms))
                limits[1].append((scale + 2 * experts + 20) * U * math.fsum(map(abs, terms)))
        yield Case(f"{rows} x {experts} x {dim}",
                   dict(rows=rows, experts=experts, dim=dim, gate_logits=Array("f32", z), expert_outputs=Array("f32", y),
                        gates=out("f32", rows * experts), outputs=out("f32", rows * dim)),
                   {"gates": Expect(gates, bounds=limits[0]), "outputs": Expect(mixed, bounds=limits[1])})


def gate_mix_backward_cases(draw, _):
    for rows, experts, dim in gate_shapes(draw):
        y, d = normals(draw, rows * experts * dim), normals(draw, rows * dim)
        gates = [single(v) for _ in range(rows) for v in softmax(normals(draw, experts, 2.0))]
        dz, dy, limits = [], [], []
        for r in range(rows):
            g, dr = gates[r * experts : (r + 1) * experts], d[r * dim : (r + 1) * dim]
            rows_of = [y[(r * experts + e) * dim :][:dim] for e in range(experts)]
            s = [math.fsum(a * b for a, b in zip(dr, row)) for row in rows_of]
            size = [math.fsum(abs(a * b) for a, b in zip(dr, row)) for row in rows_of]
            mean, mean_size = (math.fsum(a * b for a, b in zip(g, x)) for x in (s, size))
            dz += [a * (b - mean) for a, b in zip(g, s)]
            limits += [(dim + experts + 8) * U * a * (b + mean_size) for a, b in zip(g, size)]
            dy += [a * b for a in g for b in dr]
        yield Case(f"{rows} x {experts} x {dim}",
                   dict(rows=rows, experts=experts, dim=dim, gates=Array("f32", gates), expert_outputs=Array("f32", y),
                        output_gradients=Array("f32", d), gate_logit_gradients=out("f32", rows * experts),
                        expert_gradients=out("f32", rows * experts * dim)),
                   {"gate_logit_gradients": Expect(dz, bounds=limits), "expert_gradients": Expect(dy, bounds=[U * abs(v) for v in dy])})


OPERATORS = [
    Operator("layer_norm", layer_norm_cases),
    Operator("layer_norm_backward", layer_norm_backward_cases),
    Operator("dot_interaction", dot_interaction_cases),
    Operator("dot_interaction_backward", dot_interaction_backward_cases),
    Operator("cross_combine", cross_combine_cases),
    Operator("cross_combine_backward", cross_combine_backward_cases),
    Operator("gate_mix", gate_mix_cases),
    Operator("gate_mix_backward", gate_mix_backward_cases),
]
