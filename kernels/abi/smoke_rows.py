"""Checks of headrace_rows.h for smoke.py: small sizes against plain Python arithmetic."""

import math
from ctypes import c_uint64 as u64

from library import BAD_ARGUMENT
from smoke_words import half_at_least, pack, single, unpack


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


def check_update(library, draw):
    """Adagrad on three of five rows, state behind the weights, each operation rounded to f32."""
    table_rows, dim, stride, index, rate = 5, 6, 14, [4, 0, 2], single(0.05)
    table = [single(draw.uniform(0, 1)) for _ in range(table_rows * stride)]
    gradients = [single(draw.uniform(-1, 1)) for _ in range(len(index) * dim)]
    wanted = list(table)
    for i, row in enumerate(index):
        for c in range(dim):
            w, a, g = row * stride + c, row * stride + dim + c, gradients[i * dim + c]
            wanted[a] = single(wanted[a] + single(g * g))
            spread = single(single(math.sqrt(wanted[a])) + single(1e-8))
            wanted[w] = single(wanted[w] - single(single(rate * g) / spread))
    at = library.memory(pack("f", table))
    fields = dict(rows=len(index), dim=dim, table=at, table_rows=table_rows, row_stride=stride, rule=2, rate=rate,
                  index=library.memory(pack("I", index)), gradients=library.memory(pack("f", gradients)))
    library.need(library.call("sparse_update", **fields))
    assert unpack("f", library.read(at, 4 * len(table))) == wanted
    assert library.call("sparse_update", **{**fields, "rule": 8}) == BAD_ARGUMENT and "rule" in library.error()
    assert library.call("sparse_update", **{**fields, "row_stride": 11}) == BAD_ARGUMENT and "row_stride" in library.error()
    if library.backend == "cpu":
        fields["index"] = library.memory(pack("I", [4, 5, 2]))
        assert library.call("sparse_update", **fields) == BAD_ARGUMENT
        assert library.error() == "sparse_update: index has 5 at 1, there are 5 rows", library.error()


def check_pool(library, draw):
    """Weighted bags over f32 and bf16 rows, and their gradient, in the order of occurrences."""
    rows, dim, offsets = 4, 5, [0, 3, 3, 4, 9]
    bags, n = len(offsets) - 1, offsets[-1]
    inverse = [draw.randrange(rows) for _ in range(n)]
    weights = [single(draw.uniform(-1, 1)) for _ in range(n)]
    values = [single(draw.uniform(-1, 1)) for _ in range(rows * dim)]
    words = [unpack("I", pack("f", [v]))[0] >> 16 for v in values]  # cut, so that they are bf16
    bag_of = [b for b in range(bags) for _ in range(offsets[b], offsets[b + 1])]
    common = dict(rows=rows, dim=dim, occurrences=n, inverse=library.memory(pack("I", inverse)), bags=bags,
                  weights=library.memory(pack("f", weights)), offsets=library.memory(pack("I", offsets)))
    for dtype, data, of in ((0, pack("f", values), values), (3, pack("H", words), [unpack("f", pack("I", [w << 16]))[0] for w in words])):
        wanted = [0.0] * (bags * dim)
        for i in range(n):
            for c in range(dim):
                at = bag_of[i] * dim + c
                wanted[at] = single(wanted[at] + single(weights[i] * of[inverse[i] * dim + c]))
        out = library.memory(pack("f", [math.nan] * (bags * dim)))
        library.need(library.call("gather_pool", **common, values=library.memory(data), out=out, dtype=dtype))
        assert unpack("f", library.read(out, 4 * bags * dim)) == wanted, dtype
    gradients = [single(draw.uniform(-1, 1)) for _ in range(bags * dim)]
    wanted = list(values)
    for i in range(n):
        for c in range(dim):
            at = inverse[i] * dim + c
            wanted[at] = single(wanted[at] + single(weights[i] * gradients[bag_of[i] * dim + c]))
    at = library.memory(pack("f", values))
    library.need(library.call("gather_pool_backward", **common, out_gradients=library.memory(pack("f", gradients)), row_gradients=at))
    assert unpack("f", library.read(at, 4 * rows * dim)) == wanted
    if library.backend == "cpu":
        common["offsets"] = library.memory(pack("I", [0, 3, 2, 4, 9]))
        status = library.call("gather_pool", **common, values=at, out=at)
        assert status == BAD_ARGUMENT and library.error() == "gather_pool: offsets is not ascending", library.error()


def check_gather(library, draw):
    """Rows of a table and of what is not in it, f32 to f32 and bf16."""
    dim, row_bytes, index, table_rows, more_rows = 3, 16, [6, 0, 4, 2, 6], 5, 2
    assert library.c.headrace_stored_row_bytes(0, u64(dim)) == 12 and library.c.headrace_stored_row_bytes(1, u64(dim)) == 8
    rows = [[single(draw.uniform(-1, 1)) for _ in range(4)] for _ in range(table_rows + more_rows)]
    table, more = (library.memory(b"".join(pack("f", row) for row in part)) for part in (rows[:table_rows], rows[table_rows:]))
    wanted = [value for row in index for value in rows[row][:dim]]
    fields = dict(rows=len(index), dim=dim, table=table, table_rows=table_rows, more=more, more_rows=more_rows,
                  row_bytes=row_bytes, index=library.memory(pack("I", index)))
    values = library.memory(bytes(4 * len(wanted)))
    library.need(library.call("gather_rows", **fields, values=values))
    assert unpack("f", library.read(values, 4 * len(wanted))) == wanted
    library.need(library.call("gather_rows", **fields, values=values, dtype=3))
    bits = [unpack("I", pack("f", [v]))[0] for v in wanted]
    assert unpack("H", library.read(values, 2 * len(wanted))) == [(b + 0x7FFF + (b >> 16 & 1)) >> 16 for b in bits]
    assert library.call("gather_rows", **{**fields, "row_bytes": 8}, values=values) == BAD_ARGUMENT


def check_top_k(library, draw):
    """Ties by lower index, across the tiles of a GPU block."""
    n, k = 5000, 700
    values = [single(draw.randrange(-40, 40) / 8) for _ in range(n)]
    order = sorted(range(n), key=lambda i: (-abs(values[i]), i))
    wanted = sorted(order[:k])
    indices, selected = library.memory(bytes(4 * k)), library.memory(bytes(4 * k))
    library.need(library.call("top_k", count=n, k=k, values=library.memory(pack("f", values)), indices=indices, selected=selected))
    assert unpack("I", library.read(indices, 4 * k)) == wanted
    assert unpack("f", library.read(selected, 4 * k)) == [values[i] for i in wanted]
    assert library.call("top_k", count=2, k=3) == BAD_ARGUMENT and library.error() == "top_k: k is above count"


def check_dedup(library, draw):
    keys = [draw.choice([draw.getrandbits(64), draw.randrange(50)]) for _ in range(600)]
    n = len(keys)
    unique, inverse, counts, size = (library.memory(bytes(count)) for count in (8 * n, 4 * n, 4 * n, 4))
    library.need(library.call("dedup", count=n, keys=library.memory(pack("Q", keys)), unique=unique, inverse=inverse,
                              counts=counts, unique_count=size))
    wanted = sorted(set(keys))
    assert unpack("I", library.read(size, 4)) == [len(wanted)]
    assert unpack("Q", library.read(unique, 8 * len(wanted))) == wanted
    assert unpack("I", library.read(inverse, 4 * n)) == [wanted.index(key) for key in keys]
    assert unpack("I", library.read(counts, 4 * len(wanted))) == [keys.count(key) for key in wanted]


def check_refusals(library):
    """What is wrong is said in words, with or without a device."""
    assert library.call("quantize_rows", rows=2, dim=4) == BAD_ARGUMENT
    assert library.error() == "quantize_rows: values is null", library.error()
    assert library.call("quantize_rows", rows=2, dim=0) == BAD_ARGUMENT
    assert "dim" in library.error(), library.error()


CHECKS = [check_codec, check_update, check_pool, check_gather, check_top_k, check_dedup]
