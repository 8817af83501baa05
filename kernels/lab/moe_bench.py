"""Benches of mixtures of experts beside PyTorch: moe.py has the tests. The limit is one dense product of the same operations."""

from bench_run import Row
from table import Bench

EXPERTS, DIM, HIDDEN = 16, 2048, 4096  # 805 MB of bf16 weights: beyond any L2 cache
SWIGLU, F32, BF16 = 1, 0, 3


def products(run, each):
    """Dense products of the operations of all nets: of one expert's tokens with as many weights as all have, so that the bytes are
    the same, too; and of all tokens with a net's weights, which are read once. At 64 tokens an expert the bytes alone take longer
    than the second. And PyTorch's grouped product of the first layer, three times: two layers have its shape, all its operations."""
    form = "bf16" if run.cuda else "f32"
    dim, hidden = run.pick(DIM, 32), run.pick(HIDDEN, 48)
    x, w = run.normal(EXPERTS * each, dim, form=form), run.normal(dim, 3 * hidden, form=form)
    wide = run.normal(dim, EXPERTS * 3 * hidden, form=form)
    layer = run.normal(EXPERTS, dim, hidden, form=form)
    ends = run.torch.arange(1, EXPERTS + 1, device=run.device, dtype=run.torch.int32) * each
    return {"one product, all weights": lambda: [lambda: x[:each] @ wide], "one product, all tokens": lambda: [lambda: x @ w],
            "torch._grouped_mm": lambda: [lambda: [run.torch._grouped_mm(x, layer, offs=ends) for _ in range(3)]]}


class Batch:
    """Weights of all experts, and rows shared out among them."""

    def __init__(self, run, counts):
        torch, form = run.torch, "bf16" if run.cuda else "f32"
        self.run, self.counts, self.rows = run, counts, sum(counts)
        self.dim, self.hidden = run.pick(DIM, 32), run.pick(HIDDEN, 48)
        shape = (EXPERTS, self.dim, self.hidden)
        self.w1, self.w3 = (run.normal(*shape, form=form) * self.dim**-0.5 for _ in range(2))
        self.w2 = run.normal(EXPERTS, self.hidden, self.dim, form=form) * self.hidden**-0.5
        self.x, self.y = run.normal(self.rows, self.dim, form=form), run.empty(self.rows, self.dim)
        self.first, self.third = (run.empty(self.rows, self.hidden, form=form) for _ in range(2))
        self.offsets = torch.tensor([sum(counts[:e]) for e in range(EXPERTS + 1)], dtype=torch.int32, device=run.device)

    def call(self):
        return self.run.call("grouped_ffn", flags=SWIGLU, rows=self.rows, experts=EXPERTS, dim=self.dim, hidden=self.hidden,
                             offsets=self.offsets, x=self.x, w1=self.w1, w3=self.w3, w2=self.w2, first=self.first, third=self.third,
                             y=self.y, dtype=BF16 if self.run.cuda else F32)

    def error(self):
        """Of the last expert with rows."""
        e = max(e for e, n in enumerate(self.counts) if n)
        begin, end, torch = sum(self.counts[:e]), sum(self.counts[: e + 1]), self.run.torch
        x, w1, w3, w2 = self.x[begin:end].double(), self.w1[e].double(), self.w3[e].double(), self.w2[e].double()
        wanted = (torch.nn.functional.silu(x @ w1) * (x @ w3)) @ w2
        return (float("nan") if self.y.isnan().any() else self.run.distance(self.y[begin:end], wanted)), 4e-3


def uneven(total):
    """Shares like 1 / rank, the last expert with none."""
    weights = [1 / (e + 1) for e in range(EXPERTS - 1)]
    counts = [int(total * w / sum(weights)) for w in weights]
    counts[0] += total - sum(counts)
    return [*counts, 0]


def grouped_ffn(run):
    made = []
    for each, target in ((256, 0.85), (64, 0.60)):
        count = run.pick(each, 8)
        row = Row(f"grouped SwiGLU, {EXPERTS} experts x {each} tokens", "of one product, all weights", target)
        for name, peer in products(run, count).items():
            run.peer(row, name, peer)
        even, other = Batch(run, [count] * EXPERTS), Batch(run, uneven(EXPERTS * count))
        run.ours(row, ["grouped_ffn"], lambda: [even.call()], even.error)
        same = Row("  the same", "of one product, all tokens", target, row.ours, row.peers, None, row.state)
        beside = Row("  uneven experts", "x even", 1 / 1.10, peers={"even": row.ours})
        run.ours(beside, ["grouped_ffn"], lambda: [other.call()], other.error)
        made += [run.over_peer(row, "one product, all weights"), run.over_peer(same, "one product, all tokens"),
                 run.over_peer(beside, "even")]
    return made


BENCHES = [Bench("grouped ffn", ("grouped_ffn",), grouped_ffn)]
