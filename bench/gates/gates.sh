#!/usr/bin/env bash
# What must hold (bench/baselines/README.md, "Gates"): every bench of the gates and the rows64 points, a JSON line each, appended
# to the file named first. Takes about an hour and needs 20 GB of disk and 12 GB of memory; nothing else should run beside it.
#   HEADRACE_COMMIT=… bench/gates/gates.sh bench/baselines/gates-DATE.jsonl [BINARY [DIR]]
set -euo pipefail
into=$(realpath "${1:?the file that the lines are appended to}")
headrace=$(realpath "${2:-build/release/headrace}")
dir=${3:-${TMPDIR:-/tmp}}

# line BENCH ARGUMENT …: one bench; one that fails is told and left out.
failed=0
line() {
  echo "bench $*" >&2
  "$headrace" bench "$@" --dir "$dir" --json >> "$into" || {
    echo "bench $* failed" >&2
    failed=1
  }
}

line memory
line inproc
line log
line replay
line durable
line restart
line tier

for op in push pull; do
  for codec in fp32 bf16 int8; do line rows64 --op "$op" --codec "$codec"; done
done
line rows64 --op push --optimizer adagrad
line rows64 --op pull --batch 512 --depth 1
line rows64 --op push --depth 1
exit "$failed"
