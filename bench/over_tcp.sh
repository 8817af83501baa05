#!/usr/bin/env bash
# What a network between worker and shards costs a DeepFM: the same job in one process and as `headrace server` + `headrace
# worker` over TCP on loopback, in turns. A JSON line each, as `--json` printed it, then the ratio of the medians.
#   bench/over_tcp.sh [BINARY] [ROUNDS] [BATCH] > bench/baselines/over-tcp-DATE.jsonl
set -euo pipefail
cd "$(dirname "$0")/.."
headrace=${1:-build/release/headrace} rounds=${2:-5} batch=${3:-512}
state=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$state"' EXIT
job=(deploy/config/planted.toml --speed max --set model.arch=deepfm --set source.rows=300000 --set train.batch_max="$batch"
  --set train.in_flight=4)

# keep WHERE JSON: prints the line and keeps its rate.
keep() {
  printf '{"through":"%s","batch":%s,%s\n' "$1" "$batch" "${2#\{}" | sed "s#$state#STATE#g"
  sed -E 's/.*"samples_per_second":([0-9.e+]+).*/\1/' <<<"$2" >>"$state/$1.rates"
}

over_tcp() {
  local port=$1 where=$2
  local there=(--set "server.listen=tcp://127.0.0.1:$port" --state)
  "$headrace" server "${job[@]}" "${there[@]}" "$where/server" >"$state/server.log" 2>&1 &
  server=$!
  "$headrace" worker "${job[@]}" "${there[@]}" "$where/worker" --json
  kill -INT "$server" && wait "$server" || true
  server=
}

median() { sort -g "$1" | awk '{ rate[NR] = $1 } END { print rate[int((NR + 1) / 2)] }'; }

for round in $(seq "$rounds"); do
  keep process "$("$headrace" run "${job[@]}" --json --state "$state/run-$round")"
  over_tcp $((7500 + round)) "$state/$round" >"$state/line"
  keep tcp "$(cat "$state/line")"
done
printf '{"point":"over-tcp","batch":%s,"process_samples_per_second":%s,"tcp_samples_per_second":%s,"ratio":%s}\n' "$batch" \
  "$(median "$state/process.rates")" "$(median "$state/tcp.rates")" \
  "$(awk -v a="$(median "$state/tcp.rates")" -v b="$(median "$state/process.rates")" 'BEGIN { printf "%.3f", a / b }')"
