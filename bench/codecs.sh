#!/usr/bin/env bash
# What it costs to push less: a DeepFM of vectors of 16 on the planted stream, one batch in flight, batches sealed when full (so that all see the
# same), once for each way to push its rows and its network. A JSON line each, as `run --json` printed it; push_bytes_per_sample counts whole messages.
#   bench/codecs.sh [BINARY] > bench/baselines/codecs-DATE.jsonl        # ROWS=200000 samples unless told
set -euo pipefail
cd "$(dirname "$0")/.."
headrace=${1:-build/release/headrace}
rows=${ROWS:-200000}
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT

# line POINT ARGUMENT …: runs it in a folder of its own; the point's name and command go in front.
line() {
  local point=$1 rows=$rows result
  shift
  [[ $point != *-300k ]] || rows=300000
  local settings=(--set "source.rows=$rows" --set train.in_flight=1 --set train.batch_wait=1m --set durability.log=none --set model.dim=16 "$@")
  result=$("$headrace" run deploy/config/planted.toml "${settings[@]}" --json --speed max --state "$state/$point")
  rm -rf "${state:?}/$point"
  printf '{"point":"%s","command":"headrace run deploy/config/planted.toml %s",%s\n' "$point" "${settings[*]//\"/\\\"}" "${result#\{}" |
    sed -e "s#$state#STATE#g"
}

# The network, rows in int8 with packed keys; then the rows alone, a factorization machine.
for push in fp32 topk5; do
  line "deepfm-$push" --set model.arch=deepfm --set train.push_keys=packed --set "tables.dense.push=$push"
done
line fm-fp32 --set train.push=fp32
line fm-int8 --set train.push=int8
line fm-int8-packed --set train.push=int8 --set train.push_keys=packed
line fm-int4 --set tables.embedding.push=int4
line deepfm-fp32-rows --set model.arch=deepfm --set train.push=fp32
# 100,000 samples more, all behind the warm-up: what a push costs then is the difference.
line deepfm-topk5-300k --set model.arch=deepfm --set train.push_keys=packed --set tables.dense.push=topk5
for push in auto topk10 int8 int4; do
  line "deepfm-$push" --set model.arch=deepfm --set train.push_keys=packed --set "tables.dense.push=$push"
done
