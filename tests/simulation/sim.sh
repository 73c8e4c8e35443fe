#!/usr/bin/env bash
# ./dev sim: seeded schedules of the real aggregator, and of the real exporter, over simulated surroundings.
#   sim.sh BIN FIGURES [--exporter] [--seeds N] [--from S] | [--exporter] --seed S [--trace] | --mutants [NAME…]
# Without options: 20,000 schedules of each from seed 1, and figures into the files FIGURES and, for the exporter,
# exporter.json beside it. With options: the aggregator's, or with --exporter first the exporter's.
set -uo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
program=$1/tally-simulation
figures=$2
shift 2

if [[ ${1:-} == --mutants ]]; then
  shift
  exec python3 "$root/tests/simulation/mutants.py" "$root" "$@"
fi
if [[ ${1:-} == --exporter ]]; then
  shift
  exec "${program%/*}/tally-exporter-simulation" "$@"
fi
if (($#)); then exec "$program" "$@"; fi
mkdir -p "${figures%/*}"
"$program" --seeds 20000 --from 1 --repeated 20 --require-coverage --figures "$figures" || exit 1
exec "${program%/*}/tally-exporter-simulation" --seeds 20000 --from 1 --repeated 20 --require-coverage \
  --figures "${figures%/*}/exporter.json"
