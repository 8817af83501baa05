"""Every test that docs/promises.md and the correctness ledger name must be where they say it is."""
import glob
import re
import sys

defined = {}  # "Suite.Name" -> files
for path in glob.glob("**/*.cpp", recursive=True):
    if path.startswith("build/"):
        continue
    for suite, name in re.findall(r"\bTEST(?:_F|_P)?\((\w+),\s*(\w+)\)", open(path).read()):
        defined.setdefault(f"{suite}.{name}", set()).add(path)
fuzzed = set(re.findall(r"^headrace_fuzz\((\w+)", open("tests/fuzz/CMakeLists.txt").read(), re.M))

failed = 0


def fail(text):
    global failed
    failed += 1
    print("FAIL " + text)


promises = open("docs/promises.md").read()
named = re.findall(r"`([\w./]+)` \(`([^`]+\.cpp)`\)", promises)
for test, path in named:
    fuzz_target = test.startswith("fuzz_")
    there = path == f"tests/fuzz/{test[5:]}.cpp" and test[5:] in fuzzed if fuzz_target else path in defined.get(test, ())
    if not there:
        fail(f"docs/promises.md: no test {test} in {path}")
for target in sorted(fuzzed - {test[5:] for test, _ in named}):
    fail(f"docs/promises.md does not name fuzz_{target}")
numbers = [int(n) for n in re.findall(r"^## (\d+)\. ", promises, re.M)]
if numbers != list(range(1, 11)):
    fail(f"docs/promises.md: promises 1 to 10 in order, not {numbers}")
for section in re.split(r"^## ", promises, flags=re.M)[1:]:
    if " (`" not in section and "Not yet" not in section:
        fail("docs/promises.md: neither a test nor 'Not yet' under " + section.splitlines()[0])

ledger = re.findall(r"`([A-Z]\w+)\.(\w+)`", open("docs/correctness-ledger.md").read())
for suite, name in ledger:
    if f"{suite}.{name}" not in defined:
        fail(f"docs/correctness-ledger.md: no test {suite}.{name}")
print(f"{len(named) + len(ledger)} tests named, {failed} wrong")
sys.exit(1 if failed else 0)
