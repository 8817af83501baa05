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


CHECKS = [check_router]
