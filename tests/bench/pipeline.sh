#!/usr/bin/env bash
# `./dev bench pipeline`: the aggregator beside a bare consumer of the same topic, alternating in one run. --profile: one
# run of the aggregator under perf instead, drawn as flames.
set -uo pipefail
# shellcheck source=stand.sh
source "$(dirname "${BASH_SOURCE[0]}")/stand.sh"

records=12000000
rounds=5
shape=plain
what=rounds
while (($#)); do
  case $1 in
    --quick) records=3000000 ;;
    --records) records=${2:-}; shift ;;
    --rounds) rounds=${2:-}; shift ;;
    --wide) shape=wide ;;
    --profile) what=profile ;;
    *) refuse_options "--quick, --records N, --rounds N, --wide, --profile" ;;
  esac
  shift
done
require_numbers records rounds
if [[ $what == profile ]] && ! perf stat -e cpu-clock true 2>/dev/null; then
  echo "bench pipeline: --profile needs perf, and leave to use it: install linux-perf; kernel.perf_event_paranoid is" \
    "$(cat /proc/sys/kernel/perf_event_paranoid), 2 lets you see your own processes." >&2
  exit 2
fi
fresh_stack
run_bench --records "$records" --rounds "$rounds" --shape "$shape" --what "$what"
