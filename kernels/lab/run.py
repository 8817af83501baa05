#!/usr/bin/env python3
"""One command for a host with a GPU and little else (nvcc, CMake, Python; PyTorch for the benches): builds the library, tests every
C entry with fresh seeds, measures ours beside PyTorch, prints at most 40 lines and writes DIR/<gpu>.json. docs/kernels.md, "The lab".

  python3 kernels/lab/run.py --out DIR [--only op,…] [--sanitize] [--resume] [--backend cpu] [--library FILE]

Exit status 1 where a result is wrong or a sanitizer found something; a ratio that misses its target is printed, not a failure."""

import argparse
import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
os.environ["PATH"] += os.pathsep + "/usr/local/cuda/bin"

import operators  # noqa: E402
from headers import Headers  # noqa: E402
from report import Report  # noqa: E402

SANITIZERS = {"memcheck": "ERROR SUMMARY: ", "racecheck": "RACECHECK SUMMARY: ", "synccheck": "ERROR SUMMARY: "}


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, metavar="DIR", help="where <gpu>.json and logs go")
    parser.add_argument("--only", default="", metavar="OP,…", help="operators, and the benches that need them")
    parser.add_argument("--sanitize", action="store_true", help="memcheck, racecheck and synccheck over the tests")
    parser.add_argument("--resume", action="store_true", help="skip what the JSON has for this source")
    parser.add_argument("--backend", choices=("cuda", "cpu"), default="cuda", help="cpu: tests alone, no GPU needed")
    parser.add_argument("--library", metavar="FILE", help="a library that is there; else one is built")
    parser.add_argument("--seed", type=int, help="of inputs; else drawn and printed")
    parser.add_argument("--commit", help="where .git did not travel with the source")
    parser.add_argument("--minutes", type=float, default=8.0, help="what is not done by then is left out")
    parser.add_argument("--no-bench", action="store_true", help="tests alone")
    return parser.parse_args()


def asked(*command):
    """A command's output in one line, "" where it can't be had."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=ROOT, check=True)
        return " ".join(done.stdout.split())
    except (OSError, subprocess.SubprocessError):
        return ""


def source_digest():
    """SHA-256 of all that the library and the lab are made of: what --resume compares, with or without .git."""
    digest = hashlib.sha256()
    for folder in ("base", "cmake", "kernels"):
        for path, folders, names in os.walk(os.path.join(ROOT, folder)):
            folders[:] = sorted(name for name in folders if name not in ("__pycache__", "results"))
            for name in sorted(names):
                with open(os.path.join(path, name), "rb") as file:
                    digest.update(f"{os.path.relpath(path, ROOT)}/{name}\0".encode() + file.read())
    return digest.hexdigest()


class Lab:
    def __init__(self, given):
        self.given, self.until = given, time.monotonic() + 60 * given.minutes
        self.seed = given.seed if given.seed is not None else int(os.environ.get("HEADRACE_SEED") or secrets.randbelow(2**31))
        os.makedirs(given.out, exist_ok=True)
        self.report = Report(given.out, self._device(), {
            "commit": given.commit or asked("git", "describe", "--always", "--dirty", "--abbrev=12") or "unknown",
            "source": source_digest(), "seed": self.seed, "backend": given.backend, "driver": self.gpu("driver_version"),
            "clocks": self.gpu("clocks.sm,clocks.mem,clocks.max.sm,temperature.gpu,power.draw") or "clocks unknown"})
        if given.resume and self.report.resume():
            print("resumed: what the JSON has for this source is left out")

    def gpu(self, what):
        if self.given.backend == "cpu":
            return ""
        return asked("nvidia-smi", "-i", "0", f"--query-gpu={what}", "--format=csv,noheader")

    def _device(self):
        if self.given.backend == "cpu":
            return "cpu"
        return re.sub(r"[^a-z0-9]+", "-", self.gpu("name").lower()).strip("-") or "no-gpu"

    def left(self, most):
        return max(0.0, min(most, self.until - time.monotonic()))

    # The library

    def build(self):
        """Path of the library. CUDA: for the GPU that is there, so that it takes a third of the time of all."""
        if self.given.library:
            return self.given.library
        began, folder = time.monotonic(), os.path.join(ROOT, "build", f"lab-{self.given.backend}")
        cuda = self.given.backend == "cuda"
        capability = self.gpu("compute_cap").replace(".", "")
        targets = {"90": "90a-real"}.get(capability, f"{capability}-real") if capability else "80-real;90a-real"
        flags = ["-DHEADRACE_TESTS=OFF", "-DCMAKE_BUILD_TYPE=Release", f"-DHEADRACE_CUDA={'ON' if cuda else 'OFF'}"]
        flags += [f"-DHEADRACE_CUDA_ARCHITECTURES={targets}"] if cuda else []
        log = os.path.join(self.given.out, "build.log")
        target = "headrace_cuda" if cuda else "headrace_kernels_abi"
        with open(log, "w", encoding="utf-8") as file:
            for command in (["cmake", "-S", os.path.join(ROOT, "kernels"), "-B", folder, "-G", "Ninja", *flags],
                            ["cmake", "--build", folder, "--target", target, "-j", str(os.cpu_count())]):
                done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, timeout=self.left(420), check=False)
                if done.returncode:
                    file.flush()
                    with open(log, encoding="utf-8", errors="replace") as text:
                        print("".join(text.readlines()[-25:]))
                    sys.exit(f"the build failed: {log}")
        self.report.found["built"] = {"seconds": round(time.monotonic() - began), "text": targets if cuda else "cpu"}
        return os.path.join(folder, "libheadrace_cuda.so" if cuda else "libheadrace_kernels.so")

    # Programs of ours that answer in lines of JSON

    def answers(self, script, library, *options, most):
        """Their lines, and how it ended: "" or a text. A process of its own, since a GPU that failed answers nothing more in it."""
        command = [sys.executable, os.path.join(HERE, script), library, "--seed", str(self.seed), *options]
        path = os.path.join(self.given.out, script.replace(".py", ".log"))
        with open(path, "w", encoding="utf-8") as log:
            running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
            try:
                said, _ = running.communicate(timeout=self.left(most))
                ended = "" if running.returncode in (0, 1) else ended_by(running.returncode)
            except subprocess.TimeoutExpired:
                running.kill()
                said, _ = running.communicate()
                ended = "out of time"
        if ended or not said:
            with open(path, encoding="utf-8", errors="replace") as log:
                ended = ": ".join(filter(None, (ended, " ".join((log.read().splitlines() or [""])[-1].split())[:200])))
        return [json.loads(line) for line in said.splitlines() if line.startswith("{")], ended

    def test(self, library):
        """Every operator once; behind one that ended the process, the others in a new one."""
        tests = self.report.found["tests"]
        names = [operator.name for operator in operators.all_operators()]
        self.report.found["no_test"] = [name for name in Headers().operators if name not in names]
        wanted = [name for name in self.given.only.split(",") if name] or names
        left = [name for name in names if name in wanted and name not in tests]
        while left and self.left(1) > 0:
            lines, ended = self.answers("check.py", library, "--only", ",".join(left), most=150 if self.given.backend == "cuda" else 450)
            tests.update({line["op"]: line for line in lines})
            left = [name for name in left if name not in tests]
            if left and (ended or not lines):
                tests[left[0]] = {"op": left[0], "state": "failed", "text": ended or "no answer", "cases": 0}
                left = left[1:]
            self.report.save()
        tests.update({name: {"op": name, "state": "failed", "text": "out of time", "cases": 0} for name in left})

    def sanitize(self, library):
        for tool, summary in SANITIZERS.items():
            if self.report.found["sanitizer"].get(tool, {}).get("clean"):
                continue
            log = os.path.join(self.given.out, f"{tool}.log")
            command = ["compute-sanitizer", "--tool", tool, "--target-processes", "all", "--log-file", log, sys.executable,
                       os.path.join(HERE, "check.py"), library, "--seed", str(self.seed), "--only", self.given.only, "--once"]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=self.left(120), check=False)
                said = self._summary(log, summary, done)
            except (OSError, subprocess.TimeoutExpired) as error:
                said = {"clean": False, "text": f"not run: {type(error).__name__}"}
            self.report.found["sanitizer"][tool] = said
            self.report.save()

    @staticmethod
    def _summary(log, summary, done):
        """Clean only where the tool says so in its own words, and all operators answered."""
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = [line.split(summary)[1].strip() for line in file if summary in line]
        text = "; ".join(lines) or f"no summary, exit status {done.returncode}"
        counts = [int(number) for number in re.findall(r"\d+", text)] if lines else []
        return {"clean": bool(counts) and not any(counts) and done.returncode in (0, 1), "text": text,
                "operators": done.stdout.count('"right"')}

    def bench(self, library):
        """Every bench once; behind one that ended the process or lost the device, the others in a new one."""
        benches, only = self.report.found["benches"], set(filter(None, self.given.only.split(",")))
        left = [bench.name for bench in operators.all_benches()
                if bench.name not in benches and (not only or only & {bench.name, *bench.needs})]
        while left and self.left(1) > 0:
            lines, ended = self.answers("bench.py", library, "--only", ",".join(left), most=240)
            for line in lines:
                self.report.found["ceilings"].update(line.get("ceilings", {}))
                benches.update({line["bench"]: line["rows"]} if "bench" in line else {})
            before, left = left, [name for name in left if name not in benches]
            if left and (ended or left == before):
                benches[left[0]] = [not_measured(left[0], ended or "no answer")]
                left = left[1:] if lines else []
            self.report.save()
        benches.update({name: [not_measured(name, "out of time")] for name in left})


def not_measured(name, why):
    return {"name": name, "state": f"failed: {why}", "ratio": None}


def ended_by(code):
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def main():
    given = parsed()
    lab = Lab(given)
    print(f"HEADRACE_SEED={lab.seed}", flush=True)
    library = lab.build()
    lab.test(library)
    if given.backend == "cuda" and not given.no_bench:
        lab.bench(library)
    if given.sanitize and given.backend == "cuda":
        lab.sanitize(library)
    lab.report.found["clocks_after"] = lab.gpu("clocks.sm,clocks.mem,temperature.gpu,power.draw")
    lab.report.save()
    print("\n".join(lab.report.lines()))
    return 1 if lab.report.failures() else 0


if __name__ == "__main__":
    sys.exit(main())
