"""Numbers to bytes and back, for the checks of smoke.py."""

import struct


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
