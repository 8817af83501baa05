"""Numbers as they lie in memory, and float arithmetic of one rounding, in plain Python: floats here are 64-bit, and the sum,
product, quotient or root of two f32 rounded to 64 bits and then to f32 is the f32 result (53 >= 2 * 24 + 2 bits)."""

import math
import struct

WIDTH = {"f32": 4, "f64": 8, "f16": 2, "bf16": 2, "i8": 1, "u8": 1, "u16": 2, "u32": 4, "u64": 8}
CODE = {"f32": "f", "f64": "d", "f16": "e", "i8": "b", "u8": "B", "u16": "H", "u32": "I", "u64": "Q"}
FLOATS = ("f32", "f64", "f16", "bf16")


def encode(form, values):
    """Bytes of a list of numbers; floats go to the nearest value, to even."""
    if form == "bf16":
        return encode("u16", [brain_bits(value) for value in values])
    return struct.pack(f"<{len(values)}{CODE[form]}", *values)


def decode(form, data):
    if form == "bf16":
        return decode("f32", encode("u32", [bits << 16 for bits in decode("u16", data)]))
    return list(struct.unpack(f"<{len(data) // WIDTH[form]}{CODE[form]}", data))


def float_bits(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


def brain_bits(x):
    """Upper half of the nearest bfloat16, ties to even."""
    if math.isnan(x):
        return 0x7FC0
    bits = float_bits(x)
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def single(x):
    """x rounded to f32; beyond its range, an infinity."""
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return math.copysign(math.inf, x)


def rounded(form, values):
    """The values as the format holds them."""
    return decode(form, encode(form, values))


def half_at_least(x):
    """Bits of the smallest half >= x, for 0 < x <= 65504."""
    bits = decode("u16", encode("f16", [x]))[0]
    return bits if half(bits) >= x else bits + 1


def half(bits):
    return decode("f16", encode("u16", [bits]))[0]


def normals(draw, size, spread=1.0, form="f32"):
    """Random numbers that the format holds exactly."""
    return rounded(form, [draw.gauss(0.0, spread) for _ in range(size)])
