# shellcheck shell=bash
# What the starters of the benches share: a stack of their own in .tally/bench/NAME, gone at the end, and
# what NAME.py is told of it. TALLY_BENCH_BIN names another folder of programs than the release build's.
TALLY_ROOT=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
export TALLY_ROOT
# shellcheck source=../support/stack/stack.sh
source "$TALLY_ROOT/tests/support/stack/stack.sh"

bench=$(basename "$0" .sh)
dir=$TALLY_ROOT/.tally/bench/$bench
bin=${TALLY_BENCH_BIN:-$TALLY_ROOT/build/release/bin}
keep=0  # 1: data and logs stay

refuse_options() {
  echo "bench $bench: options are $1." >&2
  exit 2
}

# require_numbers VARIABLE…
require_numbers() {
  local name
  for name in "$@"; do
    [[ ${!name} =~ ^[0-9]+$ ]] || { echo "bench $bench: --${name//_/-} takes a whole number." >&2; exit 2; }
  done
}

clean_up() {
  stop_all "$dir" >/dev/null
  if ((keep)); then echo "bench $bench: everything is stopped; data and logs stay in $dir"; else wipe "$dir"; fi
}

fresh_stack() {
  trap clean_up EXIT
  trap 'exit 130' INT TERM
  echo "==> a fresh Kafka and a fresh Postgres"
  wipe "$dir" && mkdir -p "$dir" && chmod 0700 "$dir" || exit 1
  start_postgres "$dir" && start_kafka "$dir" || exit 1
}

# run_bench ARGUMENTS…: its exit code is the bench's.
run_bench() {
  "$TALLY_ROOT/.tally/venv/bin/python" -B "$TALLY_ROOT/tests/bench/$bench.py" --bin "$bin" --dir "$dir" \
    --root "$TALLY_ROOT" --psql "$(postgres_bin)/psql" --conninfo "$(postgres_conninfo "$dir")" \
    --brokers "$(kafka_bootstrap "$dir")" --postgres-pid "$(pid_of "$dir" postgres)" \
    --kafka-pid "$(pid_of "$dir" kafka)" --json "$TALLY_ROOT/.tally/bench/$bench.json" "$@"
}
