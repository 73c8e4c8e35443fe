#!/usr/bin/env bash
# `./dev bench producer`: the producer's parts beside what they stand on, in one run. --part NAME: one of them (library,
# http, spool). The spool's is `./dev bench spool`, with a Kafka of its own.
set -uo pipefail
# shellcheck source=stand.sh
source "$(dirname "${BASH_SOURCE[0]}")/stand.sh"

part=all
seconds=20
records=3000000
rounds=5
of_spool=()
while (($#)); do
  case $1 in
    --quick) seconds=5 records=1000000 rounds=3 of_spool=(--quick) ;;
    --part) part=${2:-}; shift ;;
    --seconds) seconds=${2:-}; shift ;;
    --records) records=${2:-}; shift ;;
    --rounds) rounds=${2:-}; shift ;;
    --keep) keep=1 ;;
    *) refuse_options "--quick, --part NAME, --seconds N, --records N, --rounds N, --keep" ;;
  esac
  shift
done
require_numbers seconds records rounds
case $part in
  all | library | http | spool) ;;
  *) echo "bench producer: --part is library, http or spool." >&2; exit 2 ;;
esac
failed=0 spool_failed=0
if [[ $part == all || $part == spool ]]; then
  "$(dirname "${BASH_SOURCE[0]}")/spool.sh" "${of_spool[@]}" || failed=1 spool_failed=1
  [[ $part == spool ]] && exit "$failed"
fi
fresh_stack
run_bench --part "$part" --seconds "$seconds" --records "$records" --rounds "$rounds" || failed=1
((spool_failed)) && echo "bench producer: but the spool's bench, whose table stands first, did not hold."
exit "$failed"
