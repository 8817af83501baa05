"""What deploy/ ships for whoever watches a job: alert rules, their runbook, the dashboard.

Expressions are read by promtool; then a real Prometheus watches real runs, and each expression of the dashboard must have data.
Needs Debian's prometheus (./dev setup peers), else those are skipped. HEADRACE_BINARY names the binary.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("HEADRACE_BINARY", os.path.join(ROOT, "build/dev/headrace"))
RULES = os.path.join(ROOT, "deploy/prometheus/headrace.rules.yml")
TESTS = os.path.join(ROOT, "deploy/prometheus/headrace.test.yml")
DASHBOARD = os.path.join(ROOT, "deploy/grafana/headrace.json")
PATIENCE_S = 90
# Of processes that answer predictions.
SERVING = ("headrace_replica_", "headrace_serve_")


def text(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def needs(tool):
    return unittest.skipUnless(shutil.which(tool), f"no {tool}: ./dev setup peers")


def verbs_there():
    said = subprocess.run([BINARY, "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  ([a-z-]+)  ", said.split("Subcommands:")[1], re.M))


def dashboard_expressions():
    """(panel, expression) with Grafana's variables replaced by what they stand for."""
    board = json.loads(text("deploy/grafana/headrace.json"))
    found = []
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            found.append((panel["title"], target["expr"].replace("$instance", ".*").replace("$__rate_interval", "10s")))
    return found


def rule_expressions():
    """(alert, expression) of the rules file, whose folded lines are joined."""
    found = []
    for block in re.split(r"^ +- alert: ", text("deploy/prometheus/headrace.rules.yml"), flags=re.M)[1:]:
        name = block.split("\n", 1)[0].strip()
        expression = re.search(r"^ +expr: (?:>-\n)?(.*?)\n +(?:for|labels):", block, re.M | re.S).group(1)
        found.append((name, " ".join(expression.split())))
    return found


class Rules(unittest.TestCase):
    @needs("promtool")
    def test_promtool_reads_rules_and_each_alert_fires_where_it_should(self):
        for command in (["check", "rules", RULES], ["test", "rules", TESTS]):
            done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    @needs("promtool")
    def test_promtool_tells_a_wrong_bound(self):
        """The unit tests can fail: with one comparison turned around an alert fires for the other instance."""
        rules = text("deploy/prometheus/headrace.rules.yml")
        bounds = [at.start() for at in re.finditer(r" < 0\.1$", rules, re.M)]
        self.assertTrue(bounds)
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "headrace.rules.yml"), "w", encoding="utf-8") as file:
                file.write(rules[:bounds[0]] + " > 0.1" + rules[bounds[0] + len(" < 0.1"):])
            shutil.copy(TESTS, folder)
            done = subprocess.run(["promtool", "test", "rules", os.path.join(folder, "headrace.test.yml")],
                                  capture_output=True, text=True, check=False)
        self.assertNotEqual(done.returncode, 0, done.stdout)

    def test_each_alert_is_tested_and_has_its_heading_in_the_runbook(self):
        alerts = [name for name, _ in rule_expressions()]
        self.assertGreaterEqual(len(alerts), 20)
        self.assertEqual(len(alerts), len(set(alerts)))
        tested = re.findall(r"^ +alertname: (\w+)$", text("deploy/prometheus/headrace.test.yml"), re.M)
        self.assertEqual(set(alerts), set(tested))
        headings = re.findall(r"^## (\w+)$", text("docs/runbook.md"), re.M)
        self.assertEqual(alerts, headings, "the runbook has the alerts of the rules, in their order")
        named = re.findall(r"^ +runbook: docs/runbook\.md#(\w+)$", text("deploy/prometheus/headrace.rules.yml"), re.M)
        self.assertEqual([name.lower() for name in alerts], named)
        for heading, part in zip(headings, re.split(r"^## ", text("docs/runbook.md"), flags=re.M)[1:]):
            for what in ("**Means** ", "**Look at** ", "**Do** "):
                self.assertIn(what, part.replace("**Look at** and **do** ", "**Look at** **Do** "), heading)

    def test_what_the_runbook_links_to_is_there(self):
        page = text("docs/runbook.md")
        for target in re.findall(r"\]\(([^)#]+)", page):
            self.assertTrue(os.path.exists(os.path.join(ROOT, "docs", target)), target)
        headings = {heading.lower() for heading in re.findall(r"^## (\w+)$", page, re.M)}
        for anchor in re.findall(r"\]\(#(\w+)\)", page):
            self.assertIn(anchor, headings)

    @unittest.skipUnless(os.access(BINARY, os.X_OK), f"no {BINARY}: build the target headrace")
    def test_the_runbooks_commands_are_there(self):
        verbs = set(re.findall(r"`headrace ([a-z-]+)", text("docs/runbook.md")))
        self.assertGreaterEqual(len(verbs), 6)
        self.assertLessEqual(verbs, verbs_there())
        helps = {verb: subprocess.run([BINARY, verb, "--help"], capture_output=True, text=True, check=True).stdout for verb in verbs}
        for verb, rest in re.findall(r"`headrace ([a-z-]+)([^`]*)`", text("docs/runbook.md")):
            for flag in re.findall(r"--[a-z-]+", rest):
                self.assertIn(flag, helps[verb], f"headrace {verb} {flag}")

    def test_each_series_is_documented(self):
        known = set(re.findall(r"^\| `(headrace_\w+)`", text("docs/metrics.md"), re.M))
        for where, expression in rule_expressions() + dashboard_expressions():
            for name in re.findall(r"headrace_\w+", expression):
                if name not in known and name.startswith(SERVING):
                    continue  # documented with what serves them
                self.assertIn(re.sub(r"_bucket$", "", name), known, where)


class Dashboard(unittest.TestCase):
    def test_panels_have_titles_and_places_of_their_own(self):
        board = json.loads(text("deploy/grafana/headrace.json"))
        taken = set()
        for panel in board["panels"]:
            self.assertTrue(panel["title"])
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertNotIn((x, y), taken, panel["title"])
                    taken.add((x, y))
        ids = [panel["id"] for panel in board["panels"]]
        self.assertEqual(len(ids), len(set(ids)))

    @needs("promtool")
    def test_promtool_reads_each_expression(self):
        expressions = dashboard_expressions()
        self.assertGreaterEqual(len(expressions), 30)
        rules = [{"record": f"headrace:{at}", "expr": expression} for at, (_, expression) in enumerate(expressions)]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)  # JSON is YAML
            file.flush()
            done = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Process:
    """A program under test, its output in a file; ended by its own id."""

    def __init__(self, folder, name, command):
        self.name = name
        self.path = os.path.join(folder, name + ".log")
        with open(self.path, "wb") as log:
            self.child = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)

    def output(self):
        with open(self.path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def find(self, pattern, deadline):
        while time.monotonic() < deadline:
            found = re.search(pattern, self.output())
            if found:
                return found.group(1)
            if self.child.poll() is not None:
                break
            look_again()
        raise AssertionError(f"{self.name} never said {pattern}:\n{self.output()[-3000:]}")

    def end(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGINT)
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


def look_again():
    """Between two looks at what must become true."""
    time.sleep(0.1)


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


LIVE_JOB = """
[job]
name = "watched"
[source]
uri = "zmq://127.0.0.1:0"
[gate]
needs_id = true
[join]
actions = ["click", "buy"]
window = "500ms"
out_of_order = "100ms"
correct = "1h"
[features.user]
[features.item]
[model]
arch = "fm"
dim = 8
[train]
batch_max = 128
[checkpoint]
to = "archive"
every = "1s"
[server]
listen = "tcp://127.0.0.1:0"
[telemetry]
http = "http://127.0.0.1:0"
"""
# Of a binary that answers predictions.
SERVE = """
[serve]
http = "http://127.0.0.1:0"
"""
# The labels of a stream with an end can be predicted by a twin frozen within it.
TWIN_JOB = """
[job]
name = "twin"
[source]
uri = "generate:planted_drift"
rows = 1000000
duration = "10m"
[model]
arch = "fm"
dim = 4
[train]
freeze_at = 0.002
[telemetry]
http = "http://127.0.0.1:0"
"""


@needs("prometheus")
@unittest.skipUnless(os.access(BINARY, os.X_OK), f"no {BINARY}: build the target headrace")
class Watched(unittest.TestCase):
    """A Prometheus with the shipped rules, and runs that it watches."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.processes = []
        cls.deadline = time.monotonic() + PATIENCE_S
        try:
            cls.start_all()
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def start_all(cls):
        targets = []
        cls.serves = "serve" in verbs_there()
        for name, job in (("live", LIVE_JOB + (SERVE if cls.serves else "")), ("twin", TWIN_JOB)):
            path = os.path.join(cls.folder.name, name + ".toml")
            with open(path, "w", encoding="utf-8") as file:
                file.write(job)
            run = cls.start(name, [BINARY, "run", path, "--state", os.path.join(cls.folder.name, name), "--json"])
            targets.append(run.find(r'"endpoint":"http://([^"/]+)/metrics"', cls.deadline))
        cls.address = targets[0]
        if cls.serves:
            targets.append(cls.processes[0].find(r'"serve.listening".*"endpoint":"http://([^"/]+)/', cls.deadline))
        endpoint = cls.processes[0].find(r'"events.listening".*"endpoint":"(tcp://[^"]+)"', cls.deadline)
        cls.start("events", [BINARY, "generate", "--events", "0", "--rate", "400", "--to", endpoint])
        config = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"},
            "rule_files": [RULES],
            "scrape_configs": [{"job_name": "headrace", "static_configs": [{"targets": targets}]}],
        }
        path = os.path.join(cls.folder.name, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)  # JSON is YAML
        server = cls.start("prometheus", ["prometheus", f"--config.file={path}", "--web.listen-address=127.0.0.1:0",
                                          f"--storage.tsdb.path={cls.folder.name}/tsdb"])
        cls.prometheus = "http://" + server.find(r'msg="Listening on" address=([0-9.:]+)', cls.deadline)

    @classmethod
    def start(cls, name, command):
        cls.processes.append(Process(cls.folder.name, name, command))
        return cls.processes[-1]

    @classmethod
    def tearDownClass(cls):
        for process in reversed(cls.processes):
            process.end()
        cls.folder.cleanup()

    def query(self, expression):
        return json.loads(get(self.prometheus + "/api/v1/query?" + urllib.parse.urlencode({"query": expression})))["data"]["result"]

    def test_each_expression_of_the_dashboard_has_data(self):
        waiting = dashboard_expressions()
        if not self.serves:
            waiting = [(panel, expression) for panel, expression in waiting if not re.search("|".join(SERVING), expression)]
        self.assertGreaterEqual(len(waiting), 30)
        while waiting and time.monotonic() < self.deadline:
            waiting = [(panel, expression) for panel, expression in waiting if not self.query(expression)]
            if waiting:
                look_again()
        self.assertEqual(waiting, [], "no data:\n" + "".join(process.output()[-1500:] for process in self.processes))

    def test_rules_are_evaluated_without_errors(self):
        while time.monotonic() < self.deadline:
            groups = json.loads(get(self.prometheus + "/api/v1/rules"))["data"]["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            if rules and all(rule["health"] != "unknown" for rule in rules):
                break
            look_again()
        self.assertEqual([rule["name"] for rule in rules if rule["health"] != "ok"], [])
        self.assertGreaterEqual(len(rules), 20)

    def test_a_scrape_is_what_promtool_accepts(self):
        page = get(f"http://{self.address}/metrics")
        done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False)
        # A gauge with quantiles is what it says it is: they are made where the values are, not by Prometheus' client.
        remarks = [line for line in (done.stdout + done.stderr).splitlines() if line and 'should not have "quantile"' not in line]
        self.assertEqual(remarks, [])

    def test_it_becomes_ready(self):
        self.assertEqual(json.loads(get(f"http://{self.address}/healthz")), {"status": "ok"})
        said = ""
        while time.monotonic() < self.deadline:
            try:
                said = get(f"http://{self.address}/readyz")
                break
            except urllib.error.HTTPError as refused:
                said = refused.read().decode()
                look_again()
        self.assertEqual(json.loads(said), {"status": "ready"})


if __name__ == "__main__":
    unittest.main()
