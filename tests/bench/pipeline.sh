#!/usr/bin/env bash
# `./dev bench pipeline`: the aggregator beside a bare consumer of the same topic, alternating in one run.
set -uo pipefail
# shellcheck source=stand.sh
source "$(dirname "${BASH_SOURCE[0]}")/stand.sh"

records=12000000
rounds=5
shape=plain
while (($#)); do
  case $1 in
    --quick) records=3000000 ;;
    --records) records=${2:-}; shift ;;
    --rounds) rounds=${2:-}; shift ;;
    --wide) shape=wide ;;
    *) refuse_options "--quick, --records N, --rounds N, --wide" ;;
  esac
  shift
done
require_numbers records rounds
fresh_stack
run_bench --records "$records" --rounds "$rounds" --shape "$shape"
