"""Benches of attention beside PyTorch's, by named backends: long causal, ragged short, window with global keys. Operations count
what the mask lets through: 4 heads head_dim for each visible pair forward, 2.5 times that backward."""

import ctypes
import dataclasses
import math

from bench_run import Row
from table import Bench

CAUSAL, WINDOWED = 1, 2
DTYPE = {"f32": 0, "bf16": 3}


@dataclasses.dataclass
class Shape:
    lengths: list
    heads: int
    dim: int
    flags: int = CAUSAL
    window: int = 0
    globals: int = 0

    def pairs(self):
        """Visible pairs of one head, causal."""
        seen = lambda n: n * (n + 1) // 2 if not self.flags & WINDOWED else sum(
            min(i + 1, self.window) + min(self.globals, max(0, i + 1 - self.window)) for i in range(n))
        return sum(seen(n) for n in self.lengths)

    def operations(self):
        return 4 * self.heads * self.dim * self.pairs()


class Set:
    """Inputs and outputs of one call, tokens of all sequences behind one another: [tokens, heads, dim]."""

    def __init__(self, run, shape):
        torch, form = run.torch, "bf16" if run.cuda else "f32"
        self.run, self.shape, self.dtype, self.tokens = run, shape, DTYPE[form], sum(shape.lengths)
        self.q, self.k, self.v, self.d_o = (run.normal(self.tokens, shape.heads, shape.dim, form=form) for _ in range(4))
        self.o, self.dq, self.dk, self.dv = (run.empty(self.tokens, shape.heads, shape.dim, form=form) for _ in range(4))
        self.lse = run.empty(self.tokens, shape.heads)
        ends = torch.tensor([0, *shape.lengths], dtype=torch.int64).cumsum(0)
        self.offsets = ends.to(torch.int32).to(run.device)

    def forward_fields(self):
        s, stride = self.shape, self.shape.heads * self.shape.dim
        return dict(flags=s.flags, dtype=self.dtype, sequences=len(s.lengths), tokens=self.tokens, heads=s.heads, kv_heads=s.heads,
                    head_dim=s.dim, scale=1 / math.sqrt(s.dim), window=s.window, globals=s.globals, q=self.q, q_stride=stride,
                    k=self.k, k_stride=stride, v=self.v, v_stride=stride, offsets=self.offsets, o=self.o, o_stride=stride,
                    lse=self.lse)

    def forward(self):
        return self.run.call("attention", **self.forward_fields())

    def backward(self):
        numbers = {name: x.data_ptr() if hasattr(x, "data_ptr") else x for name, x in self.forward_fields().items()}
        inner = self.run.library.args("attention", **numbers)
        stride = self.shape.heads * self.shape.dim
        call = self.run.call("attention_backward", forward=ctypes.addressof(inner), d_o=self.d_o, d_o_stride=stride, dq=self.dq,
                             dq_stride=stride, dk=self.dk, dk_stride=stride, dv=self.dv, dv_stride=stride)
        return lambda _keep=inner: call()

    def bytes(self):
        return 4 * self.q.numel() * self.q.element_size()

    def batched(self, *tensors):
        """[B, heads, S, dim] copies, of sequences of one length, as PyTorch's attention likes it best."""
        length = self.shape.lengths[0]
        return [x.view(-1, length, self.shape.heads, self.shape.dim).transpose(1, 2).contiguous() for x in tensors]

    def first_head(self):
        """o, dq, dk and dv of head 0 of the last sequence in 64 bits, written out."""
        torch, n, s = self.run.torch, self.shape.lengths[-1], self.shape
        q, k, v, d_o = (x[-n:, 0].double() for x in (self.q, self.k, self.v, self.d_o))
        i, j = torch.arange(n, device=q.device)[:, None], torch.arange(n, device=q.device)[None, :]
        seen = (j <= i) & ((i - j < s.window) | (j < s.globals)) if s.flags & WINDOWED else j <= i
        p = torch.softmax((q @ k.T / math.sqrt(s.dim)).masked_fill(~seen, -math.inf), 1)
        o = p @ v
        ds = p * (d_o @ v.T - (d_o * o).sum(1, keepdim=True)) / math.sqrt(s.dim)
        return o, ds @ k, ds.T @ q, p.T @ d_o

    def forward_error(self):
        got = self.o[-self.shape.lengths[-1] :, 0]
        whole = not self.o.isnan().any()
        return (self.run.distance(got, self.first_head()[0]) if whole else math.nan), 1.5 * 2.0**-8

    def backward_error(self):
        n, wanted = self.shape.lengths[-1], self.first_head()[1:]
        errors = [self.run.distance(got[-n:, 0], w) for got, w in zip((self.dq, self.dk, self.dv), wanted)]
        torn = any(x.isnan().any() for x in (self.dq, self.dk, self.dv))
        return math.nan if torn or any(map(math.isnan, errors)) else max(errors), 1e-2


def backend(torch, name):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(getattr(SDPBackend, name))


def sdpa(run, name, sets, **how):
    """Calls of PyTorch's attention on one backend and no other."""
    calls = []
    for q, k, v in sets:
        def call(q=q, k=k, v=v):
            with backend(run.torch, name):
                return run.torch.nn.functional.scaled_dot_product_attention(q, k, v, **how)
        calls.append(call)
    return calls


def sdpa_backward(run, name, sets):
    """Backward alone: the graph of one forward is kept, and walked again and again."""
    calls = []
    for q, k, v, d_o in sets:
        q, k, v = (x.detach().requires_grad_() for x in (q, k, v))
        with backend(run.torch, name):
            o = run.torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        calls.append(lambda o=o, leaves=(q, k, v), d_o=d_o: run.torch.autograd.grad(o, leaves, d_o, retain_graph=True))
    return calls


PEERS = {"cuDNN SDPA": "CUDNN_ATTENTION", "flash SDPA": "FLASH_ATTENTION"}


def long_causal(run):
    """S 4096, d 128, H 16, B 4: of a bare product's rate, and of cuDNN's time; forward and backward."""
    shape = Shape([run.pick(4096, 64)] * run.pick(4, 2), run.pick(16, 2), run.pick(128, 16))
    sets = [Set(run, shape) for _ in range(2)]
    forward, against = Row("attention forward, S 4096 d 128 causal", "of gemm", 0.40), Row("  the same", "x cuDNN SDPA", 0.90)
    for name, kind in PEERS.items():
        run.peer(forward, name, lambda: sdpa(run, kind, [s.batched(s.q, s.k, s.v) for s in sets], is_causal=True))
    run.ours(forward, ["attention"], lambda: [s.forward() for s in sets], sets[0].forward_error)
    against.ours, against.peers, against.state = forward.ours, forward.peers, forward.state
    backward, behind = Row("attention backward, the same", "of gemm", 0.30), Row("  the same", "x cuDNN SDPA", 0.80)
    for name, kind in PEERS.items():
        run.peer(backward, name, lambda: sdpa_backward(run, kind, [s.batched(s.q, s.k, s.v, s.d_o) for s in sets]), capture=False)
    if forward.ours:
        run.ours(backward, ["attention_backward"], lambda: [s.backward() for s in sets], sets[0].backward_error)
    else:
        backward.state = f"forward: {forward.state}"
    behind.ours, behind.peers, behind.state = backward.ours, backward.peers, backward.state
    return [run.of_gemm(forward, shape.operations()), run.over_peer(against, "cuDNN SDPA"),
            run.of_gemm(backward, 2.5 * shape.operations()), run.over_peer(behind, "cuDNN SDPA")]


def zipf_lengths(run, count, low, high):
    """Lengths drawn with weights 1 / rank."""
    weights = 1.0 / run.torch.arange(1, high - low + 2, dtype=run.torch.float64)
    return (run.torch.multinomial(weights, count, replacement=True) + low).tolist()


def ragged(run):
    """4,096 sequences of 5 to 200 tokens (Zipf), H 4, d 32, causal: padded to the longest, a causal mask alone is right for the
    real tokens, and the fastest of PyTorch's backends is the peer."""
    lengths = zipf_lengths(run, run.pick(4096, 6), 5, run.pick(200, 12))
    shape = Shape(lengths, 4, 32 if run.cuda else 16)
    sets = [Set(run, shape) for _ in range(run.sets(shape.heads * shape.dim * sum(lengths) * 8))]
    padded = [[run.normal(len(lengths), 4, max(lengths), shape.dim, form="bf16") for _ in range(3)] for _ in range(2)]
    row = Row(f"ragged attention, {len(lengths)} of {sum(lengths) // len(lengths)} on average, d 32", "x padded SDPA", 3.0)
    for name, kind in {**PEERS, "efficient SDPA": "EFFICIENT_ATTENTION"}.items():
        run.peer(row, f"padded {name}", lambda: sdpa(run, kind, padded, is_causal=True))
    run.peer(row, "nested SDPA", lambda: nested(run, sets), capture=False)
    run.ours(row, ["attention"], lambda: [s.forward() for s in sets], sets[0].forward_error)
    return [run.over_peer(row, *(name for name in row.peers if name.startswith("padded")))]


def nested(run, sets):
    """PyTorch's own ragged layout."""
    calls = []
    for s in sets:
        made = [run.torch.nested.nested_tensor_from_jagged(x, offsets=s.offsets.long(), max_seqlen=max(s.shape.lengths),
                                                           min_seqlen=min(s.shape.lengths)).transpose(1, 2) for x in (s.q, s.k, s.v)]
        calls.append(lambda m=made: run.torch.nn.functional.scaled_dot_product_attention(*m, is_causal=True))
    return calls


def window(run):
    """256 keys and 8 global ones at S 16384, H 16, d 128, B 1."""
    length = run.pick(16384, 96)
    shape = Shape([length], run.pick(16, 2), run.pick(128, 16), CAUSAL | WINDOWED, run.pick(256, 8), run.pick(8, 2))
    sets = [Set(run, shape) for _ in range(2)]
    full = Row("window 256 + 8 at 16 K", "x full cuDNN SDPA", 10.0)
    flexible = Row("  the same", "x compiled flex", 1.5)
    batched = [s.batched(s.q, s.k, s.v) for s in sets]
    run.peer(full, "full cuDNN SDPA", lambda: sdpa(run, "CUDNN_ATTENTION", batched, is_causal=True))
    run.peer(flexible, "compiled flex", lambda: flex(run, shape, batched))
    run.ours(full, ["attention"], lambda: [s.forward() for s in sets], sets[0].forward_error)
    flexible.ours, flexible.state = full.ours, full.state
    share = Row("  the same", "of copy", 0.40, full.ours, {}, None, full.state)
    return [run.over_peer(full, "full cuDNN SDPA"), run.over_peer(flexible, "compiled flex"), run.of_copy(share, sets[0].bytes())]


def flex(run, shape, batched):
    """PyTorch's compiled attention with the mask's blocks found before."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    seen = lambda b, h, i, j: (j <= i) & ((i - j < shape.window) | (j < shape.globals))
    length, compiled = shape.lengths[0], run.torch.compile(flex_attention)
    mask = create_block_mask(seen, None, None, length, length, device=run.device)
    return [lambda q=q, k=k, v=v: compiled(q, k, v, block_mask=mask) for q, k, v in batched]


BENCHES = [
    Bench("ragged attention", ("attention",), ragged),
    Bench("long attention", ("attention", "attention_backward"), long_causal),
    Bench("window attention", ("attention",), window),
]
