#!/usr/bin/env bash
# What learning is worth: every shipped job on its stream and the batch × in-flight table, a JSON line each, as `run --json`
# printed it. README's figures come from here.
#   HEADRACE_DATA=DIR bench/learning.sh [BINARY] > bench/baselines/learning-DATE.jsonl
set -euo pipefail
cd "$(dirname "$0")/.."
headrace=${1:-build/release/headrace}
data=${HEADRACE_DATA:?the folder of real data}
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT

# line POINT ARGUMENT …: runs it in a folder of its own; the point's name and command go in front.
line() {
  local point=$1 result
  shift
  result=$("$headrace" "$@" --json --speed max --state "$state/$point")
  printf '{"point":"%s","command":"headrace %s",%s\n' "$point" "${*//\"/\\\"}" "${result#\{}" |
    sed -e "s#$data#DATA#g" -e "s#$state#STATE#g"
}

ratings=$data/local-only/movielens-latest-small/ratings.csv
line movielens demo --data "$data/local-only/movielens-100k"
line movielens-latest run deploy/config/movielens.toml --freeze-at 0.8 --set "source.uri=file://$ratings" \
  --set source.separator=, --set source.header=true
line criteo run deploy/config/criteo.toml --freeze-at 0.75 \
  --set "source.uri=file://$data/local-only/criteo-ctr-60k/criteo_60k.tsv.zst"
line online-retail run deploy/config/online_retail.toml \
  --set "source.uri=file://$data/open/online-retail/online_retail.csv.zst"
line planted run deploy/config/planted.toml
line planted-drift run deploy/config/planted_drift.toml
for pair in 1x1 4x1 16x1 16x4 256x4; do
  line "movielens-$pair" demo --data "$data/local-only/movielens-100k" \
    --set "train.batch_max=${pair%x*}" --set "train.in_flight=${pair#*x}"
done
