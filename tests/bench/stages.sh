#!/usr/bin/env bash
# `./dev bench stages`: each stage of the aggregator by itself, in one process, with the commits against a real
# Postgres.
set -uo pipefail
TALLY_ROOT=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
export TALLY_ROOT
# shellcheck source=../support/stack/stack.sh
source "$TALLY_ROOT/tests/support/stack/stack.sh"

dir=$TALLY_ROOT/.tally/bench/stages
bin=${TALLY_BENCH_BIN:-$TALLY_ROOT/build/release/bin}
options=()
while (($#)); do
  case $1 in
    --quick) options+=(--repetitions 3 --time-ms 50 --cold-entries 5000000) ;;
    --filter)
      options+=(--filter "${2:?"bench stages: --filter needs a regular expression, for example decode"}")
      shift
      ;;
    *)
      echo "bench stages: options are --quick, --filter REGEX." >&2
      exit 2
      ;;
  esac
  shift
done

trap 'stop_all "$dir" >/dev/null; wipe "$dir"' EXIT
trap 'exit 130' INT TERM
echo "==> a fresh Postgres"
wipe "$dir" && mkdir -p "$dir" && chmod 0700 "$dir" || exit 1
start_postgres "$dir" || exit 1
echo "==> measuring (some minutes; --quick is shorter)"
TALLY_TEST_PG=$(postgres_conninfo "$dir") "$bin/stages" "${options[@]}" --dir "$dir/runs" \
  --json "$TALLY_ROOT/.tally/bench/stages.json"
