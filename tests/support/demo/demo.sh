#!/usr/bin/env bash
# The main job, whole: real clients publish, the aggregator and the broker are killed on the way, the exporter
# sends, and every total is compared at every station. Called by `./dev demo`; see README.md beside this file.
set -uo pipefail
TALLY_ROOT=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../../..")
export TALLY_ROOT
# shellcheck source=../stack/stack.sh
source "$TALLY_ROOT/tests/support/stack/stack.sh"

bin=$TALLY_ROOT/build/release/bin
python=$TALLY_ROOT/.tally/venv/bin/python
dir=${TALLY_DEMO_DIR:-$TALLY_ROOT/.tally/demo}
events=300000
keep=0
seed=1

usage() {
  cat <<'END'
./dev demo [--events N] [--seed N] [--keep]
  --events N   unique events to generate (default 300000, 1000 to 5000000)
  --seed N     another stream of the same shape (default 1)
  --keep       leave everything running afterwards; `./dev demo` starts afresh the next time
END
}

while (($#)); do
  case $1 in
    --events) events=${2:-}; shift ;;
    --seed) seed=${2:-}; shift ;;
    --keep) keep=1 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; echo "demo: there is no option '$1'." >&2; exit 2 ;;
  esac
  shift
done
if [[ ! $events =~ ^[0-9]+$ ]] || ((events < 1000 || events > 5000000)); then
  echo "demo: --events is '$events': it takes 1000 to 5000000." >&2
  exit 2
fi
if [[ ! $seed =~ ^[0-9]+$ ]]; then
  echo "demo: --seed is '$seed': it takes a whole number." >&2
  exit 2
fi

started=$SECONDS
say() { printf '==> [%3ds] %s\n' $((SECONDS - started)) "$*"; }
note() { printf '    %s\n' "$*"; }

# in_background LOG COMMAND…: COMMAND, or a function, in a process group of its own that cleanup ends; `$!` is its
# pid. It holds nothing of this terminal: whoever waits for the end of the demo's output gets it.
in_background() {
  local log=$1
  shift
  set -m
  "$@" </dev/null >"$log" 2>&1 &
  set +m
}

end_background() {
  local group
  for group in $(jobs -p -r); do kill -KILL -- "-$group" 2>/dev/null; done
  wait 2>/dev/null
}

cleanup() {
  local code=$?
  trap '' INT TERM HUP
  end_background
  if ((keep)) && [[ -d $dir ]]; then
    note "kept: Postgres \"$(postgres_conninfo "$dir")\", Kafka $(kafka_bootstrap "$dir"), logs in $dir/log"
    note "the next ./dev demo stops it and starts afresh"
  else
    stop_all "$dir" >/dev/null || true
  fi
  exit "$code"
}

fail() {
  printf 'demo: %s\n' "$*" >&2
  exit 1
}

sql() { "$(postgres_bin)/psql" -XAtq -v ON_ERROR_STOP=1 "$(postgres_conninfo "$dir")" -c "$1"; }
http() { curl --noproxy '*' -fsS -m 10 "$@"; }

# The two ends of the log, from the broker and from Postgres.
log_end() {
  local partition total=0 offset
  for partition in 0 1 2 3; do
    offset=$(kcat -q -Q -b "$brokers" -t "usage.events:$partition:-1" 2>/dev/null | sed -n 's/.*offset //p')
    [[ $offset =~ ^[0-9]+$ ]] || return 1
    total=$((total + offset))
  done
  echo "$total"
}
consumed() { sql 'SELECT coalesce(sum(next_offset), 0) FROM tally.partition_state'; }

start_aggregator() {
  rm -f "$dir/aggregator.port"
  start_process "$dir" aggregator TERM "$bin/tally-aggregator" --brokers "$brokers" \
    --database "$(postgres_conninfo "$dir")" --instance demo --commit-interval-ms 200 \
    --listen 127.0.0.1:0 --port-file "$dir/aggregator.port" || return 1
  await 10 "$dir" aggregator test -s "$dir/aggregator.port"
}

# Shows how far the aggregator is, once a second, until it has consumed $1 records. Fails after $2 seconds
# without any progress.
follow() {
  local target=$1 patience=$2 seen=-1 now still=0
  while :; do
    now=$(consumed) || return 1
    ((now >= target)) && break
    if ((now == seen)); then still=$((still + 1)); else still=0; fi
    ((still > patience * 4)) && return 1
    seen=$now
    if [[ -t 1 ]]; then printf '\r    counted up to offset %d of %d ' "$now" "$target"; fi
    sleep 0.25
  done
  if [[ -t 1 ]]; then printf '\r\e[K'; fi
}

start_everything() {
  say "a fresh Kafka and a fresh Postgres"
  wipe "$dir" || return 1
  mkdir -p "$dir/data" && chmod 0700 "$dir"
  start_postgres "$dir" || return 1
  start_kafka "$dir" || return 1
  brokers=$(kafka_bootstrap "$dir")
  create_topic "$dir" | sed 's/^/    /'
  [[ ${PIPESTATUS[0]} == 0 ]]
}

prepare() {
  say "generating $events unique events of 1000 tenants over 24 hours, seed $seed"
  local start
  start=$(date -u -d '26 hours ago' +%Y-%m-%dT%H:00:00Z)
  "$bin/tally-generator" demo --events "$events" --seed "$seed" --start "$start" --tenants 1000 \
    --catalogue "$TALLY_ROOT/schemas/catalogue/example.json" --out "$dir/data" | sed 's/^/    /'
  [[ ${PIPESTATUS[0]} == 0 ]] || return 1
  say "tables, catalogue, and a local Stripe with its meters"
  export TALLY_DATABASE
  TALLY_DATABASE=$(postgres_conninfo "$dir")
  "$bin/tally-admin" migrate >"$dir/log/migrate.log" 2>&1 || { cat "$dir/log/migrate.log" >&2; return 1; }
  "$bin/tally-admin" apply "$dir/data/catalogue.json" >"$dir/log/apply.log" 2>&1 ||
    { tail "$dir/log/apply.log" >&2; return 1; }
  tail -n 1 "$dir/log/apply.log" | sed 's/^/    /'
  start_process "$dir" sandbox TERM "$bin/tally-stripe-sandbox" --listen 127.0.0.1:0 \
    --port-file "$dir/sandbox.port" || return 1
  await 10 "$dir" sandbox test -s "$dir/sandbox.port" || return 1
  sandbox=http://127.0.0.1:$(cat "$dir/sandbox.port")
  create_stripe_meters "$dir" "$sandbox" "$bin" || return 1
  create_stripe_customers "$dir" "$sandbox"
}

start_http() {
  rm -f "$dir/http.port"
  start_process "$dir" http TERM "$bin/tally-producer" serve --brokers "$brokers" --listen 127.0.0.1:0 \
    --port-file "$dir/http.port" || return 1
  await 10 "$dir" http test -s "$dir/http.port"
}

# in_two_halves FILE: its lines, the second half of them once the broker is away; only the first where the demo is
# gone before.
in_two_halves() {
  local half
  half=$(($(wc -l <"$1") / 2))
  head -n "$half" "$1"
  until [[ -e $dir/outage ]]; do
    kill -0 $$ 2>/dev/null || return 1
    sleep 0.1
  done
  tail -n "+$((half + 1))" "$1"
}

# Batches of 500 lines. A request that gets no 2xx is sent again as it is: what was counted of it is a duplicate.
post_batches() {
  split -l 500 --filter="curl --noproxy '*' -fsS -m 60 --retry 60 --retry-delay 1 --retry-all-errors \
    -H 'Content-Type: application/x-ndjson' --data-binary @- -o /dev/null http://127.0.0.1:$1/v1/events"
}

publish_http() { in_two_halves "$dir/data/http.ndjson" | post_batches "$1"; }
publish_library() { in_two_halves "$dir/data/library.tsv" | "$bin/tally-demo-service" "$brokers" "$dir/spool"; }
publish_python() {
  "$python" "$TALLY_ROOT/producer/examples/python/publish.py" "$brokers" usage.events <"$dir/data/python.ndjson"
}

publish_all() {
  say "publishing: a quarter each with tally-producer, over HTTP (curl) and through the library (spool on)"
  note "an eighth each with kcat and with Python (confluent-kafka, CloudEvents SDK)"
  rm -f "$dir/outage"
  start_http || return 1
  in_background "$dir/log/curl.log" publish_http "$(cat "$dir/http.port")"
  local curl=$!
  in_background "$dir/log/service.log" publish_library
  local service=$!
  in_background "$dir/log/producer.log" "$bin/tally-producer" publish "$dir/data/tally.ndjson" --brokers "$brokers"
  local producer=$!
  in_background "$dir/log/kcat.log" kcat -P -b "$brokers" -t usage.events -K '\t' -l \
    -X partitioner=murmur2_random -X enable.idempotence=true -X compression.codec=lz4 -X linger.ms=20 \
    -H content-type=application/cloudevents+json "$dir/data/kcat.tsv"
  local kcat=$!
  in_background "$dir/log/python.log" publish_python
  local python_pid=$!
  kill_midway || return 1
  # kcat alone gives up as soon as no broker answers.
  wait "$kcat" || { tail "$dir/log/kcat.log" >&2; echo "kcat failed" >&2; return 1; }
  restart_broker "$service" || return 1
  wait "$producer" || { tail "$dir/log/producer.log" >&2; echo "tally-producer failed" >&2; return 1; }
  wait "$python_pid" || { tail "$dir/log/python.log" >&2; echo "the Python client failed" >&2; return 1; }
  wait "$curl" || { tail "$dir/log/curl.log" >&2; echo "posting over HTTP failed" >&2; return 1; }
  wait "$service" || { tail "$dir/log/service.log" >&2; echo "the service's library failed" >&2; return 1; }
  note "library: $(tail -n 1 "$dir/log/service.log")"
  stop_process "$dir" http
}

# SIGKILL while records are being counted, and a restart: the totals must not show it.
kill_midway() {
  local planned
  planned=$("$python" -c 'import json,sys; print(json.load(open(sys.argv[1]))["records"])' "$dir/data/expected.json")
  follow $((planned / 3)) 60 || { echo "nothing is counted; see $dir/log/aggregator.log" >&2; return 1; }
  say "SIGKILL to the aggregator in mid-stream, then a restart"
  signal_process "$dir" aggregator KILL
  await_exit "$dir" aggregator 10
  start_aggregator
}

# SIGKILL to the only broker. It comes back once the service has spooled what the library gave it meanwhile.
restart_broker() {
  say "SIGKILL to the broker; the second half of HTTP's and of the library's events is sent while it is away"
  signal_process "$dir" kafka KILL
  await_exit "$dir" kafka 10 || return 1
  touch "$dir/outage"
  # The service ends by itself where its spool takes nothing for a minute.
  until grep -q '^recorded all' "$dir/log/service.log" || ! kill -0 "$1" 2>/dev/null; do sleep 0.1; done
  grep '^recorded all' "$dir/log/service.log" | sed 's/^/    library: /'
  [[ ${PIPESTATUS[0]} == 0 ]] || { tail "$dir/log/service.log" >&2; echo "the library did not spool all" >&2; return 1; }
  start_kafka "$dir" || return 1
  note "the broker is back"
}

finish() {
  local target
  target=$(log_end) || { echo "the broker does not tell the log's end" >&2; return 1; }
  say "counting the rest: $target records in the log"
  follow "$target" 60 || {
    http "http://127.0.0.1:$(cat "$dir/aggregator.port")/readyz" >&2 || true
    echo "the aggregator stopped at $(consumed) of $target; see $dir/log/aggregator.log" >&2
    return 1
  }
  say "one export to the local Stripe"
  "$bin/tally-exporter" run --once --stripe-url "$sandbox" >"$dir/log/exporter.log" 2>&1 ||
    { tail -n 20 "$dir/log/exporter.log" >&2; return 1; }
  # Stripe counts what it took a while later; nothing waits longer than this.
  http -o /dev/null "$sandbox/sandbox/clock" -d '{"advance_seconds": 60}'
  http "$sandbox/sandbox/oracle/totals" >"$dir/data/stripe.json"
}

trap cleanup EXIT
PATH=$(postgres_bin):$PATH
brokers='' sandbox=''
start_everything || fail "Kafka and Postgres did not start; what failed stands above."
prepare || fail "the preparation failed; its words stand above."
start_aggregator || fail "the aggregator did not start; see $dir/log/aggregator.log."
publish_all || fail "not everything was published; what failed stands above."
finish || fail "not everything was counted and exported; what failed stands above."
if [[ -n ${TALLY_DEMO_BEFORE_COMPARE:-} ]]; then
  # A test alters a total here, to show that the comparison sees it.
  bash -c "$TALLY_DEMO_BEFORE_COMPARE" || fail "TALLY_DEMO_BEFORE_COMPARE failed."
fi
say "comparing generator, Postgres and Stripe"
"$python" "$TALLY_ROOT/tests/support/demo/compare.py" "$(postgres_bin)/psql" "$(postgres_conninfo "$dir")" \
  "$dir/data/expected.json" "$dir/data/stripe.json" || fail "the stations differ; the lines are named above."
"$bin/tally-admin" verify >"$dir/log/verify.log" 2>&1 || { cat "$dir/log/verify.log" >&2; fail "the ledger does not balance."; }
echo "demo: every line is equal at every station, and the ledger balances ($((SECONDS - started)) s)."
