#!/usr/bin/env bash
# `./dev bench pipeline`: the aggregator beside a bare consumer of the same topic, alternating in one run.
set -uo pipefail
TALLY_ROOT=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
export TALLY_ROOT
# shellcheck source=../support/stack/stack.sh
source "$TALLY_ROOT/tests/support/stack/stack.sh"

dir=$TALLY_ROOT/.tally/bench/stack
bin=$TALLY_ROOT/build/release/bin
records=12000000
rounds=5
while (($#)); do
  case $1 in
    --quick) records=3000000 ;;
    --records) records=${2:-}; shift ;;
    --rounds) rounds=${2:-}; shift ;;
    *)
      echo "bench pipeline: options are --quick, --records N, --rounds N." >&2
      exit 2
      ;;
  esac
  shift
done
[[ $records =~ ^[0-9]+$ && $rounds =~ ^[0-9]+$ ]] ||
  { echo "bench pipeline: --records and --rounds take whole numbers." >&2; exit 2; }

trap 'stop_all "$dir" >/dev/null; wipe "$dir"' EXIT
echo "==> a fresh Kafka and a fresh Postgres"
wipe "$dir" && mkdir -p "$dir" && chmod 0700 "$dir" || exit 1
start_postgres "$dir" && start_kafka "$dir" && create_topic "$dir" bench.events || exit 1
echo "==> writing $records records"
"$bin/tally-generator" bench --records "$records" --brokers "$(kafka_bootstrap "$dir")" --topic bench.events \
  --tenants 1000 --out "$dir" || exit 1
"$TALLY_ROOT/.tally/venv/bin/python" "$TALLY_ROOT/tests/bench/pipeline.py" --records "$records" --rounds "$rounds" \
  --bin "$bin" --dir "$dir" --psql "$(postgres_bin)/psql" --conninfo "$(postgres_conninfo "$dir")" \
  --brokers "$(kafka_bootstrap "$dir")" --postgres-pid "$(pid_of "$dir" postgres)" \
  --kafka-pid "$(pid_of "$dir" kafka)" --json "$TALLY_ROOT/.tally/bench/pipeline.json"
