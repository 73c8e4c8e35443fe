#!/usr/bin/env bash
# `./dev bench exporter`: a month's first export of many customers into a sandbox that lets through what Stripe would.
set -uo pipefail
# shellcheck source=stand.sh
source "$(dirname "${BASH_SOURCE[0]}")/stand.sh"

tenants=10000
in_flight=128
while (($#)); do
  case $1 in
    --quick) tenants=1000 ;;
    --tenants) tenants=${2:-}; shift ;;
    --in-flight) in_flight=${2:-}; shift ;;
    --keep) keep=1 ;;
    *) refuse_options "--quick, --tenants N, --in-flight N, --keep" ;;
  esac
  shift
done
require_numbers tenants in_flight
fresh_stack
run_bench --tenants "$tenants" --in-flight "$in_flight"
