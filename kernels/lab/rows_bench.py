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


BENCHES = [
    Bench("row codec", ("quantize_rows", "dequantize_rows"), codec),
    Bench("row optimizer", ("sparse_update",), update),
]
