#!/usr/bin/env python3
"""lab_test.py LIBRARY: what the lab must see. A library that is right passes; one whose outputs are changed on their way back in
any of the ways below does not, so a green lab means something. Needs a C compiler for one test, no GPU."""

import ctypes
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import check
import operators
import table
import values
from headers import INCLUDE, Headers
from library import Library
from report import LINES_MAX, Report

LIBRARY = None
BROKEN = """
#include <stdlib.h>
#include <string.h>
const char* headrace_backend(void) { return "cpu"; }
const char* headrace_devices(void) { return "{}"; }
const char* headrace_last_error(void) { return "no more today"; }
int headrace_memory_new(size_t bytes, void** memory) { *memory = malloc(bytes + 1); return 0; }
int headrace_memory_free(void* memory) { free(memory); return 0; }
int headrace_copy(void* to, const void* from, size_t bytes, void* stream) { memcpy(to, from, bytes); return 0; }
int headrace_stream_wait(void* stream) { return 0; }
int headrace_quantize_rows(void) { abort(); }
size_t headrace_quantize_rows_workspace(void) { return 0; }
int headrace_dequantize_rows(void) { return 3; }
size_t headrace_dequantize_rows_workspace(void) { return 0; }
"""  # a library whose first entry ends the process and whose second refuses


class Meddling(Library):
    """A library that is right but for what `change(bytes)` makes of what is read back."""

    change = None

    def read(self, at, size):
        data = super().read(at, size)
        return type(self).change(data) if type(self).change else data


def meddled(change, op="dequantize_rows"):
    """The answer of the first operator's tests when what comes back is changed."""
    kind = type("Changed", (Meddling,), {"change": staticmethod(change)})
    return check.check(kind(LIBRARY), next(o for o in operators.all_operators() if o.name == op), seed=1)


def at_output(data, change):
    """Changes the bytes between the guards."""
    guard = len(check.GUARD)
    return data[:guard] + change(data[guard:-guard]) + data[-guard:] if len(data) > 2 * guard else data


class LabTest(unittest.TestCase):
    def test_a_right_library_passes(self):
        self.assertEqual(meddled(None)["state"], "right")

    def test_one_wrong_bit_is_seen(self):
        self.assertEqual(meddled(lambda d: at_output(d, lambda o: bytes([o[0] ^ 1]) + o[1:]))["state"], "wrong")

    def test_an_element_that_was_not_written_is_seen(self):
        answer = meddled(lambda d: at_output(d, lambda o: o[:-4] + b"\xff" * 4))
        self.assertIn("wrong", answer["state"])

    def test_a_write_behind_or_before_an_array_is_seen(self):
        for changed in (lambda d: d[:-1] + b"\0", lambda d: b"\0" + d[1:]):
            self.assertIn("wrote beside it", meddled(changed)["text"])

    def test_a_changed_input_is_seen(self):
        run = check.CaseRun(Library(LIBRARY), "quantize_rows", next(iter_cases("quantize_rows")))
        run.library.queue = lambda *_: run.library.write(run.placed["values"].address(), b"\x11" * 4) or 0
        self.assertIn("values: is an input and changed", run.run()[0])

    def test_other_bits_in_a_second_run_are_seen(self):
        reads, op = [], "quantize_rows"

        def change(data):
            reads.append(data)
            return at_output(data, lambda o: bytes([o[0] ^ 1]) + o[1:]) if len(reads) == 5 else data  # codes, the second time

        run = check.CaseRun(type("Changed", (Meddling,), {"change": staticmethod(change)})(LIBRARY), op, next(iter_cases(op)))
        self.assertTrue("codes: other bits in the second run" in run.run()[0])

    def test_nan_never_passes_a_tolerance(self):
        for expect in (table.Expect([1.0, 2.0], norm=1e9), table.Expect([1.0, 2.0], bounds=[1e9, 1e9])):
            for bad in (math.nan, math.inf, -math.inf):
                self.assertNotEqual(expect.fault("f32", values.encode("f32", [1.0, bad]))[0], "")
            self.assertEqual(expect.fault("f32", values.encode("f32", [1.0, 2.5]))[0], "")
        self.assertNotEqual(table.Expect([math.nan], norm=1.0).fault("f32", values.encode("f32", [1.0]))[0], "")

    def test_an_infinity_passes_as_itself_only(self):
        expect = table.Expect([-math.inf, 1.0], norm=1e-3)
        self.assertEqual(expect.fault("f32", values.encode("f32", [-math.inf, 1.0]))[0], "")
        self.assertNotEqual(expect.fault("f32", values.encode("f32", [math.inf, 1.0]))[0], "")
        self.assertNotEqual(expect.fault("f32", values.encode("f32", [-1e30, 1.0]))[0], "")

    def test_an_error_of_twice_the_tolerance_is_seen(self):
        wanted = [3.0, 4.0]
        self.assertEqual(table.Expect(wanted, norm=1e-3).fault("f64", values.encode("f64", [3.0, 4.0049]))[0], "")
        self.assertNotEqual(table.Expect(wanted, norm=1e-3).fault("f64", values.encode("f64", [3.0, 4.01]))[0], "")
        self.assertNotEqual(table.Expect(wanted, bounds=[1.0, 1e-3]).fault("f64", values.encode("f64", [3.0, 4.002]))[0], "")

    def test_structs_have_the_layout_of_the_compiler(self):
        compiler = shutil.which("cc")
        if not compiler:
            self.skipTest("no C compiler")
        headers = Headers()
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "sizes.c")
            with open(source, "w", encoding="utf-8") as file:
                file.write("#include <stdio.h>\n")
                file.writelines(f'#include "{os.path.join(INCLUDE, name)}"\n' for name in sorted(os.listdir(INCLUDE)))
                file.write("int main(void) {\n")
                for name, kind in headers.structs.items():
                    file.write(f'  printf("{name} %zu\\n", sizeof({name}));\n')
                    file.writelines(f'  printf("{name}.{f} %zu\\n", offsetof({name}, {f}));\n' for f, _ in kind._fields_)
                file.write("  return 0;\n}\n")
            program = os.path.join(folder, "sizes")
            subprocess.run([compiler, "-std=c11", source, "-o", program], check=True)
            said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
        ours = [line for name, kind in headers.structs.items() for line in
                [f"{name} {ctypes.sizeof(kind)}", *(f"{name}.{f} {getattr(kind, f).offset}" for f, _ in kind._fields_)]]
        self.assertEqual(said.splitlines(), ours)
        self.assertIn("headrace_quantize_rows_args", headers.structs)

    def test_no_declaration_of_an_entry_is_overlooked(self):
        text = "".join(content(os.path.join(INCLUDE, name)) for name in os.listdir(INCLUDE))
        queries = set(re.findall(r"\bsize_t\s+headrace_(\w+)_workspace\(", text))
        self.assertEqual(queries - {"OP"}, set(Headers().operators))  # OP: a comment

    def test_floats_round_as_they_should(self):
        draw = random.Random(5)
        for _ in range(2000):
            x = draw.uniform(-1, 1) * 2.0 ** draw.randrange(-20, 20)
            low, high = (values.decode("bf16", values.encode("u16", [bits]))[0] for bits in
                         (values.float_bits(x) >> 16, (values.float_bits(x) >> 16) + 1))
            nearest = values.rounded("bf16", [x])[0]
            self.assertLessEqual(abs(nearest - values.single(x)), min(abs(low - values.single(x)), abs(high - values.single(x))))
        self.assertTrue(math.isnan(values.decode("bf16", check.POISON * 2)[0]))

    def test_an_entry_that_ends_the_process_is_reported_and_the_others_are_tested(self):
        compiler = shutil.which("cc")
        if not compiler:
            self.skipTest("no C compiler")
        with tempfile.TemporaryDirectory() as folder:
            source, library = os.path.join(folder, "broken.c"), os.path.join(folder, "broken.so")
            with open(source, "w", encoding="utf-8") as file:
                file.write(BROKEN)
            subprocess.run([compiler, "-shared", "-fPIC", source, "-o", library], check=True)
            run = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run.py")
            done = subprocess.run([sys.executable, run, "--backend", "cpu", "--out", folder, "--library", library, "--only",
                                   "quantize_rows,dequantize_rows,sparse_update"], capture_output=True, text=True, check=False)
            tests = json.loads(content(os.path.join(folder, "cpu.json")))["tests"]
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("SIGABRT", tests["quantize_rows"]["text"])
        self.assertEqual(tests["dequantize_rows"]["text"], "status 3: no more today")
        self.assertEqual(tests["sparse_update"]["state"], "no entry")

    def test_a_report_stays_short_and_resumes_for_the_same_source_only(self):
        with tempfile.TemporaryDirectory() as folder:
            head = {"source": "a", "seed": 1, "commit": "c", "driver": "", "clocks": ""}
            report = Report(folder, "gpu", head)
            row = {"name": "x", "state": "measured", "ours": 1.0, "peers": {}, "ratio": 0.5, "target": 0.8, "unit": "of copy", "holds": False}
            report.found["benches"] = {f"b{i}": [row] * 10 for i in range(20)}
            report.found["tests"] = {f"op{i}": {"state": "wrong", "text": "x", "cases": 1} for i in range(50)}
            report.found["tests"]["good"] = {"state": "right", "cases": 1}
            report.save()
            self.assertEqual(len(report.lines()), LINES_MAX)
            self.assertEqual(len(report.failures()), 50)
            again = Report(folder, "gpu", {**head, "seed": 2})
            self.assertTrue(again.resume())
            self.assertEqual((list(again.found["tests"]), len(again.found["benches"])), (["good"], 20))
            self.assertFalse(Report(folder, "gpu", {**head, "source": "b"}).resume())
            self.assertEqual(json.loads(content(report.path))["seed"], 1)


def content(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def iter_cases(op):
    return next(o for o in operators.all_operators() if o.name == op).cases(random.Random(3), "cpu")


if __name__ == "__main__":
    LIBRARY = sys.argv.pop(1)
    unittest.main()
