"""Factorization machine, losses and dense optimizers (headrace_dense.h): cases, references, and the bounds of kernels/OP/OP.hpp."""

import ctypes
import math

import steps
import values
from dense import U
from table import Array, Case, Expect, Operator, both, out
from values import normals, single


def fm_shapes(draw):
    """unique, samples, features, latent_dim."""
    return ((1, 1, 1, 1), (9, 5, 4, 8), (30, 12, 39, 16), (6, 4, 3, 0), (7, 3, 5, 33), (5, 2, 26, 64), (3, 0, 2, 4), (4, 3, 0, 4),
            (20, 70, 3, draw.randrange(1, 20)))


class Machine:
    """One batch: rows, inverse, values, and its sums in 64 bits."""

    def __init__(self, draw, unique, samples, features, latent):
        self.width, self.samples, self.features, self.latent = 1 + latent, samples, features, latent
        self.rows = normals(draw, unique * self.width)
        self.inverse = [draw.randrange(unique) for _ in range(samples * features)]
        self.values = normals(draw, samples * features) if draw.randrange(2) else None
        self.fields = dict(unique=unique, samples=samples, features=features, latent_dim=latent, rows=Array("f32", self.rows),
                           inverse=Array("u32", self.inverse))
        if self.values:
            self.fields["values"] = Array("f32", self.values)

    def x(self, place):
        return self.values[place] if self.values else 1.0

    def row(self, place):
        at = self.inverse[place] * self.width
        return self.rows[at : at + self.width]

    def places(self, sample):
        return range(sample * self.features, (sample + 1) * self.features)

    def terms(self, sample, column):
        return [self.row(p)[column] * self.x(p) for p in self.places(sample)]


def fm_cases(draw, _):
    for shape in fm_shapes(draw):
        m, bias = Machine(draw, *shape), single(draw.gauss(0, 1))
        logits, sums, limits = [], [], ([], [])
        for s in range(m.samples):
            first = m.terms(s, 0)
            total, size = bias + math.fsum(first), abs(bias) + math.fsum(map(abs, first))
            for k in range(m.latent):
                terms = m.terms(s, 1 + k)
                plain, whole = math.fsum(terms), math.fsum(map(abs, terms))
                total += 0.5 * (plain * plain - math.fsum(t * t for t in terms))
                size += 0.5 * whole * whole
                sums.append(plain)
                limits[1].append((m.features + 1) * U * whole)
            logits.append(total)
            limits[0].append((2 * m.features + m.latent + 8) * 2 * U * size)
        m.fields.update(bias=bias, logits=out("f32", m.samples), sums=out("f32", m.samples * m.latent))
        yield Case(f"{shape}", m.fields, {"logits": Expect(logits, bounds=limits[0]), "sums": Expect(sums, bounds=limits[1])})


def fm_backward_cases(draw, _):
    for shape in fm_shapes(draw):
        m, g = Machine(draw, *shape), normals(draw, shape[1])
        sums = [single(math.fsum(m.terms(s, 1 + k))) for s in range(m.samples) for k in range(m.latent)]
        before = normals(draw, len(m.rows))
        total, size, times = list(before), [abs(v) for v in before], [0] * shape[0]
        for place, unique in enumerate(m.inverse):
            s, x, row = place // m.features, m.x(place), m.row(place)
            times[unique] += 1
            for c in range(m.width):
                along = sums[s * m.latent + c - 1] if c else 1.0
                inner = along - row[c] * x if c else 1.0
                total[unique * m.width + c] += g[s] * x * inner
                size[unique * m.width + c] += abs(g[s] * x) * (abs(along) + abs(row[c] * x) if c else 1.0)
        order = sorted(range(len(m.inverse)), key=lambda place: (m.inverse[place], place))
        m.fields.update(order=Array("u32", order), sums=Array("f32", sums), logit_gradients=Array("f32", g),
                        row_gradients=both("f32", before), bias_gradient=out("f32", 1))
        bias = math.fsum(g)
        yield Case(f"{shape}", m.fields, {
            "row_gradients": Expect(total, bounds=[(times[i // m.width] + 5) * U * v for i, v in enumerate(size)]),
            "bias_gradient": Expect([bias], bounds=[2 * U * abs(bias) + 2.0**-50 * math.fsum(map(abs, g))])})


def softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def sigmoid(x):
    e = math.exp(-abs(x))
    return (1.0 if x >= 0.0 else e) / (1.0 + e)


def drawn_logits(draw, n):
    return [single(draw.choice([draw.gauss(0, 2), draw.gauss(0, 20), 0.0, 80.0, -80.0])) for _ in range(n)]


def drawn_labels(draw, n):
    return [single(draw.choice([0.0, 1.0, draw.random()])) for _ in range(n)]


def bce_cases(draw, _):
    for n in (0, 1, 3, 31, 32, 257, 1025, 5000):
        z, y = drawn_logits(draw, n), drawn_labels(draw, n)
        p = [sigmoid(v) for v in z]
        loss = math.fsum(softplus(a) - a * b for a, b in zip(z, y))
        yield Case(f"{n}", dict(samples=n, logits=Array("f32", z), labels=Array("f32", y), probabilities=out("f32", n),
                                logit_gradients=out("f32", n), loss=out("f64", 1)),
                   {"probabilities": Expect(p, bounds=[4 * U * v for v in p]),
                    "logit_gradients": Expect([a - b for a, b in zip(p, y)], bounds=[U * (4 * a + abs(a - b)) for a, b in zip(p, y)]),
                    "loss": Expect([loss], bounds=[math.fsum(8 * U * (abs(v) + math.log(2)) for v in z)])})


def share_of(own, other):
    top = 1.0 + math.exp(-abs(other))
    return top / (top + math.exp(min(own - max(other, 0.0), 700.0)))


def joint_logit(a, b):
    largest = max(-a, -b, -a - b)
    return -largest - math.log(math.exp(-a - largest) + math.exp(-b - largest) + math.exp(-a - b - largest))


def esmm_loss_cases(draw, _):
    for n in (0, 1, 5, 32, 300, 3000):
        a, b, click, bought = drawn_logits(draw, n), drawn_logits(draw, n), drawn_labels(draw, n), drawn_labels(draw, n)
        weights = single(draw.uniform(0.1, 2)), single(draw.uniform(0.1, 2))
        ctr, cvr = [sigmoid(v) for v in a], [sigmoid(v) for v in b]
        both_p = [p * q for p, q in zip(ctr, cvr)]
        zeta = [joint_logit(p, q) for p, q in zip(a, b)]
        off = [weights[1] * (p - y) for p, y in zip(both_p, bought)]
        da = [weights[0] * (p - y) + o * share_of(x, z) for p, y, o, x, z in zip(ctr, click, off, a, b)]
        db = [o * share_of(z, x) for o, x, z in zip(off, a, b)]
        loss = lambda z, y: math.fsum(l * softplus(-x) + (1 - l) * softplus(x) for x, l in zip(z, y))
        allowed = [U * (8 * weights[0] + 48 * weights[1])] * n
        fields = dict(samples=n, ctr_logits=Array("f32", a), cvr_logits=Array("f32", b), clicks=Array("f32", click),
                      conversions=Array("f32", bought), click_weight=weights[0], conversion_weight=weights[1], losses=out("f64", 2))
        fields.update({name: out("f32", n) for name in ("p_ctr", "p_cvr", "p_ctcvr", "ctr_gradients", "cvr_gradients")})
        yield Case(f"{n}", fields, {
            "p_ctr": Expect(ctr, bounds=[4 * U * v for v in ctr]), "p_cvr": Expect(cvr, bounds=[4 * U * v for v in cvr]),
            "p_ctcvr": Expect(both_p, bounds=[max(10 * U * v, 2.0**-126) for v in both_p]),
            "ctr_gradients": Expect(da, bounds=allowed), "cvr_gradients": Expect(db, bounds=allowed),
            "losses": Expect([loss(a, click), loss(zeta, bought)],
                             bounds=[math.fsum(8 * U * (abs(v) + math.log(2)) for v in a),
                                     math.fsum(U * (12 * abs(v) + 24) for v in zeta)])})


SQUARES = 1


def scaler_bytes(scale, clean, skipped):
    return values.encode("f32", [scale]) + values.encode("u32", [clean]) + values.encode("u64", [skipped])


def words(data):
    return Expect(values.decode("u32", data))


def gradient_scan_cases(draw, _):
    """Gradients are multiples of 2^-6, so that sums of squares are exact in any order."""
    for n in (0, 1, 5, 1023, 4097, 20000):
        for kind in ("finite", "inf", "nan", "no scaler"):
            g = [draw.randrange(-4000, 4001) * 2.0**-6 for _ in range(n)]
            if n and kind in ("inf", "nan"):
                g[draw.randrange(n)] = float(kind)
            scaler, flags, finite = kind != "no scaler", draw.choice([0, SQUARES]), all(map(math.isfinite, g))
            flags = flags if finite else 0
            scale, clean, skipped = 2.0 ** draw.randrange(1, 20), draw.choice([0, 4, 9]), draw.randrange(5)
            inverse = 1 / scale if scaler else 1.0
            after = (scale, clean + 1, skipped) if clean < 9 else (min(2 * scale, 2.0**18), 0, skipped)
            after = after if finite else (max(scale / 2, 4.0), 0, skipped + 1)
            largest = max((values.float_bits(v) & 0x7FFFFFFF for v in g), default=0)
            squares = math.fsum(v * v for v in g) * inverse**2 if flags else 0.0
            verdict = values.encode("u32", [largest, int(finite)]) + values.encode("f32", [inverse, 0.0])
            fields = dict(flags=flags, size=n, gradients=Array("f32", g, "in", draw.choice([0, 1])), verdict=out("u32", 6),
                          growth_interval=10, scale_min=4.0, scale_max=2.0**18)
            expect = {"verdict": words(verdict + values.encode("f64", [squares]))}
            if scaler:
                fields["scaler"], expect["scaler"] = both("u32", scaler_bytes(scale, clean, skipped)), words(scaler_bytes(*after))
            yield Case(f"{n}, {kind}, flags {flags}", fields, expect)


def dense_update_case(draw, name, sizes, verdict, brains):
    """Tensors with gaps between them in arena and state; those must stay."""
    gap, begin, state_begin, tensors = 4, 0, 0, []
    whole = steps.drawn_rule(draw, name)
    norm_max = draw.choice([0.0, 0.5])
    inverse, finite, squares = (1.0, True, 0.0) if verdict is None else (2.0**-3, verdict, single(draw.uniform(0.1, 4.0)))
    factor = single(norm_max / math.sqrt(squares)) if norm_max and math.sqrt(squares) > norm_max else 1.0
    weights, state, gradients, copies = [], b"", [], []
    after_weights, after_state = [], b""
    for size in sizes:
        own = steps.Rule(**{**vars(whole), "rate": single(draw.uniform(0.01, 0.5)), "l2": draw.choice([0.0, 0.0625]),
                            "weight_decay": single(draw.uniform(0, 0.1))})
        w, s, g = normals(draw, size), steps.drawn_state(draw, name, size), normals(draw, size)
        filler, state_filler = [1.25] * gap, b"\x5a" * (4 * gap)
        tensors.append((begin, size, state_begin, own))
        begin, state_begin = begin + size + gap, state_begin + steps.state_words(name, size) + gap
        weights, gradients, state = weights + w + filler, gradients + g + [0.5] * gap, state + steps.state_bytes(name, s, size) + state_filler
        if finite:
            scaled = [single(v * inverse) if factor == 1.0 else single(single(v * inverse) * factor) for v in g]
            own.step(w, s, scaled)
        after_weights, after_state = after_weights + w + filler, after_state + steps.state_bytes(name, s, size) + state_filler
        copies += (w if finite else [1.5] * size) + [1.5] * gap
    fields = dict(size=begin, state_size=state_begin, tensors_count=len(sizes), weights=both("f32", weights),
                  gradients=Array("f32", gradients), state=both("u32", state), rule=steps.RULES[name], clip=whole.clip,
                  norm_max=norm_max, momentum=whole.momentum, beta1=whole.beta1, beta2=whole.beta2)
    expect = {"weights": Expect(after_weights), "state": words(after_state)}
    if verdict is not None:
        fields["verdict"] = Array("u32", values.encode("u32", [0, int(finite)]) + values.encode("f32", [inverse, 0.0]) +
                                  values.encode("f64", [squares]))
    if brains:
        fields["brains"], expect["brains"] = both("bf16", [1.5] * begin), Expect(copies)
    return Case(f"{name}, {sizes}, verdict {verdict}, norm_max {norm_max}", fields, expect,
                lambda library, given: planned(library, given, tensors))


def planned(library, fields, tensors):
    """Fills in `tensors` and `blocks` as the library numbers its blocks."""
    kind = library.headers.structs["headrace_dense_tensor"]
    made = (kind * len(tensors))(*(kind(begin=b, size=n, state_begin=s, rate=r.rate, l2=r.l2, weight_decay=r.weight_decay)
                                   for b, n, s, r in tensors))
    blocks = ctypes.c_uint64()
    library.need(library.c.headrace_dense_plan(made, ctypes.c_uint64(len(tensors)), ctypes.byref(blocks)))
    fields.update(tensors=Array("u32", bytes(made)), blocks=blocks.value)


def dense_update_cases(draw, _):
    for name in ("add", "sgd", "adagrad", "momentum", "adam", "adamw"):
        yield dense_update_case(draw, name, [1, 5, 64], None, True)
        yield dense_update_case(draw, name, [4097, 3, 130], True, draw.choice([False, True]))
        yield dense_update_case(draw, name, [7, 33], False, True)


OPERATORS = [
    Operator("fm", fm_cases),
    Operator("fm_backward", fm_backward_cases),
    Operator("bce", bce_cases),
    Operator("esmm_loss", esmm_loss_cases),
    Operator("gradient_scan", gradient_scan_cases),
    Operator("dense_update", dense_update_cases),
]
