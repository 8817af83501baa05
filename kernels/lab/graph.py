"""What layers need beside headrace_dense.h (headrace_graph.h): cases, references in 64-bit floats, and the bounds of kernels/OP."""

import math

from dense import U
from table import Array, Case, Expect, Operator, both, out
from values import normals, single

SMALLEST = 2.0**-126
TILE = 64  # places from which on a GPU sums a row in tiles (kernels/gather_fields)


class Lookup:
    """Places of samples by fields, some rows with many of them."""

    def __init__(self, draw, unique, samples, fields, dim):
        self.places, self.dim, self.width, self.first = samples * fields, dim, dim + draw.choice([0, 1, 3]), 0
        self.first = draw.randrange(self.width - dim + 1)
        favourite = draw.randrange(unique)
        self.inverse = [draw.choice([favourite, draw.randrange(unique)]) for _ in range(self.places)]
        self.values = normals(draw, self.places) if draw.randrange(2) else None
        self.fields = dict(unique=unique, width=self.width, first_column=self.first, samples=samples, fields=fields, dim=dim,
                           inverse=Array("u32", self.inverse))
        if self.values:
            self.fields["values"] = Array("f32", self.values)

    def scaled(self, place, x):
        return single(self.values[place] * x) if self.values else x


LOOKUPS = [(1, 1, 1, 1), (5, 9, 4, 6), (3, 0, 2, 4), (4, 63, 1, 3), (2, 64, 1, 33), (7, 300, 3, 5), (1, 500, 1, 2), (40, 30, 26, 16)]


def fields_cases(draw, _):
    for shape in LOOKUPS:  # unique, samples, fields, dim
        look = Lookup(draw, *shape)
        rows = normals(draw, shape[0] * look.width)
        wanted = [look.scaled(p, rows[row * look.width + look.first + k]) for p, row in enumerate(look.inverse) for k in range(look.dim)]
        look.fields.update(rows=Array("f32", rows), out=out("f32", look.places * look.dim))
        yield Case(f"{shape}", look.fields, {"out": Expect(wanted)})


def fields_backward_cases(draw, backend):
    for shape in LOOKUPS:
        look = Lookup(draw, *shape)
        above, before = normals(draw, look.places * look.dim), normals(draw, shape[0] * look.width)
        exact, size, rounded, times = list(before), [abs(v) for v in before], list(before), [0] * shape[0]
        for p, row in enumerate(look.inverse):
            times[row] += 1
            for k in range(look.dim):
                at, g = row * look.width + look.first + k, above[p * look.dim + k]
                term = look.values[p] * g if look.values else g
                exact[at], size[at] = exact[at] + term, size[at] + abs(term)
                rounded[at] = single(rounded[at] + look.scaled(p, g))
        order = sorted(range(look.places), key=lambda p: (look.inverse[p], p))
        look.fields.update(order=Array("u32", order), out_gradients=Array("f32", above), row_gradients=both("f32", before))
        exactly = backend == "cpu" or max(times) < TILE
        bounds = [(times[i // look.width] + 1) * U * v for i, v in enumerate(size)]
        expect = Expect(rounded) if exactly else Expect(exact, bounds=bounds)
        yield Case(f"{shape}, {max(times)} places of a row", look.fields, {"row_gradients": expect})


ACTIVATIONS = ["none", "relu", "sigmoid", "silu", "gelu", "tanh"]
SAVED, KEPT = ("silu", "gelu"), ("relu", "sigmoid", "tanh")
ROOT = math.sqrt(2 / math.pi)


def sigmoid(z):
    e = math.exp(-abs(z))
    return (1.0 if z >= 0.0 else e) / (1.0 + e)


def activated(name, z):
    if name == "gelu":
        return 0.5 * z * (1 + math.tanh(ROOT * (z + 0.044715 * z**3)))
    return {"none": lambda: z, "relu": lambda: max(z, 0.0), "sigmoid": lambda: sigmoid(z), "silu": lambda: z * sigmoid(z),
            "tanh": lambda: math.tanh(z)}[name]()


def slope(name, kept):
    """From y or z, whichever the activation keeps."""
    if name == "gelu":
        t = math.tanh(ROOT * (kept + 0.044715 * kept**3))
        return 0.5 * (1 + t) + 0.5 * kept * (1 - t * t) * ROOT * (1 + 3 * 0.044715 * kept * kept)
    return {"none": lambda: 1.0, "relu": lambda: 1.0 if kept > 0.0 else 0.0, "sigmoid": lambda: kept * (1 - kept),
            "silu": lambda: sigmoid(kept) * (1 + kept * (1 - sigmoid(kept))), "tanh": lambda: 1 - kept * kept}[name]()


def layer_shapes(draw):
    """rows, in, out, activation."""
    for name in ACTIVATIONS:
        yield draw.choice([1, 5, 33]), draw.choice([1, 7, 16]), draw.choice([1, 5, 20]), name
    for rows, inputs, outputs in ((0, 3, 2), (65, 17, 66), (257, 3, 5), (700, 9, 4)):
        yield rows, inputs, outputs, draw.choice(ACTIVATIONS)


def linear_cases(draw, _):
    for rows, inputs, outputs, name in layer_shapes(draw):
        x, w = normals(draw, rows * inputs), normals(draw, inputs * outputs)
        bias = normals(draw, outputs) if draw.randrange(2) else None
        z, y, z_bounds, y_bounds = [], [], [], []
        for r in range(rows):
            for j in range(outputs):
                terms = [x[r * inputs + k] * w[k * outputs + j] for k in range(inputs)] + ([bias[j]] if bias else [])
                off = (inputs + 3) * U * math.fsum(map(abs, terms))
                z.append(math.fsum(terms))
                y.append(activated(name, z[-1]))
                z_bounds.append(off + SMALLEST)
                y_bounds.append(1.13 * off + 16 * U * (1 + abs(y[-1])))
        fields = dict(rows=rows, out=outputs, activation=ACTIVATIONS.index(name), x=Array("f32", x), weights=Array("f32", w),
                      y=out("f32", rows * outputs))
        fields["in"] = inputs
        expect = {"y": Expect(y, bounds=y_bounds)}
        if bias:
            fields["bias"] = Array("f32", bias)
        if name in SAVED:
            fields["saved"], expect["saved"] = out("f32", rows * outputs), Expect(z, bounds=z_bounds)
        yield Case(f"{rows} x {inputs} x {outputs}, {name}", fields, expect)


def linear_backward_cases(draw, _):
    for rows, inputs, outputs, name in layer_shapes(draw):
        x, w, dy = normals(draw, rows * inputs), normals(draw, inputs * outputs), normals(draw, rows * outputs)
        kept = normals(draw, rows * outputs)
        kept = [single(activated(name, v)) if name in KEPT else v for v in kept]
        dz = [g * slope(name, v) for g, v in zip(dy, kept)]
        before, bias_before = normals(draw, inputs * outputs), normals(draw, outputs)
        dx, dw, db = [], list(before), list(bias_before)
        w_size, b_size, x_bounds = [0.0] * len(w), [0.0] * outputs, []
        for r in range(rows):
            for k in range(inputs):
                dx.append(math.fsum(dz[r * outputs + j] * w[k * outputs + j] for j in range(outputs)))
                size = math.fsum(abs(dy[r * outputs + j] * w[k * outputs + j]) for j in range(outputs))
                x_bounds.append(1.13 * (outputs + 20) * U * size + SMALLEST)
                for j in range(outputs):
                    dw[k * outputs + j] += x[r * inputs + k] * dz[r * outputs + j]
                    w_size[k * outputs + j] += abs(x[r * inputs + k] * dy[r * outputs + j])
            for j in range(outputs):
                db[j], b_size[j] = db[j] + dz[r * outputs + j], b_size[j] + abs(dy[r * outputs + j])
        allowed = lambda size, old: [(rows + 20) * U * (1.13 * s + abs(b)) for s, b in zip(size, old)]
        fields = dict(rows=rows, out=outputs, activation=ACTIVATIONS.index(name), x=Array("f32", x), weights=Array("f32", w),
                      y_gradients=Array("f32", dy), weight_gradients=both("f32", before))
        fields["in"] = inputs
        expect = {"weight_gradients": Expect(dw, bounds=allowed(w_size, before))}
        if name in SAVED + KEPT:
            fields["saved" if name in SAVED else "y"] = Array("f32", kept)
        if draw.randrange(3):
            fields["x_gradients"], expect["x_gradients"] = out("f32", rows * inputs), Expect(dx, bounds=x_bounds)
        if draw.randrange(3):
            fields["bias_gradients"] = both("f32", bias_before)
            expect["bias_gradients"] = Expect(db, bounds=allowed(b_size, bias_before))
        yield Case(f"{rows} x {inputs} x {outputs}, {name}", fields, expect)


def copy_columns_cases(draw, _):
    for rows, columns in ((0, 3), (1, 1), (5, 0), (7, 33), (300, 5), (2, 1000)):
        strides = columns + draw.choice([0, 1, 4]), columns + draw.choice([0, 2, 7])
        source, target = normals(draw, rows * strides[0]), normals(draw, rows * strides[1])
        wanted = list(target)
        for r in range(rows):
            wanted[r * strides[1] : r * strides[1] + columns] = source[r * strides[0] : r * strides[0] + columns]
        fields = dict(rows=rows, columns=columns, from_stride=strides[0], to_stride=strides[1], to=both("f32", target))
        fields["from"] = Array("f32", source)
        yield Case(f"{rows} x {columns}, strides {strides}", fields, {"to": Expect(wanted)})


ADD_TO = 1


def scale_cases(draw, _):
    for size in (0, 1, 255, 257, 5000):
        for flags in (0, ADD_TO):
            scale, source, before = single(draw.gauss(0, 1)), normals(draw, size), normals(draw, size)
            scaled = [single(scale * v) for v in source]
            wanted = [single(b + v) for b, v in zip(before, scaled)] if flags else scaled
            fields = dict(flags=flags, size=size, scale=scale, to=both("f32", before))
            fields["from"] = Array("f32", source)
            yield Case(f"{size}, flags {flags}", fields, {"to": Expect(wanted)})


OPERATORS = [
    Operator("fields", fields_cases),
    Operator("fields_backward", fields_backward_cases),
    Operator("linear", linear_cases),
    Operator("linear_backward", linear_backward_cases),
    Operator("copy_columns", copy_columns_cases),
    Operator("scale", scale_cases),
]
