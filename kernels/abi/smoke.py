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

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab"))

from library import BAD_ARGUMENT, BAD_STRUCT, NO_DEVICE, OK, UNSUPPORTED, Library  # noqa: E402
import smoke_attention  # noqa: E402
import smoke_dense  # noqa: E402
import smoke_moe  # noqa: E402
import smoke_rows  # noqa: E402
from smoke_words import pack, unpack  # noqa: E402

u32, u64, i32, pointer = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int32, ctypes.c_void_p
FAMILIES = (smoke_rows, smoke_dense, smoke_moe, smoke_attention)


def check_structs(library):
    """Structs of another size, and none, at every entry."""
    longer = ctypes.create_string_buffer(256)
    struct.pack_into("<I", longer, 0, 256)
    longer[255] = b"\1"
    for op in library.operators():
        assert getattr(library.c, f"headrace_{op}")(longer, None, None, 0) == BAD_STRUCT, op
        assert "field at byte 255" in library.error(), library.error()
        empty = library.headers.args(op)(struct_size=4)
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
        check_structs(library)
        if lacking := sorted(set(library.headers.operators) - set(library.operators())):
            assert library.backend == "cuda", lacking
            print(f"smoke: {library.backend}: no entry yet: {', '.join(lacking)}")
        for family in FAMILIES:
            if hasattr(family, "check_refusals"):
                family.check_refusals(library)
        usable = library.backend == "cpu" or library.c.headrace_choose_device(0) == OK
        if hasattr(library.c, "headrace_group_new"):
            check_groups(library, usable)
        if not usable:
            check_no_device(library)
            print(f"smoke: {library.backend}: no device, and {len(library.operators())} entries refuse as they should")
            continue
        for family in FAMILIES:
            for check in family.CHECKS:
                check(library, random.Random(seed))
        print(f"smoke: {library.backend}: {len(library.operators())} entries right (HEADRACE_SEED={seed})")


if __name__ == "__main__":
    main()
