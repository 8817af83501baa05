"""Checks of headrace_dense.h for smoke.py: small sizes against plain Python arithmetic."""

import ctypes
import math
import struct

TOLERANCE = 1e-4


class Arrays:
    """Arrays of one call in a library's memory."""

    def __init__(self, library, draw):
        self.library, self.draw = library, draw

    def put(self, values, kind="f"):
        return self.library.memory(struct.pack(f"<{len(values)}{kind}", *values))

    def drawn(self, count, scale=1.0):
        """f32 numbers and where they lie."""
        values = [struct.unpack("f", struct.pack("f", self.draw.uniform(-scale, scale)))[0] for _ in range(count)]
        return values, self.put(values)

    def room(self, count, kind="f"):
        return self.library.memory(b"\xff" * (count * struct.calcsize(kind)))

    def get(self, at, count, kind="f"):
        return list(struct.unpack(f"<{count}{kind}", self.library.read(at, count * struct.calcsize(kind))))

    def expect(self, at, wanted, kind="f"):
        got = self.get(at, len(wanted), kind)
        for i, (x, y) in enumerate(zip(got, wanted)):
            assert abs(x - y) <= TOLERANCE * max(1.0, abs(y)), (i, x, y)


def check_layer_norm(library, draw):
    a, rows, dim = Arrays(library, draw), 3, 20
    x, x_at = a.drawn(rows * dim)
    gain, gain_at = a.drawn(dim)
    bias, bias_at = a.drawn(dim)
    y, mean, rstd = a.room(rows * dim), a.room(rows), a.room(rows)
    library.need(library.call("layer_norm", rows=rows, dim=dim, x=x_at, gain=gain_at, bias=bias_at, y=y, mean=mean, rstd=rstd, epsilon=1e-5))
    wanted, factors, means = [], [], []
    for r in range(rows):
        row = x[r * dim : (r + 1) * dim]
        means.append(sum(row) / dim)
        factors.append(1 / math.sqrt(sum((v - means[r]) ** 2 for v in row) / dim + 1e-5))
        wanted += [(v - means[r]) * factors[r] * g + b for v, g, b in zip(row, gain, bias)]
    a.expect(y, wanted)
    a.expect(rstd, factors)
    dy, dy_at = a.drawn(rows * dim)
    dx, dgain, dbias = a.room(rows * dim), a.put([1.0] * dim), a.put([2.0] * dim)
    library.need(library.call("layer_norm_backward", rows=rows, dim=dim, sum=x_at, gain=gain_at, mean=mean, rstd=rstd, y_gradients=dy_at,
                              x_gradients=dx, gain_gradients=dgain, bias_gradients=dbias))
    a.expect(dbias, [2.0 + sum(dy[c::dim]) for c in range(dim)])
    hat = [(x[i] - means[i // dim]) * factors[i // dim] for i in range(rows * dim)]
    a.expect(dgain, [1.0 + sum(dy[i] * hat[i] for i in range(c, rows * dim, dim)) for c in range(dim)])
    assert all(math.isfinite(v) for v in a.get(dx, rows * dim))


def check_fm(library, draw):
    a, samples, features, latent, unique = Arrays(library, draw), 4, 3, 5, 6
    width = 1 + latent
    rows, rows_at = a.drawn(unique * width)
    inverse = [draw.randrange(unique) for _ in range(samples * features)]
    inverse_at, logits, sums = a.put(inverse, "I"), a.room(samples), a.room(samples * latent)
    shape = {"unique": unique, "samples": samples, "features": features, "latent_dim": latent, "rows": rows_at, "inverse": inverse_at}
    library.need(library.call("fm", **shape, logits=logits, sums=sums, bias=0.5))
    wanted = []
    for s in range(samples):
        own = [rows[i * width : (i + 1) * width] for i in inverse[s * features : (s + 1) * features]]
        columns = list(zip(*own))
        wanted.append(0.5 + sum(columns[0]) + sum(0.5 * (sum(c) ** 2 - sum(v * v for v in c)) for c in columns[1:]))
    a.expect(logits, wanted)
    g, g_at = a.drawn(samples)
    order = sorted(range(len(inverse)), key=lambda i: (inverse[i], i))
    out, bias = a.put([0.0] * (unique * width)), a.room(1)
    library.need(library.call("fm_backward", **shape, order=a.put(order, "I"), sums=sums, logit_gradients=g_at, row_gradients=out, bias_gradient=bias))
    a.expect(bias, [sum(g)])
    got = a.get(out, unique * width)
    first = [sum(g[i // features] for i in range(len(inverse)) if inverse[i] == u) for u in range(unique)]
    assert all(abs(x - y) < TOLERANCE for x, y in zip(got[::width], first)), (got, first)


def check_dot_interaction(library, draw):
    a, samples, fields, dim = Arrays(library, draw), 2, 5, 7
    e, at = a.drawn(samples * fields * dim)
    pairs = fields * (fields - 1) // 2
    out = a.room(samples * pairs)
    shape = {"samples": samples, "fields": fields, "dim": dim, "sample_stride": fields * dim, "field_stride": dim, "out_stride": pairs}
    library.need(library.call("dot_interaction", **shape, values=at, out=out))
    row = lambda s, f: e[(s * fields + f) * dim : (s * fields + f + 1) * dim]
    dot = lambda x, y: sum(u * v for u, v in zip(x, y))
    a.expect(out, [dot(row(s, i), row(s, j)) for s in range(samples) for i in range(fields) for j in range(i)])
    g, g_at = a.drawn(samples * pairs)
    back = a.room(samples * fields * dim)
    library.need(library.call("dot_interaction_backward", **shape, gradient_sample_stride=fields * dim, gradient_field_stride=dim,
                              values=at, out_gradients=g_at, field_gradients=back))
    pair = lambda i, j: max(i, j) * (max(i, j) - 1) // 2 + min(i, j)
    a.expect(back, [sum(g[s * pairs + pair(i, j)] * row(s, j)[k] for j in range(fields) if j != i)
                    for s in range(samples) for i in range(fields) for k in range(dim)])


def check_cross_combine(library, draw):
    a, rows, dim = Arrays(library, draw), 3, 6
    (x0, x0_at), (x, x_at), (w, w_at), (bias, bias_at) = a.drawn(rows * dim), a.drawn(rows * dim), a.drawn(rows * dim), a.drawn(dim)
    out = a.room(rows * dim)
    library.need(library.call("cross_combine", rows=rows, dim=dim, x0=x0_at, x=x_at, bias=bias_at, affine=w_at, out=out))
    u = [v + bias[i % dim] for i, v in enumerate(w)]
    a.expect(out, [x[i] + x0[i] * u[i] for i in range(rows * dim)])
    g, g_at = a.drawn(rows * dim)
    du, dx0, db = a.room(rows * dim), a.put([1.0] * (rows * dim)), a.put([0.0] * dim)
    library.need(library.call("cross_combine_backward", rows=rows, dim=dim, x0=x0_at, affine=w_at, out_gradients=g_at, affine_gradients=du,
                              x0_gradients=dx0, bias_gradients=db))
    a.expect(du, [g[i] * x0[i] for i in range(rows * dim)])
    a.expect(dx0, [1.0 + g[i] * u[i] for i in range(rows * dim)])
    a.expect(db, [sum(g[i] * x0[i] for i in range(c, rows * dim, dim)) for c in range(dim)])


def check_gate_mix(library, draw):
    a, rows, experts, dim = Arrays(library, draw), 3, 4, 5
    (z, z_at), (v, v_at) = a.drawn(rows * experts), a.drawn(rows * experts * dim)
    gates, out = a.room(rows * experts), a.room(rows * dim)
    shape = {"rows": rows, "experts": experts, "dim": dim, "expert_outputs": v_at, "gates": gates}
    library.need(library.call("gate_mix", **shape, gate_logits=z_at, outputs=out))
    p = []
    for r in range(rows):
        e = [math.exp(t) for t in z[r * experts : (r + 1) * experts]]
        p += [t / sum(e) for t in e]
    a.expect(gates, p)
    a.expect(out, [sum(p[r * experts + e] * v[(r * experts + e) * dim + k] for e in range(experts)) for r in range(rows) for k in range(dim)])
    d, d_at = a.drawn(rows * dim)
    dz, dv = a.room(rows * experts), a.room(rows * experts * dim)
    library.need(library.call("gate_mix_backward", **shape, output_gradients=d_at, gate_logit_gradients=dz, expert_gradients=dv))
    a.expect(dv, [p[i // dim] * d[i // dim // experts * dim + i % dim] for i in range(rows * experts * dim)])
    assert abs(sum(a.get(dz, rows * experts))) < TOLERANCE


def check_losses(library, draw):
    a, n = Arrays(library, draw), 9
    (z, z_at), (w, w_at) = a.drawn(n, 4.0), a.drawn(n, 4.0)
    y, t = [float(draw.randrange(2)) for _ in range(n)], [float(draw.randrange(2)) for _ in range(n)]
    sigmoid = lambda x: 1 / (1 + math.exp(-x))
    entropy = lambda p, label: -math.log(p if label else 1 - p)
    p, g, loss = a.room(n), a.room(n), a.room(1, "d")
    library.need(library.call("bce", samples=n, logits=z_at, labels=a.put(y), probabilities=p, logit_gradients=g, loss=loss))
    a.expect(p, [sigmoid(v) for v in z])
    a.expect(g, [sigmoid(v) - label for v, label in zip(z, y)])
    a.expect(loss, [sum(entropy(sigmoid(v), label) for v, label in zip(z, y))], "d")
    outs = {name: a.room(n) for name in ("p_ctr", "p_cvr", "p_ctcvr", "ctr_gradients", "cvr_gradients")}
    losses = a.room(2, "d")
    library.need(library.call("esmm_loss", samples=n, ctr_logits=z_at, cvr_logits=w_at, clicks=a.put(y), conversions=a.put(t), losses=losses,
                              click_weight=1.0, conversion_weight=1.0, **outs))
    a.expect(outs["p_ctcvr"], [sigmoid(u) * sigmoid(v) for u, v in zip(z, w)])
    a.expect(losses, [sum(entropy(sigmoid(v), label) for v, label in zip(z, y)),
                      sum(entropy(sigmoid(u) * sigmoid(v), label) for u, v, label in zip(z, w, t))], "d")


def check_dense_step(library, draw):
    """A scan of scaled gradients, then SGD on two tensors where it was clean; a NaN halves the scale and nothing moves."""
    a = Arrays(library, draw)
    tensor = "QQQfffI"
    host = ctypes.create_string_buffer(struct.pack(f"<{2 * tensor}", 0, 5, 0, 0.5, 0.0, 0.0, 9, 8, 4, 0, 0.25, 0.0, 0.0, 9))
    blocks = ctypes.c_uint64()
    library.need(library.c.headrace_dense_plan(host, ctypes.c_uint64(2), ctypes.byref(blocks)))
    assert blocks.value == 2, blocks
    w, w_at = a.drawn(12)
    g, g_at = a.drawn(12, 1024.0)
    scaler = library.memory(struct.pack("<fIQ", 1024.0, 0, 0))
    verdict = library.memory(bytes(24))
    scan = {"flags": 1, "size": 12, "scaler": scaler, "verdict": verdict, "growth_interval": 1, "scale_min": 1.0, "scale_max": 65536.0}
    library.need(library.call("gradient_scan", gradients=g_at, **scan))
    _, finite, inverse, _, squares = struct.unpack("<IIffd", library.read(verdict, 24))
    assert finite == 1 and inverse == 1 / 1024, (finite, inverse)
    exact = sum((v / 1024) ** 2 for v in g)
    assert abs(squares - exact) <= 1e-9 * exact, (squares, exact)
    assert struct.unpack("<fIQ", library.read(scaler, 16)) == (2048.0, 0, 0)
    step = {"size": 12, "tensors_count": 2, "blocks": blocks.value, "tensors": library.memory(host.raw[:80]), "verdict": verdict,
            "weights": w_at, "state": a.room(1), "rule": 1, "brains": a.room(12, "H")}
    library.need(library.call("dense_update", gradients=g_at, **step))
    moved = [x - (0.5 if i < 5 else 0.25 if i >= 8 else 0.0) * v / 1024 for i, (x, v) in enumerate(zip(w, g))]
    a.expect(w_at, moved)
    broken = a.put([math.nan] + g[1:])
    library.need(library.call("gradient_scan", gradients=broken, **scan))
    assert struct.unpack("<fIQ", library.read(scaler, 16)) == (1024.0, 0, 1)
    library.need(library.call("dense_update", gradients=broken, **step))
    a.expect(w_at, moved)


CHECKS = [check_layer_norm, check_fm, check_dot_interaction, check_cross_combine, check_gate_mix, check_losses, check_dense_step]
