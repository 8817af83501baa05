"""What a lab run found: one JSON a device, and at most 40 lines to read."""

import json
import os

LINES_MAX = 40


class Report:
    """`found` is the JSON. Saved after every step, so that a run that was cut off leaves what it had."""

    def __init__(self, folder, device, head):
        self.path = os.path.join(folder, f"{device}.json")
        self.found = {"device": device, **head, "tests": {}, "sanitizer": {}, "ceilings": {}, "benches": {}}

    def resume(self):
        """Takes over what the file has of the same source and of the same seed-free parts; says whether it had any."""
        try:
            with open(self.path, encoding="utf-8") as file:
                old = json.load(file)
        except (OSError, ValueError):
            return False
        if old.get("source") != self.found["source"]:
            return False
        done = {op: test for op, test in old.get("tests", {}).items() if test["state"] in ("right", "no entry")}
        benches = {name: rows for name, rows in old.get("benches", {}).items() if all(row["state"] == "measured" for row in rows)}
        self.found.update(tests=done, benches=benches, sanitizer=old.get("sanitizer", {}), ceilings=old.get("ceilings", {}),
                          resumed_seeds=[*old.get("resumed_seeds", []), old.get("seed")])
        return True

    def save(self):
        os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(self.found, file, indent=1)
        os.replace(self.path + ".new", self.path)

    def failures(self):
        """What makes the run fail: wrong results, findings of the sanitizer. A ratio that misses its target does not."""
        wrong = [f"{op}: {test['state']}: {test.get('text', '')}" for op, test in self.found["tests"].items()
                 if test["state"] not in ("right", "no entry")]
        wrong += [f"{tool}: {said['text']}" for tool, said in self.found["sanitizer"].items() if not said["clean"]]
        wrong += [f"{row['name'].strip()}: {row['state']}" for rows in self.found["benches"].values() for row in rows
                  if row["state"].startswith(("wrong", "failed"))]
        return wrong

    def lines(self):
        found = self.found
        lines = [f"{found['device']}: driver {found['driver']}, {found['clocks']}",
                 f"commit {found['commit']}, source {found['source'][:12]}, HEADRACE_SEED={found['seed']}"]
        if found.get("built"):
            lines.append(f"built in {found['built']['seconds']} s: {found['built']['text']}")
        lines += self._tests() + [f"{tool}: {said['text']}" for tool, said in found["sanitizer"].items()]
        if found["ceilings"]:
            lines.append("ceilings: copy {copy_bytes_per_s:.4g} B/s, bf16 product {gemm_bf16_operations_per_s:.4g}/s".format(
                **found["ceilings"]))
        rows = []
        for row in (row for bench in found["benches"].values() for row in bench):
            if row["name"].startswith(" ") and rows:  # the same measurement beside another limit
                rows[-1] += f"; {self._row(row).split(': ', 1)[1]}"
            else:
                rows.append(self._row(row))
        room = LINES_MAX - len(lines)
        return lines + (rows if len(rows) <= room else rows[: room - 1] + [f"{len(rows) - room + 1} more lines in {self.path}"])

    def _tests(self):
        tests = self.found["tests"]
        right = [op for op, test in tests.items() if test["state"] == "right"]
        absent = [op for op, test in tests.items() if test["state"] == "no entry"]
        lines = [f"tests: {len(right)} entries right in {sum(tests[op]['cases'] for op in right)} cases"]
        lines += [f"no entry: {', '.join(absent)}"[:300]] if absent else []
        lines += [f"no test: {', '.join(self.found['no_test'])}"[:300]] if self.found.get("no_test") else []
        bad = [f"{op}: {test['state'].upper()}: {test.get('text', '')}"[:200] for op, test in tests.items()
               if test["state"] not in ("right", "no entry")]
        return lines + (bad if len(bad) <= 8 else bad[:7] + [f"{len(bad) - 7} more wrong"])

    @staticmethod
    def _row(row):
        if row["ratio"] is None:
            times = [f"{name} {t * 1e6:.0f} us" for name, t in row.get("peers", {}).items() if isinstance(t, float)]
            state = row["state"] if row["state"] != "measured" else f"{row['ours'] * 1e6:.1f} us, and no peer to compare with"
            return f"{row['name']}: {state}{'; ' if times else ''}{', '.join(times)}"[:200]
        holds = "" if row["holds"] else ", MISSED"
        time = "" if row["name"].startswith(" ") else f"{row['ours'] * 1e6:.1f} us, "
        return f"{row['name']}: {time}{row['ratio']:.2f} {row['unit']} (target {row['target']:.2f}{holds})"
