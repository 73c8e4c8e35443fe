#!/usr/bin/env bash
# `./dev bench dedup`: the aggregator with 100,000,000 remembered identities beside one with none, in one run.
set -uo pipefail
TALLY_ROOT=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
export TALLY_ROOT
# shellcheck source=../support/stack/stack.sh
source "$TALLY_ROOT/tests/support/stack/stack.sh"

dir=$TALLY_ROOT/.tally/bench/dedup
bin=${TALLY_BENCH_BIN:-$TALLY_ROOT/build/release/bin}
identities=100000000
records=6000000
rounds=2
budget_mb=
keep=0
while (($#)); do
  case $1 in
    --quick) identities=2000000 records=300000 rounds=1 budget_mb=${budget_mb:-64} ;;
    --identities) identities=${2:-}; shift ;;
    --records) records=${2:-}; shift ;;
    --rounds) rounds=${2:-}; shift ;;
    --budget-mb) budget_mb=${2:-}; shift ;;
    --keep) keep=1 ;;
    *)
      echo "bench dedup: options are --quick, --identities N, --records N, --rounds N, --budget-mb N, --keep." >&2
      exit 2
      ;;
  esac
  shift
done
budget_mb=${budget_mb:-128}
[[ $identities$records$rounds$budget_mb =~ ^[0-9]+$ ]] ||
  { echo "bench dedup: --identities, --records, --rounds and --budget-mb take whole numbers." >&2; exit 2; }

clean_up() {
  stop_all "$dir" >/dev/null
  if ((keep)); then echo "bench dedup: everything is stopped; data and logs stay in $dir"; else wipe "$dir"; fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM
echo "==> a fresh Kafka and a fresh Postgres"
wipe "$dir" && mkdir -p "$dir" && chmod 0700 "$dir" || exit 1
# As Kafka is shipped: both workers join before the first partition is loaded.
start_postgres "$dir" && TALLY_KAFKA_JOIN_DELAY_MS=3000 start_kafka "$dir" || exit 1
"$TALLY_ROOT/.tally/venv/bin/python" -B "$TALLY_ROOT/tests/bench/dedup.py" --identities "$identities" \
  --records "$records" --rounds "$rounds" --budget-mb "$budget_mb" --bin "$bin" --dir "$dir" \
  --root "$TALLY_ROOT" --psql "$(postgres_bin)/psql" --conninfo "$(postgres_conninfo "$dir")" \
  --brokers "$(kafka_bootstrap "$dir")" --json "$TALLY_ROOT/.tally/bench/dedup.json"
