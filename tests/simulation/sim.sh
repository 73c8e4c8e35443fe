#!/usr/bin/env bash
# ./dev sim: seeded schedules of the real aggregator over simulated surroundings.
#   sim.sh BIN FIGURES [--seeds N] [--from S] | --seed S [--trace] | --mutants [NAME…]
# Without options: 20,000 schedules from seed 1, and figures into the file FIGURES.
set -uo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
program=$1/tally-simulation
figures=$2
shift 2

if [[ ${1:-} == --mutants ]]; then
  shift
  exec python3 "$root/tests/simulation/mutants.py" "$root" "$@"
fi
if (($#)); then exec "$program" "$@"; fi
mkdir -p "${figures%/*}"
exec "$program" --seeds 20000 --from 1 --repeated 20 --require-coverage --figures "$figures"
