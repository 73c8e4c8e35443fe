#!/usr/bin/env bash
# The stack of the integration tests holds what they rely on: a database that stores, a broker that
# keeps the settings of schemas/topics, and log time that is the broker's.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/support/stack/process.sh
source "$here/process.sh"

[[ $(psql -XAtq "$TALLY_TEST_PG" -c 'SELECT 6 * 7') == 42 ]] || stack_fail "Postgres does not answer"
[[ $(psql -XAtq "$TALLY_TEST_PG" -c 'SHOW fsync') == on ]] || stack_fail "Postgres runs without fsync"
topics=$TALLY_TEST_ROOT/schemas/topics/usage.events.json
topic=stack_test
"$TALLY_TEST_PYTHON" "$here/create_topic.py" "$TALLY_TEST_BROKERS" "$topics" "$topic" --partitions 2
"$TALLY_TEST_PYTHON" "$here/create_topic.py" "$TALLY_TEST_BROKERS" "$topics" "$topic" --partitions 2
if "$TALLY_TEST_PYTHON" "$here/create_topic.py" "$TALLY_TEST_BROKERS" "$topics" "$topic" --partitions 3; then
  stack_fail "a topic with too few partitions was taken for a right one"
fi
before=$(date +%s%3N)
printf 'hello' | kcat -q -b "$TALLY_TEST_BROKERS" -t "$topic" -P
stamp=$(kcat -q -b "$TALLY_TEST_BROKERS" -t "$topic" -C -e -f '%T')
((stamp >= before - 1000)) || stack_fail "the log time $stamp lies before $before: not the broker's"
echo "Postgres, Kafka and the topic's settings hold"
