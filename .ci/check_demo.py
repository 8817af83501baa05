"""Checks the demo's figures on MovieLens-100K against what must hold (issue 2)."""
import json
import sys

figures = json.load(open(sys.argv[1]))
online, frozen = figures["auc_second_half"], figures["auc_frozen_second_half"]
wanted = {
    "online AUC of the second half >= 0.765": online >= 0.765,
    "0.06 above the frozen twin": online - frozen >= 0.06,
    "the twin itself >= 0.685": frozen >= 0.685,
    "all 100,000 samples": figures["samples"] == 100_000,
}
page = open(figures["report"]).read()
wanted["a whole report"] = page.endswith("</html>\n") and "<svg" in page
for what, holds in wanted.items():
    print("ok  " if holds else "FAIL", what, f"(online {online:.4f}, frozen {frozen:.4f})")
sys.exit(0 if all(wanted.values()) else 1)
