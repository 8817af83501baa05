"""Checks a rows64 result: every promised field is measured and every row was read back. Speed is printed, not
judged: the machine is shared (bench/baselines has the figures)."""
import json
import sys

result = json.load(open(sys.argv[1]))
promised = [
    "rows_per_second", "p50_ms", "p99_ms", "empty_handler_rows_per_second", "plain_server_rows_per_second",
    "ratio_to_plain_server", "verified_rows",
]
missing = [field for field in promised if not isinstance(result.get(field), (int, float)) or result[field] <= 0]
print(f"{result['op']}: {result['rows_per_second'] / 1e6:.2f} M rows/s, {result['ratio_to_plain_server']:.2f} of the plain "
      f"server, {result['verified_rows']} rows verified, load {result['load_average']:.1f}")
if missing:
    print("FAIL not measured:", ", ".join(missing))
sys.exit(1 if missing else 0)
