# shellcheck shell=bash
# One stack: a private Kafka, a private Postgres and the services, all in one directory, so that
# `./dev up`, the demo, the benches and each test run have instances of their own.
#
#   source tests/support/stack/stack.sh
#   start_postgres DIR; start_kafka DIR; create_topic DIR
#   start_service DIR NAME HEALTH-PORT COMMAND…
#   stop_all DIR              # services first, then Kafka and Postgres; data stays
#   wipe DIR                  # stop_all, then the data goes too
#   write_stack_env DIR FILE  # what tests read: TALLY_TEST_PG, TALLY_TEST_BROKERS, …
TALLY_ROOT=${TALLY_ROOT:-$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../../..")}
# shellcheck source=tests/support/stack/process.sh
source "$TALLY_ROOT/tests/support/stack/process.sh"
# shellcheck source=tests/support/stack/postgres.sh
source "$TALLY_ROOT/tests/support/stack/postgres.sh"
# shellcheck source=tests/support/stack/kafka.sh
source "$TALLY_ROOT/tests/support/stack/kafka.sh"

# start_service DIR NAME HEALTH-PORT COMMAND…: starts a service and waits for its /healthz.
start_service() {
  local dir=$1 name=$2 port=$3
  shift 3
  is_running "$dir" "$name" && return 0
  start_process "$dir" "$name" TERM "$@" || return 1
  await 30 "$dir" "$name" curl --noproxy '*' -fsS -m 2 "http://127.0.0.1:$port/healthz"
}

# create_stripe_meters DIR SANDBOX BIN: the catalogue's meters in the local Stripe.
create_stripe_meters() {
  "$3/tally-admin" stripe apply --yes --stripe-url "$2" --database "$(postgres_conninfo "$1")" >"$1/log/stripe.log"
}

# create_stripe_customers DIR SANDBOX: every tenant's customer in the local Stripe, which bills no other.
create_stripe_customers() {
  local dir=$1 sandbox=$2 ids
  ids=$("$(postgres_bin)/psql" -XAtq "$(postgres_conninfo "$dir")" -c "SELECT json_build_object('ids',
    coalesce(json_agg(stripe_customer), '[]')) FROM tally.tenant WHERE stripe_customer IS NOT NULL") || return 1
  curl --noproxy '*' -fsS -m 30 -o /dev/null "$sandbox/sandbox/customers" -d "$ids"
}

# running_in DIR: prints the names of what runs, one a line.
running_in() {
  local file name
  for file in "$1"/run/*.pid; do
    name=${file##*/}
    name=${name%.pid}
    if is_running "$1" "$name"; then echo "$name"; fi
  done
}

# stop_all DIR: stops what this directory started and nothing else.
stop_all() {
  local dir=$1 name failed=0
  for name in $(running_in "$dir"); do
    case $name in kafka | postgres) continue ;; esac
    stop_process "$dir" "$name" || failed=1
  done
  stop_process "$dir" kafka || failed=1
  stop_process "$dir" postgres || failed=1
  rm -f "$dir"/run/*.pid
  return "$failed"
}

# wipe DIR: stops all and removes the data, the logs and the directory.
wipe() {
  [[ -d $1 ]] || return 0
  stop_all "$1" && wipe_kafka "$1" && wipe_postgres "$1" && rm -rf "$1"
}

# write_stack_env DIR BIN: DIR/env, sourced by with_stack.sh before each integration test.
write_stack_env() {
  {
    printf 'export TALLY_TEST_PG=%q\n' "$(postgres_conninfo "$1")"
    printf 'export TALLY_TEST_BROKERS=%q\n' "$(kafka_bootstrap "$1")"
    printf 'export TALLY_TEST_BIN=%q\n' "$2"
    printf 'export TALLY_TEST_ROOT=%q\n' "$TALLY_ROOT"
    printf 'export TALLY_TEST_PYTHON=%q\n' "$TALLY_ROOT/.tally/venv/bin/python"
  } >"$1/env.new" && mv "$1/env.new" "$1/env"
}
