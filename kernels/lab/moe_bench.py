"""Benches of mixtures of experts beside PyTorch: moe.py has the tests. The limit is one dense product of the same operations."""

from bench_run import Row
from table import Bench

EXPERTS, DIM, HIDDEN = 16, 2048, 4096


def products(run, tokens):
    """One dense product of the operations of a SwiGLU net, [tokens, DIM] x [DIM, 3 HIDDEN]; PyTorch's grouped product of the
    first layer of even experts, three times (two of its layers have that shape, the third its operations)."""
    form = "bf16" if run.cuda else "f32"
    dim, hidden = run.pick(DIM, 32), run.pick(HIDDEN, 48)
    x, w = run.normal(tokens, dim, form=form), run.normal(dim, 3 * hidden, form=form)
    each = run.normal(EXPERTS, dim, hidden, form=form)
    ends = run.torch.arange(1, EXPERTS + 1, device=run.device, dtype=run.torch.int32) * (tokens // EXPERTS)
    grouped = lambda: [lambda: [run.torch._grouped_mm(x, each, offs=ends) for _ in range(3)]]
    return (lambda: [lambda: x @ w]), grouped


def grouped_ffn(run):
    made = []
    for each, target in ((256, 0.85), (64, 0.60)):
        row = Row(f"grouped SwiGLU, {EXPERTS} experts x {each} tokens", "of one product", target, state="no entry: grouped_ffn")
        dense, grouped = products(run, EXPERTS * run.pick(each, 8))
        run.peer(row, "one dense product", dense)
        run.peer(row, "torch._grouped_mm", grouped)
        made.append(row)
    return made + [Row("  uneven experts beside even ones", "x even", 1 / 1.10, state="no entry: grouped_ffn")]


BENCHES = [Bench("grouped ffn", ("grouped_ffn",), grouped_ffn)]
