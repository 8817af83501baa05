#!/usr/bin/env bash
# Runs the commands of README's "Push your own stream" and "Ask for predictions" as they stand there, and looks at what
# they say.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$scratch"' EXIT
mkfifo "$scratch/commands"
build/dev/bin/headrace_mock_kafka 1 "$scratch/commands" >"$scratch/kafka" &
exec 7>"$scratch/commands"
echo 'topic events 3' >&7
# within SECONDS COMMAND …: asks again until it is so.
within() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" 2>/dev/null; do
    [ "$SECONDS" -lt "$deadline" ] || { echo "not so in time: $*"; return 1; }
    read -r -t 0.2 <> <(:) || true
  done
}
within 20 grep -q '^done 1' "$scratch/kafka"
brokers=$(sed -n 's/^bootstraps //p' "$scratch/kafka")

# Prints the commands between the heading ("Push your own stream") and the next, from the N-th block of them.
commands() {
  awk -v wanted="$1" -v heading="## ${2:-Push your own stream}" '$0 == heading { on = 1; next } /^## / { on = 0 }
    on && /^    / { if (!inside) block++; inside = 1; if (block == wanted) print substr($0, 5); next } { inside = 0 }' README.md
}
place() { sed -e "s|/tmp/|$scratch/|g" -e "s|localhost:9092|$brokers|g"; }
# has KEY LEAST FILE: the first number behind "KEY": is at least so much.
has() {
  local found
  found=$(grep -o "\"$1\":[0-9]*" "$3" | head -n 1 | cut -d: -f2)
  [ "${found:-0}" -ge "$2" ] || { echo "$1 is ${found:-missing}, not $2 or more"; cat "$3"; exit 1; }
}

commands 1 | place >"$scratch/push.sh"
bash -m "$scratch/push.sh" >"$scratch/push.out" 2>"$scratch/push.err" || { cat "$scratch/push.out" "$scratch/push.err"; exit 1; }
cat "$scratch/push.out"
has accepted 1 "$scratch/push.out"
grep -q '^events ' "$scratch/push.out"
grep '^events ' "$scratch/push.out" >"$scratch/status"
has accepted 4002 "$scratch/status"
has samples 1000 "$scratch/status"

{ commands 2 | place && echo 'echo $! >"'"$scratch"'/pid"; wait $!'; } >"$scratch/kafka.sh"
bash "$scratch/kafka.sh" >"$scratch/kafka.out" 2>"$scratch/kafka.err" &
running=$!
log=$scratch/clicks-kafka/worker/series.jsonl
within 60 grep -q '"samples":[1-9][0-9][0-9][0-9]' "$log" || { cat "$scratch/kafka.err"; exit 1; }
kill -INT "$(cat "$scratch/pid")"
wait "$running" || true
cat "$scratch/kafka.out"
has samples 1000 "$scratch/kafka.out"

# Three processes of one job.
{ commands 1 | grep '^post()'; commands 3 | place; } >"$scratch/fleet.sh"
bash -m "$scratch/fleet.sh" >"$scratch/fleet.out" 2>"$scratch/fleet.err" || { cat "$scratch/fleet.out" "$scratch/fleet.err"; exit 1; }
cat "$scratch/fleet.out"
grep '"samples":' "$scratch/fleet.out" | tail -n 1 >"$scratch/learned"
has samples 1000 "$scratch/learned"

# Predictions while it learns: their version grows.
{ commands 1 | grep '^post()'; commands 1 "Ask for predictions" | place; } >"$scratch/ask.sh"
bash -m "$scratch/ask.sh" >"$scratch/ask.out" 2>"$scratch/ask.err" || { cat "$scratch/ask.out" "$scratch/ask.err"; exit 1; }
cat "$scratch/ask.out"
mapfile -t versions < <(grep -o '"model_version":[0-9]*' "$scratch/ask.out" | cut -d: -f2)
[ "${#versions[@]}" -ge 2 ] || { echo "not two predictions"; exit 1; }
[ "${versions[1]}" -gt "${versions[0]}" ] || { echo "version ${versions[1]} is not behind ${versions[0]}"; exit 1; }
grep '"ready":true' "$scratch/ask.out" >"$scratch/served"
has answered 2 "$scratch/served"
