#!/usr/bin/env bash
# `./dev bench dedup`: the aggregator with 100,000,000 remembered identities beside one with none, in one run.
set -uo pipefail
# shellcheck source=stand.sh
source "$(dirname "${BASH_SOURCE[0]}")/stand.sh"

identities=100000000
records=6000000
rounds=2
budget_mb=
while (($#)); do
  case $1 in
    --quick) identities=2000000 records=300000 rounds=1 budget_mb=${budget_mb:-64} ;;
    --identities) identities=${2:-}; shift ;;
    --records) records=${2:-}; shift ;;
    --rounds) rounds=${2:-}; shift ;;
    --budget-mb) budget_mb=${2:-}; shift ;;
    --keep) keep=1 ;;
    *) refuse_options "--quick, --identities N, --records N, --rounds N, --budget-mb N, --keep" ;;
  esac
  shift
done
budget_mb=${budget_mb:-128}
require_numbers identities records rounds budget_mb
# As Kafka is shipped: both workers join before the first partition is loaded.
export TALLY_BROKER_JOIN_DELAY_MS=3000
fresh_stack
run_bench --identities "$identities" --records "$records" --rounds "$rounds" --budget-mb "$budget_mb"
