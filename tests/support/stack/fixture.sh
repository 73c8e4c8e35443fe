#!/usr/bin/env bash
# The ctest fixture `stack`: fixture.sh start DIR BIN makes a fresh Kafka and Postgres for one run of
# the integration tests; fixture.sh stop DIR ends them and removes their data.
set -euo pipefail
# shellcheck source=tests/support/stack/stack.sh
source "$(dirname "$(readlink -f "$0")")/stack.sh"

verb=${1:?start or stop}
dir=${2:?the directory of the stack}
case $verb in
  start)
    wipe "$dir"  # an earlier run may have been cut off
    mkdir -p "$dir"
    start_kafka "$dir" &
    kafka=$!
    start_postgres "$dir"
    wait "$kafka"
    create_topic "$dir"
    write_stack_env "$dir" "${3:?the directory of the programs}"
    echo "Kafka on $(kafka_bootstrap "$dir"), Postgres: $(postgres_conninfo "$dir")"
    ;;
  stop)
    wipe "$dir"
    echo "stopped and removed $dir"
    ;;
  *)
    stack_fail "fixture.sh knows start and stop, not '$verb'"
    ;;
esac
