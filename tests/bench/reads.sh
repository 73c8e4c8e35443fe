#!/usr/bin/env bash
# `./dev bench reads`: what finance's questions take, with ten million rows of windows.
set -uo pipefail
# shellcheck source=stand.sh
source "$(dirname "${BASH_SOURCE[0]}")/stand.sh"

tenants=1000
while (($#)); do
  case $1 in
    --quick) tenants=100 ;;
    --tenants) tenants=${2:-}; shift ;;
    --keep) keep=1 ;;
    *) refuse_options "--quick, --tenants N, --keep" ;;
  esac
  shift
done
require_numbers tenants
fresh_stack
run_bench --tenants "$tenants"
