#!/usr/bin/env bash
# `./dev bench freshness`: how long after it was published an event can be read in Postgres.
set -uo pipefail
# shellcheck source=stand.sh
source "$(dirname "${BASH_SOURCE[0]}")/stand.sh"

seconds=60
rate=100000
while (($#)); do
  case $1 in
    --quick) seconds=10 ;;
    --seconds) seconds=${2:-}; shift ;;
    --rate) rate=${2:-}; shift ;;
    --keep) keep=1 ;;
    *) refuse_options "--quick, --seconds N, --rate N, --keep" ;;
  esac
  shift
done
require_numbers seconds rate
fresh_stack
run_bench --seconds "$seconds" --rate "$rate"
