"""Benches of the operators on rows, at sizes that fill a device: rows.py has the tests."""

from bench_run import Row
from table import Bench

ADAGRAD = 2


def codec(run):
    """Quantize and dequantize, a copy's bandwidth the limit: dim f32 in, dim codes and a scale out, or back."""
    made = []
    for dim in (16, 64, 128):
        rows = run.pick(1 << 26, 1 << 12) // dim
        size = rows * (5 * dim + 2)
        sets = [(run.normal(rows, dim), run.empty(rows, dim, form="i8"), run.empty(rows, form="u16"), run.empty(rows, dim))
                for _ in range(run.sets(size))]
        encode = lambda: [run.call("quantize_rows", rows=rows, dim=dim, values=v, codes=c, scales=s) for v, c, s, _ in sets]
        decode = lambda: [run.call("dequantize_rows", rows=rows, dim=dim, codes=c, scales=s, values=w) for _, c, s, w in sets]
        row = Row(f"row codec encode, {rows} x {dim}", "of copy", 0.80)
        run.ours(row, ["quantize_rows"], encode, lambda: codec_error(run, sets[0]))
        made.append(run.of_copy(row, size))
        row = Row(f"row codec decode, {rows} x {dim}", "of copy", 0.80)
        wanted = lambda: (sets[0][1].float() * sets[0][2].view(run.torch.float16).float()[:, None])
        run.ours(row, ["dequantize_rows"], decode, lambda: (float(not run.torch.equal(sets[0][3], wanted())), 0.0))
        made.append(run.of_copy(row, size))
    return made


def codec_error(run, arrays):
    """Largest error as a share of the bound of quantize_rows.hpp."""
    values, codes, scales, _ = arrays
    scale = scales.view(run.torch.float16).double()[:, None]
    bound = scale.clamp(min=2.0**-24) / 2 * (1 + 2.0**-15)
    return ((values.double() - codes.double() * scale).abs() / bound).max().item(), 1.0


def update(run):
    """Adagrad on random rows of a table of 2 GiB, states behind the weights: weights and states read and written, gradients read."""
    made = []
    for dim, form in ((16, "f32"), (64, "f32"), (64, "bf16")):
        table_rows = run.pick(1 << 28, 1 << 14) // dim
        rows = table_rows // 16
        table = run.torch.rand(table_rows, 2 * dim, device=run.device)
        size = rows * (dim * (16 + (4 if form == "f32" else 2)) + 4)
        sets = [(run.indices(rows, table_rows), run.normal(rows, dim, form=form)) for _ in range(run.sets(size))]
        at = sets[0][0].long()
        before = table[at].double()
        calls = lambda: [run.call("sparse_update", rows=rows, dim=dim, table=table, table_rows=table_rows, row_stride=2 * dim,
                                  index=index, gradients=g, gradient_dtype=0 if form == "f32" else 3, rule=ADAGRAD, rate=0.05)
                         for index, g in sets]
        row = Row(f"row adagrad, {rows} x {dim} {form}", "of copy", 0.50)
        run.ours(row, ["sparse_update"], calls, lambda: (adagrad_error(run, before, sets[0][1], table[at], dim), 1e-6))
        made.append(run.of_copy(row, size))
    return made


def adagrad_error(run, before, gradients, after, dim):
    g = gradients.double()
    state = before[:, dim:] + g * g
    weights = before[:, :dim] - 0.05 * g / (state.sqrt() + 1e-8)
    return run.distance(after, run.torch.cat([weights, state], 1))


def bag_set(run, occurrences, length, rows):
    """inverse and offsets of bags of one length, rows drawn evenly."""
    torch = run.torch
    inverse = torch.randint(0, rows, (occurrences,), device=run.device, dtype=torch.int32)
    return inverse, torch.arange(0, occurrences + 1, length, device=run.device, dtype=torch.int32)


def gather(run):
    """Rows drawn evenly from a table of 2 GiB, alone and pooled by 20: a row read for each occurrence, a row written for each bag."""
    made = []
    for dim, length, target in ((16, 1, 0.60), (64, 1, 0.85), (16, 20, 0.60), (64, 20, 0.85), (128, 20, 0.85)):
        rows, occurrences = run.pick(1 << 29, 1 << 14) // dim, run.pick(1 << 26, 1 << 12) // dim // length * length
        count = occurrences // length
        table = run.normal(rows, dim)
        size = 4 * (dim * (occurrences + count) + occurrences)
        sets = [(*bag_set(run, occurrences, length, rows), run.empty(count, dim)) for _ in range(run.sets(size))]
        row = Row(f"embedding gather, {4 * dim} B, bags of {length}", "of copy", target)
        bag = run.torch.nn.functional.embedding_bag
        peers = [(inverse.long(), offsets[:-1].long()) for inverse, offsets, _ in sets]
        run.peer(row, "F.embedding_bag", lambda: [lambda i=i, o=o: bag(i, table, o, mode="sum") for i, o in peers])
        calls = lambda: [run.call("gather_pool", rows=rows, dim=dim, values=table, occurrences=occurrences, inverse=inverse,
                                  bags=count, offsets=offsets, out=out) for inverse, offsets, out in sets]
        wanted = lambda: table[sets[0][0].long()].view(count, length, dim).sum(1, dtype=run.torch.float64)
        run.ours(row, ["gather_pool"], calls, lambda: (run.distance(sets[0][2], wanted()), 1e-6))
        made.append(run.of_copy(row, size))
    return made


def backward_update(run):
    """Gradients of pooled bags summed by row, and row-wise Adagrad on those rows of a table of 2 GiB: what must move is each bag's
    gradient, the indices, weights read and written. Clearing the sums is in the time."""
    made, torch = [], run.torch
    for dim in (32, 128):
        table_rows, occurrences, length = run.pick(1 << 29, 1 << 15) // dim, run.pick(1 << 28, 1 << 13) // dim, 4
        rows, count = occurrences // 2, occurrences // length
        table, states = run.normal(table_rows, dim), torch.rand(table_rows, 1, device=run.device)
        sets = [(*bag_set(run, occurrences, length, rows), run.normal(count, dim), run.empty(rows, dim),
                 run.indices(rows, table_rows)) for _ in range(2)]
        at = sets[0][4].long()
        before = table[at].double(), states[at].double()
        row = Row(f"embedding backward + row-wise adagrad, {4 * dim} B", "of copy", 0.50)
        run.ours(row, ["gather_pool_backward", "sparse_update"], lambda: [pushed(run, table, states, *one) for one in sets],
                 lambda: (pushed_error(run, before, sets[0], length, (table[at], states[at])), 1e-6))
        made.append(run.of_copy(row, 4 * (dim * (count + 2 * rows) + occurrences + 3 * rows)))
    return made


ROWWISE, RATE = 4, 0.05


def pushed(run, table, states, inverse, offsets, gradients, sums, index):
    rows, dim = sums.shape
    add = run.call("gather_pool_backward", rows=rows, dim=dim, occurrences=len(inverse), inverse=inverse, bags=len(offsets) - 1,
                   offsets=offsets, out_gradients=gradients, row_gradients=sums)
    step = run.call("sparse_update", rows=rows, dim=dim, table=table, table_rows=len(table), row_stride=dim, states=states,
                    state_stride=1, index=index, gradients=sums, rule=ROWWISE, rate=RATE)

    def call():
        sums.zero_()
        add()
        step()

    return call


def pushed_error(run, before, one, length, after):
    inverse, _, gradients, sums, _ = one
    wanted = run.torch.zeros_like(sums, dtype=run.torch.float64)
    wanted.index_add_(0, inverse.long(), gradients.double().repeat_interleave(length, 0))
    states = before[1] + (wanted * wanted).mean(1, keepdim=True)
    weights = before[0] - RATE * wanted / (states.sqrt() + 1e-8)
    return max(run.distance(sums, wanted), run.distance(after[0], weights), run.distance(after[1], states))


def top_k(run):
    """One percent of 16 Mi values by magnitude, by ascending index; PyTorch's are of magnitudes alone, in order of size."""
    torch, n = run.torch, run.pick(1 << 24, 1 << 12)
    k = n // 100
    sets = [(run.normal(n), run.empty(k, form="u32"), run.empty(k)) for _ in range(run.sets(4 * n))]
    row = Row(f"top-k, {k} of {n}", "x torch.topk", 3.0)
    run.peer(row, "torch.topk", lambda: [lambda x=x: torch.topk(x.abs(), k) for x, *_ in sets])
    run.peer(row, "torch.topk, not sorted", lambda: [lambda x=x: torch.topk(x.abs(), k, sorted=False) for x, *_ in sets])
    calls = lambda: [run.call("top_k", count=n, k=k, values=x, indices=i, selected=v) for x, i, v in sets]
    run.ours(row, ["top_k"], calls, lambda: (top_k_error(torch, k, *sets[0]), 0.0))
    share = Row("  the same", "of copy", 0.25, row.ours, {}, None, row.state)
    return [run.over_peer(row, *row.peers), run.of_copy(share, 4 * n)]


def top_k_error(torch, k, x, indices, selected):
    """0 where the indices ascend, the values are theirs, and their magnitudes are the k largest."""
    at = indices.long()
    right = bool((at[1:] > at[:-1]).all()) and torch.equal(x[at], selected)
    return 0.0 if right and torch.equal(selected.abs().sort(descending=True)[0], torch.topk(x.abs(), k)[0]) else 1.0


def dedup(run):
    """1 Mi keys of a skewed stream: unique ones, inverse and counts, beside torch.unique with the same outputs."""
    torch, n = run.torch, run.pick(1 << 20, 1 << 10)
    row = Row(f"dedup, {n} keys", "x torch.unique", 1.0)
    keys = [(torch.rand(n, device=run.device, dtype=torch.float64) ** 4 * n * 2).long() * 0x9E3779B97 for _ in range(4)]
    sets = [(x, run.torch.empty_like(x), run.empty(n, form="u32"), run.empty(n, form="u32"), run.empty(1, form="u32")) for x in keys]
    unique = lambda x: torch.unique(x, return_inverse=True, return_counts=True)
    run.peer(row, "torch.unique", lambda: [lambda x=x: unique(x) for x in keys], capture=False)
    calls = lambda: [run.call("dedup", count=n, keys=x, unique=u, inverse=i, counts=c, unique_count=m) for x, u, i, c, m in sets]
    run.ours(row, ["dedup"], calls, lambda: (dedup_error(torch, unique, *sets[0]), 0.0))
    return [run.over_peer(row, "torch.unique")]


def dedup_error(torch, unique, keys, found, inverse, counts, count):
    """Keys are below 2^63, so their order is the same signed."""
    wanted, n = unique(keys), int(count.item())
    same = n == len(wanted[0]) and torch.equal(found[:n], wanted[0]) and torch.equal(inverse.long(), wanted[1])
    return 0.0 if same and torch.equal(counts[:n].long(), wanted[2]) else 1.0


BENCHES = [
    Bench("row codec", ("quantize_rows", "dequantize_rows"), codec),
    Bench("embedding gather", ("gather_pool",), gather),
    Bench("row optimizer", ("sparse_update",), update),
    Bench("embedding backward", ("gather_pool_backward", "sparse_update"), backward_update),
    Bench("top-k", ("top_k",), top_k),
    Bench("dedup", ("dedup",), dedup),
]
