#!/usr/bin/env python3
"""Opens the dashboard of a running demo in a real browser and sees it follow the demo to its end.

    .ci/check_dashboard.py BINARY STATE [DATA]

Checks what the page says at first and at last, that the browser has nothing to complain of, and that it fetches
nothing from elsewhere. Exits 77 with a reason where there is no browser.
"""
import re
import shutil
import subprocess
import sys
import urllib.request

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
PAGE_MS = 2_000  # of the page's own time, which stands still while it listens: it is looked at when the demo has ended


def number(html, what):
    """The figure before `what` in the text of the page; 0 before the first sample."""
    text = re.sub(r"<[^>]+>", "", html)
    if "was learned yet" in text:
        return 0
    found = re.search(r"([\d,]+) " + what, text)
    assert found, f"the page does not say how many {what}"
    return int(found.group(1).replace(",", ""))


def look(url):
    """The page as a browser has it at last, and what it had to say."""
    run = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--log-level=0",
         f"--virtual-time-budget={PAGE_MS}", "--dump-dom", url],
        capture_output=True, text=True, timeout=120, check=True)
    said = [line for line in run.stderr.splitlines() if ":CONSOLE" in line]
    return run.stdout, said


def main(binary, state, data=None):
    if BROWSER is None:
        print("dashboard: no chromium here")
        return 77
    command = [binary, "demo", "--state", state]
    if data:
        command += ["--data", data]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = None
        for line in demo.stdout:
            if line.startswith("Dashboard at "):
                url = line.split()[-1]
                break
        assert url, "the demo does not say where its dashboard is"
        first = urllib.request.urlopen(url, timeout=10).read().decode()
        assert not re.search(r"(src|href)=\"https?:", first), "something is fetched from elsewhere"
        page, said = look(url)
        summary, _ = demo.communicate(timeout=120)
        assert not said, "the browser says: " + "\n".join(said)
        began, later = number(first, "samples of"), number(page, "samples of")
        assert later > began, f"{began} samples at first and {later} at last: it stands still"
        assert later == number(summary, "samples of"), f"the page ends at {later}, and the demo says:\n{summary}"
        assert "<svg" in page and "AUC" in page and page.count("<tr>") >= 4, "charts or shards are missing"
        assert demo.returncode == 0, f"the demo ended with {demo.returncode}"
    finally:
        if demo.poll() is None:
            demo.kill()
    print(f"dashboard: {began} samples at first, {later} at last, as the demo says; nothing to complain of")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
