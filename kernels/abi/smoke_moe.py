"""Checks of headrace_moe.h for smoke.py: small sizes against plain Python arithmetic."""

import math
import struct

from smoke_dense import TOLERANCE, Arrays

NONE = 0xFFFFFFFF


def check_router(library, draw):
    """Experts of six tokens under a capacity of two, then the plan and rows there and back."""
    a, tokens, experts, k, dim = Arrays(library, draw), 6, 4, 2, 5
    z, z_at = a.drawn(tokens * experts, 2.0)
    out = {"probabilities": a.room(tokens * experts), "lse": a.room(tokens), "mean_probabilities": a.room(experts), "gates": a.room(tokens * k),
           "chosen": a.room(tokens * k, "I"), "loads": a.room(experts, "I"), "routes": a.room(tokens * k, "I")}
    report = library.memory(bytes(40))
    shape = {"tokens": tokens, "experts": experts, "per_token": k}
    library.need(library.call("moe_router", flags=1, **shape, capacity=2, logits=z_at, report=report, balance=0.1, entropy=0.0, z=0.0, **out))
    gates, chosen = a.get(out["gates"], tokens * k), a.get(out["chosen"], tokens * k, "I")
    for t in range(tokens):
        row = z[t * experts : (t + 1) * experts]
        best = sorted(range(experts), key=lambda e: -row[e])[:k]
        assert chosen[t * k : (t + 1) * k] == best, (t, best)
        top = [math.exp(row[e]) for e in best]
        assert all(abs(g - x / sum(top)) < TOLERANCE for g, x in zip(gates[t * k : (t + 1) * k], top)), t
    loads = [chosen.count(e) for e in range(experts)]
    assert a.get(out["loads"], experts, "I") == loads
    assert struct.unpack("<ddddQ", library.read(report, 40))[4] == sum(max(n - 2, 0) for n in loads)
    routes = a.get(out["routes"], tokens * k, "I")
    for i, route in enumerate(routes):
        before = sum(chosen[j] == chosen[i] and (gates[j] > gates[i] or (gates[j] == gates[i] and j < i)) for j in range(tokens * k))
        assert route == (chosen[i] if before < 2 else NONE), i
    offsets, places = a.room(experts + 1, "I"), a.room(tokens * k, "I")
    library.need(library.call("moe_plan", **shape, routes=out["routes"], offsets=offsets, places=places))
    order = sorted((i for i in range(tokens * k) if routes[i] != NONE), key=lambda i: (routes[i], i))
    wanted = [order.index(i) if i in order else NONE for i in range(tokens * k)]
    assert a.get(places, tokens * k, "I") == wanted
    check_rows(library, a, (tokens, k, dim), (wanted, places), (gates, out["gates"]))
    g, g_at = a.drawn(tokens * k)
    back = a.room(tokens * experts)
    forward = {name: at for name, at in out.items()}
    library.need(library.call("moe_router_backward", flags=1, **shape, **forward, gate_gradients=g_at, logit_gradients=back,
                              balance=0.0, entropy=0.0, z=0.0))
    kept = [g[i] if routes[i] != NONE else 0.0 for i in range(tokens * k)]
    slope = [0.0] * (tokens * experts)
    for i in range(tokens * k):
        t = i // k
        shared = sum(kept[j] * gates[j] for j in range(t * k, (t + 1) * k))
        slope[t * experts + chosen[i]] += gates[i] * (kept[i] - shared)
    a.expect(back, slope)


def check_rows(library, a, sizes, places, gates):
    """moe_permute, moe_combine and its gradients."""
    tokens, k, dim = sizes
    x, x_at = a.drawn(tokens * dim)
    count = tokens * k
    rows = a.room(count * dim)
    shape = {"tokens": tokens, "per_token": k, "rows_count": count, "places": places[1]}
    library.need(library.call("moe_permute", row_bytes=4 * dim, x=x_at, rows=rows, **shape))
    y, dy = a.room(tokens * dim), a.drawn(tokens * dim)
    library.need(library.call("moe_combine", dim=dim, rows=rows, gates=gates[1], y=y, **shape))
    share = [sum(gates[0][t * k + s] for s in range(k) if places[0][t * k + s] != NONE) for t in range(tokens)]
    a.expect(y, [share[i // dim] * x[i] for i in range(tokens * dim)])
    dgates = a.room(count)
    library.need(library.call("moe_combine_backward", dim=dim, rows=rows, gates=gates[1], y_gradients=dy[1], row_gradients=rows,
                              gate_gradients=dgates, **shape))
    dot = [sum(x[t * dim + c] * dy[0][t * dim + c] for c in range(dim)) for t in range(tokens)]
    a.expect(dgates, [dot[i // k] if places[0][i] != NONE else 0.0 for i in range(count)])


def brains(values):
    """f32 numbers cut to bfloat16, and their bits."""
    bits = [struct.unpack("<I", struct.pack("<f", v))[0] >> 16 for v in values]
    return [struct.unpack("<f", struct.pack("<I", b << 16))[0] for b in bits], bits


def check_grouped_ffn(library, draw):
    """Three experts of which one has no row: in f32 on the CPU, in bfloat16 on CUDA; relu."""
    a, loads, dim, hidden = Arrays(library, draw), [3, 0, 2], 8, 16
    rows, experts = sum(loads), len(loads)
    offsets = [sum(loads[:e]) for e in range(experts + 1)]
    cpu = library.backend == "cpu"
    put = lambda pair: a.put(pair[0]) if cpu else a.put(pair[1], "H")
    x, w1, w2, dy = (brains([draw.uniform(-1, 1) for _ in range(n)]) for n in (rows * dim, experts * dim * hidden, experts * dim * hidden, rows * dim))
    shape = {"rows": rows, "experts": experts, "dim": dim, "hidden": hidden, "dtype": 0 if cpu else 3, "offsets": a.put(offsets, "I"),
             "x": put(x), "w1": put(w1), "w2": put(w2), "first": a.room(rows * hidden, "f" if cpu else "H")}
    y = a.room(rows * dim)
    library.need(library.call("grouped_ffn", y=y, **shape))
    wanted = []
    for e in range(experts):
        for r in range(offsets[e], offsets[e + 1]):
            h = [max(sum(x[0][r * dim + i] * w1[0][(e * dim + i) * hidden + j] for i in range(dim)), 0.0) for j in range(hidden)]
            wanted += [sum(h[j] * w2[0][(e * hidden + j) * dim + k] for j in range(hidden)) for k in range(dim)]
    scale = TOLERANCE if cpu else 3e-2
    assert all(abs(u - v) <= scale * (1 + abs(v)) for u, v in zip(a.get(y, rows * dim), wanted))
    dw1, dw2, dx = a.put([0.0] * len(w1[0])), a.put([0.0] * len(w2[0])), a.room(rows * dim)
    library.need(library.call("grouped_ffn_backward", y_gradients=put(dy), x_gradients=dx, w1_gradients=dw1, w2_gradients=dw2, **shape))
    each = dim * hidden
    assert not any(a.get(dw1, experts * each)[each : 2 * each]) and not any(a.get(dw2, experts * each)[each : 2 * each])
    # Euler: y is linear in w2, so <dw2, w2> = <dy, y>.
    left = sum(u * v for u, v in zip(a.get(dw2, experts * each), w2[0]))
    right = sum(u * v for u, v in zip(dy[0], wanted))
    assert abs(left - right) <= scale * 30, (left, right)


CHECKS = [check_router, check_grouped_ffn]
