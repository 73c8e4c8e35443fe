#!/usr/bin/env bash
# `./dev fuzz`: libFuzzer over each target of this folder, as many side by side as there are cores.
set -uo pipefail
TALLY_ROOT=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
cd "$TALLY_ROOT" || exit 1
here=tests/fuzz
state=.tally/fuzz
bin=build/fuzz/bin
# Long inputs are slow to change: the limits of 64 KiB and more are asked by the unit tests.
declare -A max_bytes=([catalogue]=4096 [codecs]=4096 [csv]=256 [decimal]=512 [decode]=2048 [handoff]=1024
  [ingest]=4096 [request]=1024 [serve]=8192 [spool]=1024 [timestamp]=64 [usage_event]=4096)
declare -A dictionaries=([catalogue]='json catalogue' [codecs]='json event' [csv]='' [decimal]=decimal
  [decode]='json event record' [handoff]=record
  [ingest]='json event record' [request]=request [serve]='json event' [spool]=record [timestamp]=timestamp [usage_event]='json event')
declare -A seeds=([catalogue]=schemas/catalogue [codecs]='schemas/events/valid schemas/events/invalid'
  [decode]='schemas/events/valid schemas/events/invalid'
  [ingest]='schemas/events/valid schemas/events/invalid' [usage_event]='schemas/events/valid schemas/events/invalid')
targets=(catalogue codecs csv decimal decode handoff ingest request serve spool timestamp usage_event)

refuse() {
  echo "fuzz: $*" >&2
  exit 2
}

minutes=5
while (($#)); do
  case $1 in
    --minutes) minutes=${2:-}; shift ;;
    --target) targets=("${2:-}"); shift ;;
    *) refuse "there is no option '$1'; take --minutes N, --target NAME." ;;
  esac
  shift
done
[[ $minutes =~ ^[1-9][0-9]{0,4}$ ]] || refuse "--minutes takes a whole number from 1 on."
[[ -n ${targets[0]} && -n ${max_bytes[${targets[0]}]:-} ]] || refuse "there is no target '${targets[0]}'; take one of: ${!max_bytes[*]}."

jobs=$(nproc)
rounds=$(((${#targets[@]} + jobs - 1) / jobs))
seconds=$((minutes * 60 / rounds))

# fuzz_one TARGET: ends with libFuzzer's exit code in TARGET/result.
fuzz_one() {
  local target=$1 dir=$state/$1 name folders
  mkdir -p "$dir/corpus"
  for name in ${dictionaries[$target]}; do cat "$here/dictionaries/$name.dict"; done >"$dir/dictionary"
  read -ra folders <<<"${seeds[$target]:-}"
  "$bin/fuzz_$target" -max_total_time="$seconds" -max_len="${max_bytes[$target]}" -timeout=10 \
    -rss_limit_mb=2048 -print_final_stats=1 -dict="$dir/dictionary" -artifact_prefix="$dir/" \
    "$dir/corpus" "$here/corpus/$target" "${folders[@]}" >"$dir/log" 2>&1 &
  # shellcheck disable=SC2064  # this process, not a later one
  trap "kill $!" TERM
  wait $!
  echo $? >"$dir/result"
}

# closing TARGET NAME: a figure that libFuzzer prints at its end; 0 where it did not come so far.
closing() { sed -n "s/^stat::$2: *//p" "$state/$1/log" | tail -1 | grep . || echo 0; }
# running TARGET NAME: the last value of a figure that it prints as it runs.
running() { grep -ao "$2: [0-9]*" "$state/$1/log" | tail -1 | grep -o '[0-9]*$' || echo 0; }

# row TARGET: runs, runs a second, files in the corpus, new ones of this run, edges covered, finds.
row() {
  echo "$1 $(closing "$1" number_of_executed_units) $(closing "$1" average_exec_per_sec)" \
    "$(running "$1" corp) $(closing "$1" new_units_added) $(running "$1" cov)" \
    "$(($(<"$state/$1/result") != 0))"
}

echo "==> ${#targets[@]} targets for $seconds s each, $jobs side by side"
mkdir -p "$state"
trap 'kill $(jobs -p) 2>/dev/null; exit 130' INT TERM
for target in "${targets[@]}"; do
  while (($(jobs -rp | wc -l) >= jobs)); do wait -n; done
  rm -f "$state/$target/result"
  fuzz_one "$target" &
done
wait

format='%-12s %10s %8s %8s %6s %7s %6s\n'
# shellcheck disable=SC2059
printf "$format" target runs runs/s corpus new edges finds
failed=()
for target in "${targets[@]}"; do
  [[ -s $state/$target/result ]] || refuse "$target was interrupted; see $state/$target/log."
  read -ra figures <<<"$(row "$target")"
  # shellcheck disable=SC2059
  printf "$format" "${figures[@]}"
  ((figures[6] == 0)) || failed+=("$target")
done
for target in "${targets[@]}"; do row "$target"; done |
  jq -Rn --argjson seconds "$seconds" '{seconds_each: $seconds, targets: [inputs / " " |
    {target: .[0], runs: .[1] | tonumber, runs_per_second: .[2] | tonumber, corpus: .[3] | tonumber,
     new: .[4] | tonumber, edges: .[5] | tonumber, finds: .[6] | tonumber}]}' >"$state/figures.json"

for target in "${failed[@]}"; do
  found=$(sed -n 's/.*Test unit written to //p' "$state/$target/log" | tail -1)
  grep -aE 'CHECK failed|runtime error|ERROR: ' "$state/$target/log" | head -3
  echo "fuzz: $target found ${found:-what its log tells: $state/$target/log}"
  [[ -z $found ]] || echo "  replay it: $bin/fuzz_$target $found"
done
((${#failed[@]} == 0)) || exit 1
echo "fuzz: nothing found; figures in $state/figures.json, new inputs in $state/TARGET/corpus."
