"""The C ABI as ctypes sees it: argument structs, constants and operators read from kernels/include/*.h, so that Python has no
copy of a layout that could be wrong. The headers are plain C11 of one form (headrace_kernels.h); what is not, is an error."""

import ctypes
import os
import re

INCLUDE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "include")

SCALARS = {
    "uint8_t": ctypes.c_uint8, "uint16_t": ctypes.c_uint16, "uint32_t": ctypes.c_uint32, "uint64_t": ctypes.c_uint64,
    "int8_t": ctypes.c_int8, "int16_t": ctypes.c_int16, "int32_t": ctypes.c_int32, "int64_t": ctypes.c_int64,
    "float": ctypes.c_float, "double": ctypes.c_double, "size_t": ctypes.c_size_t, "char": ctypes.c_char,
}
STRUCT = re.compile(r"typedef struct (\w+) \{(.*?)\} (\w+);", re.DOTALL)
DECLARATION = re.compile(r"(?:const )?(?:struct )?(\w+)((?: const)?[\s*]+)(\w+(?:\[\d+\])?(?:, \w+(?:\[\d+\])?)*)$")


class Headers:
    """structs: name -> ctypes.Structure, constants: name -> number, operators: names of those with an entry and a query."""

    def __init__(self, folder=INCLUDE):
        self.types, self.structs, self.constants, self.operators = dict(SCALARS), {}, {}, []
        names = sorted(name for name in os.listdir(folder) if name.endswith(".h"))
        texts = [(name, self._text(os.path.join(folder, name))) for name in names]
        for _, text in texts:
            self._read_numbers(text)
        for name, text in texts:
            for tag, body, again in STRUCT.findall(text):
                assert tag == again, f"{name}: struct {tag} is called {again}"
                self._read_struct(name, tag, body)
        for _, text in texts:
            entries = re.findall(r"headrace_(\w+)\(\s*const headrace_\1_args\s*\*", text)
            self.operators += [op for op in entries if f"headrace_{op}_workspace(" in text]

    def args(self, op):
        return self.structs[f"headrace_{op}_args"]

    @staticmethod
    def _text(path):
        with open(path, encoding="utf-8") as file:
            return re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.DOTALL)

    def _read_numbers(self, text):
        for old, new in re.findall(r"typedef (\w+) (headrace_\w+);", text):
            self.types[new] = self.types[old]
        for body in re.findall(r"enum \w*\s*\{(.*?)\}", text, re.DOTALL):
            for name, value in re.findall(r"(\w+) = (-?\w+)", body):
                self.constants[name] = int(value, 0)

    def _read_struct(self, header, tag, body):
        fields = []
        for line in (" ".join(part.split()) for part in body.split(";")):
            if not line:
                continue
            match = DECLARATION.match(line)
            assert match, f"{header}: {tag}: not understood: {line}"
            base, stars, names = match.groups()
            for name in names.split(", "):
                fields.append(self._field(base, stars, name))
        self.structs[tag] = type(tag, (ctypes.Structure,), {"_fields_": fields})
        self.types[tag] = self.structs[tag]

    def _field(self, base, stars, name):
        kind = ctypes.c_void_p if "*" in stars else self.types[base]
        name, _, count = name.partition("[")
        return (name, kind * int(count[:-1])) if count else (name, kind)
