"""README's measured figures must be those kept in bench/baselines: what was measured anew is written anew."""
import glob
import json
import re
import sys

readme = open("README.md").read()
learning = {}
for path in sorted(glob.glob("bench/baselines/learning-*.jsonl")):  # a later file may have only some points anew
    for line in open(path):
        point = json.loads(line)
        learning[point["point"]] = point
rows64 = {}
for point in json.load(open(sorted(glob.glob("bench/baselines/rows64-*.json"))[-1])):
    usual = {"codec": "fp32", "batch": 4096, "depth": 8, "transport": "tcp", "durable": "os", "optimizer": "add"}
    if all(point.get(key) == value for key, value in usual.items()):
        rows64[point["op"]] = point

wanted = [
    ("MovieLens-100K, AUC", f"**{learning['movielens']['auc_second_half']:.3f}** online"),
    ("MovieLens-100K, AUC", f"{learning['movielens']['auc_frozen_second_half']:.3f} its frozen twin"),
    ("MovieLens latest-small", f"**{learning['movielens-latest']['auc_after_freeze']:.3f}** online"),
    ("Criteo", f"**{learning['criteo']['auc_after_freeze']:.3f}** online"),
    ("Criteo", f"{learning['criteo']['auc_frozen_after_freeze']:.3f} frozen"),
    ("Online Retail", f"**{learning['online-retail']['auc_second_half']:.3f}** online"),
    ("planted CTR set", f"**{learning['planted']['logloss']:.4f}**"),
    ("the same with drift", f"**{learning['planted-drift']['logloss']:.4f}**"),
    ("samples/s through log", f"{round(learning['planted']['samples_per_second'], -3):,.0f}"),
]
wanted.append(("SASRec on Amazon Beauty", "**{test_hr_at_10:.3f}**, **{test_ndcg_at_10:.3f}**".format(**learning["beauty"])))
def newest(name):
    return [json.loads(line) for line in open(sorted(glob.glob(f"bench/baselines/{name}-*.jsonl"))[-1])]


ingest = next(point for point in newest("ingest") if point["durable"] == "os")
wanted.append(("events of 200 bytes", f"**{ingest['events_per_second'] / 1e6:.2f} M/s**"))
wanted.append(("events of 200 bytes", f"AOF {ingest['redis_events_per_second'] / 1e6:.2f} M/s ({ingest['ratio_to_redis']:.1f} times)"))
available = {point["job"]: point["available_ms_p99"] for point in newest("available")}
wanted.append(("accepted until the sample", f"p99 **{available['labelled']:.0f} ms**; joined with a click **{available['joined']:.0f} ms**"))
fresh = [point for point in newest("freshness") if point["interval_ms"] == 20][-1]
wanted.append(("accepted until a prediction", f"p50 **{fresh['freshness_p50_seconds'] * 1e3:.0f} ms**, p99 **{fresh['freshness_p99_seconds'] * 1e3:.0f} ms**"))
served = newest("serve")[-1]
wanted.append(("a prediction over HTTP", f"p50 **{served['predict_p50_ms']:.1f} ms**, p99 **{served['predict_p99_ms']:.1f} ms**"))
wanted.append(("a prediction over HTTP", f"the same bytes {served['bare_p50_ms']:.1f}, {served['bare_p99_ms']:.1f} ms"))
layers = {}
for line in open(sorted(glob.glob("bench/baselines/layers-*.jsonl"))[-1]):
    point = json.loads(line)
    layers[point["point"]] = point
wanted.append(("attention, forward and backward", "**{:.1f}**, **{:.1f}** times PyTorch".format(
    layers["b32_s200_d64_h4"]["ratio_to_pytorch"], layers["b4_s2048_d256_h8"]["ratio_to_pytorch"])))
for op in ("push", "pull"):
    point = rows64[op]
    wanted.append((f"{op}, 64 floats", f"**{point['rows_per_second'] / 1e6:.1f} M rows/s**"))
    wanted.append((f"{op}, 64 floats", f"plain server {point['plain_server_rows_per_second'] / 1e6:.1f} M"))
for pair in ("1x1", "4x1", "16x1", "16x4", "256x4"):
    wanted.append(("| " + pair.replace("x", " × ") + " |", f"| {learning['movielens-' + pair]['auc_second_half']:.3f} |"))

# What README says of the tests is what they do.
seeds = re.search(r'"HEADRACE_SEEDS", ([0-9\']+)\)', open("tests/simulation/simulation.test.cpp").read()).group(1).replace("'", "")
mutants = re.search(r"static constexpr auto all = \{(.*?)\};", open("tests/simulation/variant.cpp").read(), re.S).group(1).count("variant::")
kills = re.search(r"int kills\(\) \{ return by_weight\((\d+)", open("tests/fault/kill_restart.test.cpp").read()).group(1)
prose = " ".join(readme.split())
single = round(ingest["http_single_events_per_second"], -3)
said = [f"about {single:,.0f} a second get in", f"in batches {ingest['http_json_events_per_second'] / 1e6:.1f} M do", f"runs {int(seeds):,} seeded worlds", f"catch {mutants} known-wrong variants", f"kills a run {kills} times"]

failed = 0
for sentence in said:
    if sentence not in prose:
        failed += 1
        print(f"FAIL README does not say '{sentence}'")
for row, figure in wanted:
    lines = [line for line in readme.splitlines() if row in line and line.startswith("|")]
    if not any(figure in line for line in lines):
        failed += 1
        print(f"FAIL README's row '{row}' does not say {figure}")
for target in re.findall(r"\]\(([^)#h][^)]*)\)", readme):
    try:
        open(target.partition("#")[0]).close()
    except IsADirectoryError:
        pass
    except OSError:
        failed += 1
        print(f"FAIL README links to {target}, which is not there")
print(f"{len(wanted) + len(said)} figures compared, {failed} wrong")
sys.exit(1 if failed else 0)
