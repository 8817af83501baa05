#!/usr/bin/env python3
"""smoke.py LIBRARY…: loads kernel libraries by ctypes, as a user of Python would, and calls their entries.

The CPU library: every entry on small sizes against plain Python arithmetic, and refusals with their text. The CUDA library:
the same numbers where a device can be used; where none can, each entry says so with a status and a text and nothing ends.
Exit status 0 when all held; what did not is printed."""

import ctypes
import os
import random
import struct
import sys

import smoke_dense

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


CHECKS = [check_codec]


for family in (smoke_dense,):
    STRUCTS.update(family.structs(args_struct))
    CHECKS += family.CHECKS


def check_refusals(library):
    """What is wrong is said in words, whatever the backend."""
    assert library.call("quantize_rows", rows=2, dim=4) == BAD_ARGUMENT
    assert library.error() == "quantize_rows: values is null", library.error()
    assert library.call("quantize_rows", rows=2, dim=0) == BAD_ARGUMENT
    assert "dim" in library.error(), library.error()
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


class GroupArgs(ctypes.Structure):
    _fields_ = [("struct_size", u32), ("flags", u32), ("id", pointer), ("rank", i32), ("size", i32), ("timeout_ms", u32)]


def check_groups(library, usable):
    """Groups of GPUs: what is wrong is said; without a device or without NCCL a status and a text; with one, a group of one."""
    c, group, name = library.c, pointer(1), ctypes.create_string_buffer(128)
    args = GroupArgs(struct_size=ctypes.sizeof(GroupArgs), id=ctypes.addressof(name), rank=2, size=2, timeout_ms=2000)
    assert c.headrace_group_new(ctypes.byref(args), ctypes.byref(group)) == BAD_ARGUMENT, library.error()
    assert group.value is None and "rank is not in 0 to size - 1" in library.error(), library.error()
    assert c.headrace_group_sum(None, None, u64(0), None) == BAD_ARGUMENT and "group is null" in library.error()
    args.rank, args.size = 0, 1
    status = c.headrace_group_id(name)
    if status == UNSUPPORTED or not usable:
        assert status == UNSUPPORTED and "NCCL" in library.error() or status == NO_DEVICE, (status, library.error())
        assert c.headrace_group_new(ctypes.byref(args), ctypes.byref(group)) == status, library.error()
        print(f"smoke: groups: {library.error()}")
        return
    library.need(status)
    library.need(c.headrace_group_new(ctypes.byref(args), ctypes.byref(group)))
    values = library.memory(pack("f", [1.0, 2.0]))
    library.need(c.headrace_group_sum(group, values, u64(2), None))
    library.need(c.headrace_group_wait(group, None))
    assert unpack("f", library.read(values, 8)) == [1.0, 2.0]
    library.need(c.headrace_group_free(group))
    print("smoke: groups: a group of one sums")


def main():
    seed = int(os.environ.get("HEADRACE_SEED", "20261127"))
    for path in sys.argv[1:]:
        library = Library(path)
        print(f"smoke: {os.path.basename(path)}: {library.devices}")
        check_refusals(library)
        usable = library.backend == "cpu" or library.c.headrace_choose_device(0) == OK
        if hasattr(library.c, "headrace_group_new"):
            check_groups(library, usable)
        if not usable:
            check_no_device(library)
            print(f"smoke: {library.backend}: no device, and {len(STRUCTS)} entries refuse as they should")
            continue
        for check in CHECKS:
            check(library, random.Random(seed))
        print(f"smoke: {library.backend}: {len(STRUCTS)} entries right (HEADRACE_SEED={seed})")


if __name__ == "__main__":
    main()
