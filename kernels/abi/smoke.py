#!/usr/bin/env python3
"""smoke.py LIBRARY…: loads kernel libraries by ctypes, as a user of Python would, and calls their entries.

The CPU library: every entry on small sizes against plain Python arithmetic, and refusals with their text. The CUDA library:
the same numbers where a device can be used; where none can, each entry says so with a status and a text and nothing ends.
Exit status 0 when all held; what did not is printed."""

import ctypes
import math
import os
import random
import struct
import sys

OK, BAD_ARGUMENT, BAD_STRUCT, UNSUPPORTED, NO_DEVICE = 0, 1, 2, 3, 4
u32, u64, i32, f32, pointer = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int32, ctypes.c_float, ctypes.c_void_p


def args_struct(name, *fields):
    """A ctypes struct that begins as every args struct does."""
    return type(name, (ctypes.Structure,), {"_fields_": [("struct_size", u32), ("flags", u32), *fields]})


shape = (("rows", u64), ("dim", u64))
STRUCTS = {
    "quantize_rows": args_struct("q", *shape, ("values", pointer), ("codes", pointer), ("scales", pointer)),
    "dequantize_rows": args_struct("d", *shape, ("codes", pointer), ("scales", pointer), ("values", pointer)),
}

STRUCTS["attention"] = args_struct(
    "a", ("dtype", i32), ("sequences", u32), ("tokens", u64), ("heads", u32), ("kv_heads", u32), ("head_dim", u32), ("scale", f32),
    ("window", u64), ("globals", u64), ("q", pointer), ("q_stride", u64), ("k", pointer), ("k_stride", u64), ("v", pointer),
    ("v_stride", u64), ("offsets", pointer), ("alibi_slopes", pointer), ("bias_table", pointer), ("max_distance", u64),
    ("active", pointer), ("o", pointer), ("o_stride", u64), ("lse", pointer))
STRUCTS["attention_backward"] = args_struct(
    "b", ("forward", pointer), ("d_o", pointer), ("d_o_stride", u64), ("dq", pointer), ("dq_stride", u64), ("dk", pointer),
    ("dk_stride", u64), ("dv", pointer), ("dv_stride", u64), ("bias_table_gradient", pointer))
STRUCTS["decode_attention"] = args_struct(
    "e", ("dtype", i32), ("sequences", u32), ("heads", u32), ("kv_heads", u32), ("head_dim", u32), ("scale", f32), ("pinned", u64),
    ("window", u64), ("slots_begin", u64), ("slots_end", u64), ("q", pointer), ("keys", pointer), ("values", pointer),
    ("lengths", pointer), ("o", pointer), ("lse", pointer))
STRUCTS["merge_attention"] = args_struct(
    "m", ("dtype", i32), ("dim", u32), ("rows", u64), ("o", pointer), ("lse", pointer), ("other_o", pointer), ("other_lse", pointer))
STRUCTS["hstu"] = args_struct(
    "h", ("dtype", i32), ("sequences", u32), ("tokens", u64), ("heads", u32), ("head_dim", u32), ("value_dim", u32), ("scale", f32),
    ("normaliser", f32), ("reserved", u32), ("window", u64), ("globals", u64), ("q", pointer), ("q_stride", u64), ("k", pointer),
    ("k_stride", u64), ("v", pointer), ("v_stride", u64), ("offsets", pointer), ("bias_table", pointer), ("max_distance", u64),
    ("o", pointer), ("o_stride", u64))
STRUCTS["hstu_backward"] = args_struct("i", *STRUCTS["attention_backward"]._fields_[2:])


class Library:
    """One library; arrays go to its memory and come back."""

    def __init__(self, path):
        self.c = ctypes.CDLL(os.path.abspath(path), mode=os.RTLD_LOCAL | os.RTLD_NOW)
        for text in ("headrace_last_error", "headrace_devices", "headrace_backend"):
            getattr(self.c, text).restype = ctypes.c_char_p
        self.backend = self.c.headrace_backend().decode()
        self.devices = self.c.headrace_devices().decode()

    def error(self):
        return self.c.headrace_last_error().decode()

    def memory(self, data):
        """A device copy of bytes."""
        at = pointer()
        self.need(self.c.headrace_memory_new(ctypes.c_size_t(len(data)), ctypes.byref(at)))
        if data:
            self.need(self.c.headrace_copy(at, data, ctypes.c_size_t(len(data)), None))
        return at

    def read(self, at, size):
        data = ctypes.create_string_buffer(max(size, 1))
        if size:
            self.need(self.c.headrace_copy(data, at, ctypes.c_size_t(size), None))
            self.need(self.c.headrace_stream_wait(None))
        return data.raw[:size]

    def need(self, status):
        if status != OK:
            raise RuntimeError(f"status {status}: {self.error()}")

    def call(self, op, **fields):
        """The status of one entry, with a workspace as its query asks."""
        args = STRUCTS[op](struct_size=ctypes.sizeof(STRUCTS[op]), **fields)
        query = getattr(self.c, f"headrace_{op}_workspace")
        query.restype = ctypes.c_size_t
        size = query(ctypes.byref(args))
        workspace = pointer()
        if size not in (0, ctypes.c_size_t(-1).value):
            status = self.c.headrace_memory_new(ctypes.c_size_t(size), ctypes.byref(workspace))
            if status != OK:
                return status
        status = getattr(self.c, f"headrace_{op}")(ctypes.byref(args), None, workspace, ctypes.c_size_t(size))
        if status == OK:
            status = self.c.headrace_stream_wait(None)
        if workspace:
            self.c.headrace_memory_free(workspace)
        return status


def pack(kind, values):
    return struct.pack(f"<{len(values)}{kind}", *values)


def unpack(kind, data):
    return list(struct.unpack(f"<{len(data) // struct.calcsize(kind)}{kind}", data))


def single(x):
    """x rounded to f32."""
    return unpack("f", pack("f", [x]))[0]


def half_at_least(x):
    """Bits of the smallest half >= x, for 0 < x <= 65504."""
    bits = unpack("H", pack("e", [x]))[0]
    return bits if unpack("e", pack("H", [bits]))[0] >= x else bits + 1


def check_codec(library, draw):
    rows, dim = 5, 12
    values = [single(draw.uniform(-3, 3)) for _ in range(rows * dim)]
    values[:dim] = [0.0] * dim
    at, codes, scales = library.memory(pack("f", values)), library.memory(bytes(rows * dim)), library.memory(bytes(2 * rows))
    library.need(library.call("quantize_rows", rows=rows, dim=dim, values=at, codes=codes, scales=scales))
    got_codes = unpack("b", library.read(codes, rows * dim))
    got_scales = unpack("H", library.read(scales, 2 * rows))
    for r in range(rows):
        row = values[r * dim : (r + 1) * dim]
        largest = max(abs(v) for v in row)
        bits = half_at_least(single(largest / 127)) if largest else 0
        assert got_scales[r] == bits, (r, got_scales[r], bits)
        factor = single(1 / unpack("e", pack("H", [bits]))[0]) if bits else 0.0
        wanted = [round(single(v * factor)) for v in row]
        assert got_codes[r * dim : (r + 1) * dim] == wanted, (r, wanted)
    library.need(library.call("dequantize_rows", rows=rows, dim=dim, codes=codes, scales=scales, values=at))
    decoded = unpack("f", library.read(at, 4 * rows * dim))
    for i, value in enumerate(decoded):
        assert value == got_codes[i] * unpack("e", pack("H", [got_scales[i // dim]]))[0], (i, value)


F32, BF16, CAUSAL = 0, 3, 1


def bits_of(values, dtype):
    """Numbers of few bits in either format."""
    return pack("f", values) if dtype == F32 else b"".join(pack("f", [v])[2:] for v in values)


def numbers_of(data, dtype):
    if dtype == F32:
        return unpack("f", data)
    return [unpack("f", b"\0\0" + data[i : i + 2])[0] for i in range(0, len(data), 2)]


def check_attention(library, draw):
    """Two causal sequences of one head, against plain sums; the gradient of v's sum over a column is known, too."""
    dtype, near, dim, offsets = (F32, 1e-4, 16, [0, 3, 8]) if library.backend == "cpu" else (BF16, 0.03, 16, [0, 3, 8])
    tokens = offsets[-1]
    q, k, v = ([[draw.randint(-8, 8) / 8 for _ in range(dim)] for _ in range(tokens)] for _ in "qkv")
    flat = lambda rows: library.memory(bits_of([x for row in rows for x in row], dtype))
    empty = lambda: library.memory(bits_of([0.0] * (tokens * dim), dtype))
    at = {"q": flat(q), "k": flat(k), "v": flat(v), "o": empty()}
    lse = library.memory(bytes(4 * tokens))
    forward = dict(
        flags=CAUSAL, dtype=dtype, sequences=2, tokens=tokens, heads=1, kv_heads=1, head_dim=dim, scale=0.5,
        offsets=library.memory(pack("I", offsets)), lse=lse, **at, **{f"{name}_stride": dim for name in at})
    library.need(library.call("attention", **forward))
    got = numbers_of(library.read(at["o"], tokens * dim * (4 if dtype == F32 else 2)), dtype)
    sums = unpack("f", library.read(lse, 4 * tokens))
    weight_of = [0.0] * tokens
    for first, last in zip(offsets, offsets[1:]):
        for i in range(first, last):
            weights = [math.exp(0.5 * sum(a * b for a, b in zip(q[i], k[j]))) for j in range(first, i + 1)]
            assert abs(sums[i] - math.log(sum(weights))) < 1e-4, (i, sums[i])
            for c in range(dim):
                wanted = sum(w * v[first + j][c] for j, w in enumerate(weights)) / sum(weights)
                assert abs(got[i * dim + c] - wanted) < near, (i, c, got[i * dim + c], wanted)
            for j, w in enumerate(weights):
                weight_of[first + j] += w / sum(weights)
    given = STRUCTS["attention"](struct_size=ctypes.sizeof(STRUCTS["attention"]), **forward)
    gradients = {name: empty() for name in ("dq", "dk", "dv")}
    library.need(library.call(
        "attention_backward", forward=ctypes.cast(ctypes.byref(given), pointer), d_o=flat([[1.0] * dim] * tokens), d_o_stride=dim,
        **gradients, **{f"{name}_stride": dim for name in gradients}))
    dv = numbers_of(library.read(gradients["dv"], tokens * dim * (4 if dtype == F32 else 2)), dtype)
    for j, weight in enumerate(weight_of):
        assert abs(dv[j * dim] - weight) < near * max(1, weight), (j, dv[j * dim], weight)


def check_decode(library, draw):
    """One head over a ring of 5 slots in use, against plain sums."""
    dtype, near = (F32, 1e-4) if library.backend == "cpu" else (BF16, 0.03)
    dim, window, length = 16, 7, 5
    q, *cache = ([draw.randint(-8, 8) / 8 for _ in range(n * dim)] for n in (1, window, window))
    o, lse = library.memory(bits_of([0.0] * dim, dtype)), library.memory(bytes(4))
    at = [library.memory(bits_of(values, dtype)) for values in (q, *cache)]
    library.need(library.call(
        "decode_attention", dtype=dtype, sequences=1, heads=1, kv_heads=1, head_dim=dim, scale=0.5, window=window, q=at[0], keys=at[1],
        values=at[2], lengths=library.memory(pack("I", [length])), o=o, lse=lse))
    keys, values = ([row[j * dim : (j + 1) * dim] for j in range(length)] for row in cache)
    weights = [math.exp(0.5 * sum(a * b for a, b in zip(q, key))) for key in keys]
    assert abs(unpack("f", library.read(lse, 4))[0] - math.log(sum(weights))) < 1e-4
    got = numbers_of(library.read(o, dim * (4 if dtype == F32 else 2)), dtype)
    for c in range(dim):
        wanted = sum(w * value[c] for w, value in zip(weights, values)) / sum(weights)
        assert abs(got[c] - wanted) < near, (c, got[c], wanted)


def check_merge(library, draw):
    """Two sides of one row: the second has three times the weight."""
    dtype = F32 if library.backend == "cpu" else BF16
    at = [library.memory(bits_of(values, dtype)) for values in ([1.0, 0.0], [0.0, 1.0])]
    lse = [library.memory(pack("f", [math.log(w)])) for w in (1.0, 3.0)]
    library.need(library.call("merge_attention", dtype=dtype, dim=2, rows=1, o=at[0], lse=lse[0], other_o=at[1], other_lse=lse[1]))
    got = numbers_of(library.read(at[0], 2 * (4 if dtype == F32 else 2)), dtype)
    assert abs(got[0] - 0.25) < 2e-3 and abs(got[1] - 0.75) < 4e-3, got
    assert abs(unpack("f", library.read(lse[0], 4))[0] - math.log(4.0)) < 1e-5


def check_hstu(library, draw):
    """A causal sequence of one head, against plain sums; the gradient of v's sum over a column is known, too."""
    dtype, near = (F32, 1e-4) if library.backend == "cpu" else (BF16, 0.03)
    dim, n, item = 16, 6, 4 if library.backend == "cpu" else 2
    q, k, v = ([[draw.randint(-8, 8) / 8 for _ in range(dim)] for _ in range(n)] for _ in "qkv")
    flat = lambda rows: library.memory(bits_of([x for row in rows for x in row], dtype))
    empty = lambda: library.memory(bits_of([0.0] * (n * dim), dtype))
    at = {"q": flat(q), "k": flat(k), "v": flat(v), "o": empty()}
    forward = dict(
        flags=CAUSAL, dtype=dtype, sequences=1, tokens=n, heads=1, head_dim=dim, value_dim=dim, scale=0.5,
        offsets=library.memory(pack("I", [0, n])), **at, **{f"{name}_stride": dim for name in at})
    library.need(library.call("hstu", **forward))
    got = numbers_of(library.read(at["o"], n * dim * item), dtype)
    weight_of = [0.0] * n
    for i in range(n):
        scores = [0.5 * sum(a * b for a, b in zip(q[i], k[j])) for j in range(i + 1)]
        weights = [s / (1 + math.exp(-s)) / n for s in scores]
        for c in range(dim):
            wanted = sum(w * v[j][c] for j, w in enumerate(weights))
            assert abs(got[i * dim + c] - wanted) < near, (i, c, got[i * dim + c], wanted)
        for j, w in enumerate(weights):
            weight_of[j] += w
    given = STRUCTS["hstu"](struct_size=ctypes.sizeof(STRUCTS["hstu"]), **forward)
    gradients = {name: empty() for name in ("dq", "dk", "dv")}
    library.need(library.call(
        "hstu_backward", forward=ctypes.cast(ctypes.byref(given), pointer), d_o=flat([[1.0] * dim] * n), d_o_stride=dim, **gradients,
        **{f"{name}_stride": dim for name in gradients}))
    dv = numbers_of(library.read(gradients["dv"], n * dim * item), dtype)
    for j, weight in enumerate(weight_of):
        assert abs(dv[j * dim] - weight) < near * max(1, abs(weight)), (j, dv[j * dim], weight)


CHECKS = [check_codec, check_attention, check_decode, check_merge, check_hstu]


def check_refusals(library):
    """What is wrong is said in words, whatever the backend."""
    assert library.call("quantize_rows", rows=2, dim=4) == BAD_ARGUMENT
    assert library.error() == "quantize_rows: values is null", library.error()
    assert library.call("quantize_rows", rows=2, dim=0) == BAD_ARGUMENT
    assert "dim" in library.error(), library.error()
    wrong = dict(dtype=F32 if library.backend == "cpu" else BF16, sequences=1, tokens=4, heads=3, kv_heads=2, head_dim=16)
    assert library.call("attention", **wrong) == BAD_ARGUMENT
    assert library.error() == "attention: kv_heads does not divide heads", library.error()
    wrong.update(kv_heads=3, dtype=BF16, head_dim=48)
    assert library.call("attention", **wrong) == UNSUPPORTED, library.error()
    lacks = "dtype is not f32" if library.backend == "cpu" else "head_dim is 48, the CUDA library has 16, 32, 64 and 128"
    assert library.error().startswith("attention: " + lacks), library.error()
    assert library.call("attention_backward") == BAD_ARGUMENT
    assert library.error() == "attention_backward: forward is null", library.error()
    longer = ctypes.create_string_buffer(256)
    struct.pack_into("<I", longer, 0, 256)
    longer[255] = b"\1"
    for op in STRUCTS:
        assert getattr(library.c, f"headrace_{op}")(longer, None, None, 0) == BAD_STRUCT, op
        assert "field at byte 255" in library.error(), library.error()
        empty = STRUCTS[op](struct_size=4)
        assert getattr(library.c, f"headrace_{op}")(ctypes.byref(empty), None, None, 0) == BAD_STRUCT, op
        assert getattr(library.c, f"headrace_{op}")(None, None, None, 0) == BAD_ARGUMENT, op


def check_no_device(library):
    """Memory and entries of a CUDA library without a device: a status and a text, no more."""
    at = pointer(1)
    assert library.c.headrace_memory_new(ctypes.c_size_t(64), ctypes.byref(at)) == NO_DEVICE, library.error()
    assert at.value is None and "memory_new: cudaMalloc: " in library.error(), library.error()
    assert library.c.headrace_choose_device(0) == NO_DEVICE and library.error() != "", library.error()
    assert library.c.headrace_device_count() == 0
    host = ctypes.create_string_buffer(4096)
    start = (ctypes.addressof(host) + 255) // 256 * 256
    status = library.call("quantize_rows", rows=2, dim=4, values=start, codes=start + 64, scales=start + 128)
    assert status == NO_DEVICE and library.error().startswith("quantize_rows: launch"), (status, library.error())


def main():
    seed = int(os.environ.get("HEADRACE_SEED", "20261127"))
    for path in sys.argv[1:]:
        library = Library(path)
        print(f"smoke: {os.path.basename(path)}: {library.devices}")
        check_refusals(library)
        usable = library.backend == "cpu" or library.c.headrace_choose_device(0) == OK
        if not usable:
            check_no_device(library)
            print(f"smoke: {library.backend}: no device, and {len(STRUCTS)} entries refuse as they should")
            continue
        for check in CHECKS:
            check(library, random.Random(seed))
        print(f"smoke: {library.backend}: {len(STRUCTS)} entries right (HEADRACE_SEED={seed})")


if __name__ == "__main__":
    main()
