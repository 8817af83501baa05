"""Checks of headrace_attention.h for smoke.py: small sizes against plain Python arithmetic."""

import ctypes
import math

from library import BAD_ARGUMENT, UNSUPPORTED
from smoke_words import pack, unpack

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
    given = library.args("attention", **forward)
    gradients = {name: empty() for name in ("dq", "dk", "dv")}
    library.need(library.call(
        "attention_backward", forward=ctypes.addressof(given), d_o=flat([[1.0] * dim] * tokens), d_o_stride=dim,
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
    given = library.args("hstu", **forward)
    gradients = {name: empty() for name in ("dq", "dk", "dv")}
    library.need(library.call(
        "hstu_backward", forward=ctypes.addressof(given), d_o=flat([[1.0] * dim] * n), d_o_stride=dim, **gradients,
        **{f"{name}_stride": dim for name in gradients}))
    dv = numbers_of(library.read(gradients["dv"], n * dim * item), dtype)
    for j, weight in enumerate(weight_of):
        assert abs(dv[j * dim] - weight) < near * max(1, abs(weight)), (j, dv[j * dim], weight)


def check_refusals(library):
    """What is wrong is said in words, with or without a device."""
    wrong = dict(dtype=F32 if library.backend == "cpu" else BF16, sequences=1, tokens=4, heads=3, kv_heads=2, head_dim=16)
    assert library.call("attention", **wrong) == BAD_ARGUMENT
    assert library.error() == "attention: kv_heads does not divide heads", library.error()
    wrong.update(kv_heads=3, dtype=BF16, head_dim=48)
    assert library.call("attention", **wrong) == UNSUPPORTED, library.error()
    lacks = "dtype is not f32" if library.backend == "cpu" else "head_dim is 48, the CUDA library has 16, 32, 64 and 128"
    assert library.error().startswith("attention: " + lacks), library.error()
    values = dict(dtype=wrong["dtype"], heads=1, head_dim=16, value_dim=32)
    if library.backend == "cuda":
        assert library.call("hstu", **values) == UNSUPPORTED, library.error()
        assert library.error() == "hstu: value_dim is not head_dim, which the CUDA library needs", library.error()
    assert library.call("attention_backward") == BAD_ARGUMENT
    assert library.error() == "attention_backward: forward is null", library.error()


CHECKS = [check_attention, check_decode, check_merge, check_hstu]
