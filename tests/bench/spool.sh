#!/usr/bin/env bash
# `./dev bench spool`: the producer's disk spool, and its replay beside a bare librdkafka producer, against a Kafka of
# the bench's own.
set -uo pipefail
# shellcheck source=stand.sh
source "$(dirname "${BASH_SOURCE[0]}")/stand.sh"

options=(--records 2000000 --rounds 5)
while (($#)); do
  case $1 in
    --quick) options=(--records 500000 --rounds 3) ;;
    *) refuse_options "--quick" ;;
  esac
  shift
done

trap clean_up EXIT
trap 'exit 130' INT TERM
echo "==> a fresh Kafka"
wipe "$dir" && mkdir -p "$dir/spool" && chmod 0700 "$dir" || exit 1
start_kafka "$dir" || exit 1
echo "==> measuring (about two minutes; --quick is shorter)"
"$bin/spool_bench" "${options[@]}" --dir "$dir/spool" --brokers "$(kafka_bootstrap "$dir")" \
  --json "$TALLY_ROOT/.tally/bench/spool.json"
