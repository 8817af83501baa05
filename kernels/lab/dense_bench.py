"""Benches of norms and dense optimizers: what moves memory, beside a copy and PyTorch's fused operators."""

import ctypes

from bench_run import Row
from table import Bench

ADAM, RATE, BETAS = 5, 1e-3, (0.9, 0.999)


def optimizer(run):
    """Adam on an arena of 64 Mi weights in tensors of 1 Mi, with the bf16 copy: gradients, weights, both moments, the copy."""
    torch, each = run.torch, run.pick(1 << 20, 1 << 10)
    count = run.pick(64, 4)
    size, state_size = count * each, count * (2 * each + 4)
    row = Row(f"dense adam, {size} weights with bf16 copies", "of copy", 0.85)
    w, g = run.normal(size), run.normal(size)
    parameters = [x.clone().requires_grad_() for x in w.split(each)]
    run.peer(row, "torch fused Adam, no copy", lambda: adam_peer(run, parameters, g.split(each)), capture=False)
    state, brains, before = torch.zeros(state_size, device=run.device), run.empty(size, form="bf16"), w.clone()
    make = lambda: [adam_call(run, count, each, w, g, state, brains)]
    run.ours(row, ["dense_update"], make, lambda: (adam_error(run, before, g, w, brains), 1e-6))
    return [run.of_copy(row, size * (4 + 8 + 16 + 2))]


def adam_peer(run, parameters, gradients):
    adam = run.torch.optim.Adam(parameters, lr=RATE, betas=BETAS, fused=True)
    for parameter, g in zip(parameters, gradients):
        parameter.grad = g.clone()
    return [adam.step]


def adam_call(run, count, each, w, g, state, brains):
    """Tensors one after another, their states as well, four words of room between."""
    library, kind = run.library, run.library.headers.structs["headrace_dense_tensor"]
    tensors = (kind * count)(*(kind(begin=t * each, size=each, state_begin=t * (2 * each + 4), rate=RATE) for t in range(count)))
    blocks = ctypes.c_uint64()
    library.need(library.c.headrace_dense_plan(tensors, ctypes.c_uint64(count), ctypes.byref(blocks)))
    placed = run.torch.frombuffer(bytearray(tensors), dtype=run.torch.uint8).to(run.device)
    return run.call("dense_update", size=len(w), state_size=len(state), tensors_count=count, blocks=blocks.value, tensors=placed,
                    weights=w, gradients=g, state=state, brains=brains, rule=ADAM, beta1=BETAS[0], beta2=BETAS[1])


def adam_error(run, before, g, after, brains):
    """The first step: moments are the gradient and its square, so the step is rate * sign but for epsilon."""
    wanted = before.double() - RATE * g.double() / (g.double().abs() + 1e-8)
    copies = run.torch.equal(after.to(run.torch.bfloat16), brains)
    return max(run.distance(after, wanted), 0.0 if copies else 1.0)


def scan(run):
    """Largest magnitude and sum of squares of 64 Mi gradients, read once."""
    n = run.pick(1 << 26, 1 << 12)
    sets = [(run.normal(n), run.empty(6, form="u32")) for _ in range(run.sets(4 * n))]
    row = Row(f"gradient scan, {n}", "of copy", 0.80)
    run.peer(row, "isfinite().all() and norm()", lambda: [lambda g=g: (g.isfinite().all(), g.norm()) for g, _ in sets])
    calls = lambda: [run.call("gradient_scan", flags=1, size=n, gradients=g, verdict=v) for g, v in sets]
    squares = lambda: sets[0][1].view(run.torch.float64)[2:]
    run.ours(row, ["gradient_scan"], calls, lambda: (run.distance(squares(), (sets[0][0].double() ** 2).sum().view(1)), 1e-12))
    return [run.of_copy(row, 4 * n)]


def norms(run):
    """LayerNorm with its residual, forward and backward: rows read and written once."""
    made, torch = [], run.torch
    for dim in (256, 2048):
        rows = run.pick(1 << 26, 1 << 12) // dim
        gain, bias = run.normal(dim), run.normal(dim)
        sets = [tuple(run.normal(rows, dim) for _ in range(2)) + tuple(run.empty(rows, dim) for _ in range(2)) +
                tuple(run.empty(rows) for _ in range(2)) for _ in range(2)]
        x, r, s, y, _, _ = sets[0]
        row = Row(f"layer norm + residual, {rows} x {dim}", "of copy", 0.80)
        peer = torch.nn.functional.layer_norm
        run.peer(row, "add, layer_norm", lambda: [lambda x=x, r=r: peer(x + r, (dim,), gain, bias) for x, r, *_ in sets])
        calls = lambda: [run.call("layer_norm", rows=rows, dim=dim, x=x, residual=r, gain=gain, bias=bias, sum=s, y=y, mean=m,
                                  rstd=d, epsilon=1e-5) for x, r, s, y, m, d in sets]
        wanted = lambda: peer(x.double() + r.double(), (dim,), gain.double(), bias.double())
        run.ours(row, ["layer_norm"], calls, lambda: (run.distance(y, wanted()), 1e-5))
        made.append(run.of_copy(row, 16 * rows * dim))
        made.append(norm_backward(run, rows, dim, gain, sets, row.ours))
    return made


def norm_backward(run, rows, dim, gain, sets, forward):
    """dy and s read, dx written; x is dy here, the residual takes dx."""
    torch, row = run.torch, Row(f"layer norm backward, {rows} x {dim}", "of copy", 0.80)
    if not forward:
        row.state = "no forward"
        return row
    sums = [(torch.zeros(dim, device=run.device), torch.zeros(dim, device=run.device)) for _ in sets]
    calls = lambda: [run.call("layer_norm_backward", rows=rows, dim=dim, sum=s, gain=gain, mean=m, rstd=d, y_gradients=dy,
                              x_gradients=dx, gain_gradients=a, bias_gradients=b)
                     for (dy, dx, s, _, m, d), (a, b) in zip(sets, sums)]
    dy, dx, s, *_ = sets[0]
    leaf = s.double().requires_grad_()
    out = torch.nn.functional.layer_norm(leaf, (dim,), gain.double())
    wanted = torch.autograd.grad(out, leaf, dy.double())[0]
    run.ours(row, ["layer_norm_backward"], calls, lambda: (run.distance(dx, wanted), 1e-5))
    return run.of_copy(row, 12 * rows * dim)


BENCHES = [
    Bench("dense optimizer", ("dense_update",), optimizer),
    Bench("gradient scan", ("gradient_scan",), scan),
    Bench("layer norm", ("layer_norm", "layer_norm_backward"), norms),
]
