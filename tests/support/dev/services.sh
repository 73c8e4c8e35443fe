# shellcheck shell=bash
# What ./dev up runs beside Kafka and Postgres. Programs that are not built are left out and named.

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
  print_addresses "$dir" "$bin"
}
