# shellcheck shell=bash
# What ./dev up runs beside Kafka and Postgres.

# address NAME TEXT: one line of the table.
address() { printf '  %-16s %s\n' "$1" "$2"; }

# port_for DIR NAME: the port of an earlier start, so that addresses stay; else a free one.
port_for() {
  local file=$1/$2.port
  if [[ ! -s $file ]] || (! is_running "$1" "$2" && (exec 3<>"/dev/tcp/127.0.0.1/$(<"$file")") 2>/dev/null); then
    free_port >"$file"
  fi
  cat "$file"
}

started_or_runs() {
  if is_running "$1" "$2"; then echo "  $2 already runs"; else echo "  starting $2"; fi
}

services_up() {
  local dir=$1 bin=$2
  mkdir -p "$dir" && chmod 0700 "$dir" || return 1
  say "starting the services in ${dir#"$TALLY_ROOT"/}"
  started_or_runs "$dir" postgres
  start_postgres "$dir" || return 1
  started_or_runs "$dir" kafka
  start_kafka "$dir" || return 1
  create_topic "$dir" | sed 's/^/  /'
  [[ ${PIPESTATUS[0]} == 0 ]] || return 1
  write_stack_env "$dir" "$bin"
  prepare_database "$dir" "$bin" && start_services "$dir" "$bin" || return 1
  print_addresses "$dir"
}

# prepare_database DIR BIN: migrations and the example catalogue; both may run again.
prepare_database() {
  local admin=$2/tally-admin conninfo
  conninfo=$(postgres_conninfo "$1")
  echo "  tally-admin migrate"
  "$admin" migrate --database "$conninfo" | sed 's/^/    /'
  [[ ${PIPESTATUS[0]} == 0 ]] || return 1
  echo "  tally-admin apply"
  "$admin" apply "$TALLY_ROOT/schemas/catalogue/example.json" --database "$conninfo" | sed 's/^/    /'
  [[ ${PIPESTATUS[0]} == 0 ]]
}

start_services() {
  local dir=$1 bin=$2 conninfo sandbox name
  conninfo=$(postgres_conninfo "$dir")
  sandbox=http://127.0.0.1:$(port_for "$dir" sandbox)
  started_or_runs "$dir" sandbox
  # Tenants come later, by hand: the local Stripe takes every customer here.
  start_service "$dir" sandbox "$(port_for "$dir" sandbox)" \
    "$bin/tally-stripe-sandbox" --listen "127.0.0.1:$(port_for "$dir" sandbox)" \
    --settings '{"unknown_customers": "accept"}' || return 1
  create_stripe_meters "$dir" "$sandbox" "$bin" || return 1
  started_or_runs "$dir" producer
  start_service "$dir" producer "$(port_for "$dir" producer)" \
    "$bin/tally-producer" serve --brokers "$(kafka_bootstrap "$dir")" \
    --listen "127.0.0.1:$(port_for "$dir" producer)" || return 1
  started_or_runs "$dir" aggregator
  start_service "$dir" aggregator "$(port_for "$dir" aggregator)" \
    "$bin/tally-aggregator" --brokers "$(kafka_bootstrap "$dir")" --database "$conninfo" \
    --instance up --listen "127.0.0.1:$(port_for "$dir" aggregator)" || return 1
  started_or_runs "$dir" exporter
  start_service "$dir" exporter "$(port_for "$dir" exporter)" \
    "$bin/tally-exporter" run --database "$conninfo" --stripe-url "$sandbox" \
    --listen "127.0.0.1:$(port_for "$dir" exporter)" || return 1
  for name in producer aggregator exporter; do
    echo "  waiting until $name makes progress"
    await 60 "$dir" "$name" curl --noproxy '*' -fsS -m 2 \
      "http://127.0.0.1:$(port_for "$dir" "$name")/readyz" || return 1
  done
}

print_addresses() {
  local dir=$1 name
  echo
  address Kafka "$(kafka_bootstrap "$dir")"
  address Postgres "$(postgres_conninfo "$dir")"
  for name in producer sandbox aggregator exporter; do
    if is_running "$dir" "$name"; then address "$name" "http://127.0.0.1:$(<"$dir/$name.port")"; fi
  done
  address logs "${dir#"$TALLY_ROOT"/}/log/"
  if is_running "$dir" producer; then
    printf '\n  An event, to try it (docs/producing.md has the rest):\n'
    printf "  curl -i http://127.0.0.1:%s/v1/events -H 'Content-Type: application/cloudevents+json' -d '%s'\n" \
      "$(<"$dir/producer.port")" \
      '{"specversion":"1.0","id":"try-1","source":"/me","type":"api.request","subject":"acme","data":{"requests":1}}'
  fi
  echo
}
