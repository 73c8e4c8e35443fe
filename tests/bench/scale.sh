#!/usr/bin/env bash
# `./dev bench scale`: what an event costs when many were seen before it, and when two instances share the work.
set -uo pipefail
# shellcheck source=stand.sh
source "$(dirname "${BASH_SOURCE[0]}")/stand.sh"

records=30000000
rounds=3
budget_mb=
while (($#)); do
  case $1 in
    --quick) records=6000000 rounds=1 ;;
    --records) records=${2:-}; shift ;;
    --rounds) rounds=${2:-}; shift ;;
    --budget-mb) budget_mb=${2:-}; shift ;;
    --keep) keep=1 ;;
    *) refuse_options "--quick, --records N, --rounds N, --budget-mb N, --keep" ;;
  esac
  shift
done
require_numbers records rounds
# An identity takes some 22 bytes of the hot table: about half of them fit. 64 is the least that the aggregator takes.
budget_mb=${budget_mb:-$((records * 11 / 1000000))}
require_numbers budget_mb
((budget_mb >= 64)) || budget_mb=64
# As Kafka is shipped: all members join before the first partition is loaded.
export TALLY_BROKER_JOIN_DELAY_MS=3000
fresh_stack
run_bench --records "$records" --rounds "$rounds" --budget-mb "$budget_mb"
