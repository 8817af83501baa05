"""How the lab times: ours and a peer in one process, on one device, over random data in buffers that together exceed the L2
cache several times, after a warm-up, as a median. Times are CUDA events around replays of a captured graph, so that a launch
from Python costs nothing; what can't be captured is called as it is and says so."""

import dataclasses
import math
import statistics
import time

FORMATS = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i8": "int8", "u8": "uint8", "u16": "int16", "u32": "int32"}


@dataclasses.dataclass
class Row:
    """One line of the report. `ratio` is what the issue asks for, of `unit`; None where ours could not be timed."""

    name: str
    unit: str  # "of copy", "of gemm", or "x PEER"
    target: float
    ours: float = None  # seconds
    peers: dict = dataclasses.field(default_factory=dict)  # name -> seconds, or a text why not
    ratio: float = None
    state: str = "no entry"
    notes: dict = dataclasses.field(default_factory=dict)

    def line(self):
        return {**dataclasses.asdict(self), "holds": None if self.ratio is None else self.ratio >= self.target}


class BenchRun:
    """The device, torch, our library, and the two ceilings of this process."""

    def __init__(self, torch, library, device, seed, small=False):
        self.torch, self.library, self.device, self.small = torch, library, device, small
        self.cuda = device == "cuda"
        torch.manual_seed(seed)
        self.cache = torch.cuda.get_device_properties(0).L2_cache_size if self.cuda and not small else 1 << 20
        self.copy = self.gemm = None
        self.captured = True

    def pick(self, full, small):
        """A size: the real one, or one for a trial of the lab itself."""
        return small if self.small else full

    # Data

    def normal(self, *shape, form="f32"):
        return self.torch.randn(*shape, device=self.device).to(getattr(self.torch, FORMATS[form]))

    def empty(self, *shape, form="f32"):
        """Poisoned: NaN in every float format."""
        made = self.torch.empty(*shape, device=self.device, dtype=getattr(self.torch, FORMATS[form]))
        made.view(-1).view(self.torch.uint8).fill_(255)
        return made

    def indices(self, count, below):
        """Different ones in random order, as u32."""
        return self.torch.randperm(below, device=self.device)[:count].to(self.torch.int32)

    def sets(self, size):
        """How many sets of buffers of `size` bytes exceed three times the cache; at least two."""
        return max(2, math.ceil(3 * self.cache / size))

    # Time

    def seconds(self, calls, capture=True, repeats=25):
        """Median seconds of one call; `calls` do the same over buffers of their own."""
        for call in calls[:2] + calls:
            call()
        self.wait()
        replay = self._captured(calls) if capture and self.cuda else None
        self.captured = replay is not None
        turn = replay or (lambda: [call() for call in calls])
        turn()
        once = self._clocked(turn)
        repeats = max(5, min(repeats, int(1.0 / max(once, 1e-6))))
        return statistics.median(self._clocked(turn) for _ in range(repeats)) / len(calls)

    def wait(self):
        if self.cuda:
            self.torch.cuda.synchronize()

    def _captured(self, calls):
        graph = self.torch.cuda.CUDAGraph()
        try:
            with self.torch.cuda.graph(graph):
                for call in calls:
                    call()
        except Exception:
            self.wait()
            return None
        return graph.replay

    def _clocked(self, turn):
        if not self.cuda:
            began = time.perf_counter()
            turn()
            return time.perf_counter() - began
        begin, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        turn()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3

    # Ours and peers

    def call(self, op, **fields):
        """A call of one entry on the current stream; tensors among the fields go as addresses. Raises what it answers."""
        keep = [value for value in fields.values() if hasattr(value, "data_ptr")]
        numbers = {name: value.data_ptr() if hasattr(value, "data_ptr") else value for name, value in fields.items()}
        args = self.library.args(op, **numbers)
        size = self.library.workspace_size(op, args)
        if size == 2**64 - 1:
            raise RuntimeError(self.library.error())
        workspace = self.torch.empty(size + 128, device=self.device, dtype=self.torch.uint8)
        at = (workspace.data_ptr() + 127) // 128 * 128 if size else None

        def run(_keep=(keep, workspace)):
            stream = self.torch.cuda.current_stream().cuda_stream if self.cuda else None
            self.library.need(self.library.queue(op, args, stream, at, size))

        return run

    def peer(self, row, name, make, **how):
        """Times a peer; one that this PyTorch lacks is a text in the report."""
        try:
            row.peers[name] = self.seconds(make(), **how)
        except Exception as error:  # noqa: BLE001: whatever a peer raises is news of the peer
            row.peers[name] = " ".join(f"{type(error).__name__}: {error}".split())[:120]
            self.wait()

    def ours(self, row, needs, make, check, **how):
        """Times ours where the library has the entries and `check(first call)` finds them right: it returns (error, allowed)."""
        missing = [op for op in needs if not self.library.has(op)]
        if missing:
            row.state = f"no entry: {', '.join(missing)}"
            return
        calls = make()
        calls[0]()
        self.wait()
        error, allowed = check()
        row.notes.update(error=error, allowed=allowed)
        if not error <= allowed:
            row.state = f"wrong: error {error:.3g}, allowed {allowed:.3g}"
            return
        row.ours, row.state = self.seconds(calls, **how), "measured"
        row.notes["graph"] = self.captured

    def distance(self, got, wanted):
        """Relative error in the 2-norm, in 64 bits; NaN where anything is."""
        got, wanted = got.double(), wanted.double()
        return ((got - wanted).norm() / wanted.norm()).item()

    # Ratios

    def of_copy(self, row, size):
        """size: bytes read and written."""
        if row.ours:
            row.ratio = size / row.ours / self.copy
        return row

    def of_gemm(self, row, operations):
        if row.ours:
            row.ratio = operations / row.ours / self.gemm
        return row

    def over_peer(self, row, *names):
        """The fastest of the named peers over ours."""
        times = [row.peers[name] for name in names if isinstance(row.peers.get(name), float)]
        if row.ours and times:
            row.ratio = min(times) / row.ours
        return row

    # Ceilings

    def measure_ceilings(self):
        """Bytes a second, read and written, of a copy; operations a second of a bf16 product of random matrices."""
        torch, size, side = self.torch, self.pick(1 << 30, 1 << 22), self.pick(8192, 128)
        pairs = [(self.normal(size // 4), self.empty(size // 4)) for _ in range(2)]
        self.copy = 2 * size / self.seconds([lambda a=a, b=b: b.copy_(a) for a, b in pairs])
        form = torch.bfloat16 if self.cuda else torch.float32
        a, b = (torch.randn(side, side, device=self.device).to(form) for _ in range(2))
        out = torch.empty(side, side, device=self.device, dtype=form)
        self.gemm = 2 * side**3 / self.seconds([lambda: torch.matmul(a, b, out=out)])
        return {"copy_bytes_per_s": self.copy, "gemm_bf16_operations_per_s": self.gemm, "gemm_side": side, "copy_bytes": 2 * size}
