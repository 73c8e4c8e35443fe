# shellcheck shell=bash
# A private Postgres cluster in DIR/postgres: loopback TCP on a free port (trust: it holds test data
# and nobody outside this machine reaches it) and a socket beside the data.

# postgres_bin: prints the directory of initdb and postgres.
postgres_bin() {
  local newest
  newest=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
  if [[ -x $newest/initdb ]]; then
    printf '%s' "$newest"
  else
    stack_fail "no Postgres server is installed: run ./dev deps"
  fi
}

# postgres_user: who runs the server. Postgres refuses root, so root lends it to `postgres`.
postgres_user() {
  if [[ $(id -u) != 0 ]]; then
    id -un
  elif id postgres >/dev/null 2>&1; then
    echo postgres
  else
    echo nobody
  fi
}

as_postgres() {
  local user group
  if [[ $(id -u) == 0 ]]; then
    user=$(postgres_user)
    group=$(id -gn "$user")
    (cd / && exec setpriv --reuid "$user" --regid "$group" --clear-groups "$@")
  else
    "$@"
  fi
}

# postgres_home DIR: prints where the cluster lies, making the place on first use. Root's clone may
# be in a 0700 home which `postgres` cannot enter: then it is under /var/tmp and DIR/postgres a link.
postgres_home() {
  local dir=$1 home
  if [[ -e $dir/postgres ]]; then
    readlink -f "$dir/postgres"
    return 0
  fi
  mkdir -p "$dir" || return 1
  rm -f "$dir/postgres"  # a link whose target is gone
  if [[ $(id -u) == 0 ]]; then
    home=$(mktemp -d /var/tmp/tally-postgres.XXXXXX) || return 1
    chown "$(postgres_user)" "$home" || return 1
    ln -s "$home" "$dir/postgres" || return 1
  else
    home=$dir/postgres
    mkdir -m 0700 "$home" || return 1
  fi
  readlink -f "$home"
}

make_cluster() {
  local bin=$1 home=$2
  [[ -s $home/data/PG_VERSION ]] && return 0
  rm -rf "$home/data"
  as_postgres "$bin/initdb" -D "$home/data" -U tally --auth=trust --encoding=UTF8 \
    --locale=C.UTF-8 --no-instructions >"$home.initdb.log" 2>&1 || {
    cat "$home.initdb.log" >&2
    rm -f "$home.initdb.log"
    stack_fail "initdb failed in $home"
    return 1
  }
  rm -f "$home.initdb.log"
}

postgres_conninfo() {
  printf 'host=127.0.0.1 port=%s dbname=tally user=tally' "$(cat "$1/postgres.port")"
}

# A Unix socket's path must fit 107 bytes; a deep clone goes without.
socket_directory() {
  if ((${#1} < 80)); then printf '%s' "$1"; fi
}

# start_postgres DIR: makes the cluster and the database `tally` when missing, starts the server and
# waits until it answers. DIR/postgres.port keeps the port.
start_postgres() {
  local dir=$1 bin home port attempt
  is_running "$dir" postgres && return 0
  bin=$(postgres_bin) && home=$(postgres_home "$dir") || return 1
  make_cluster "$bin" "$home" || return 1
  for attempt in 1 2 3; do
    port=$(cat "$dir/postgres.port" 2>/dev/null || free_port)
    echo "$port" >"$dir/postgres.port"
    start_postgres_once "$dir" "$bin" "$home" "$port" && break
    rm -f "$dir/postgres.port"
    ((attempt < 3)) || return 1
    echo "  trying Postgres on another port" >&2
  done
  if [[ $("$bin/psql" -XAtq "$(postgres_conninfo "$dir" | sed 's/dbname=tally/dbname=postgres/')" \
    -c "SELECT count(*) FROM pg_database WHERE datname = 'tally'") != 1 ]]; then
    "$bin/createdb" -h 127.0.0.1 -p "$port" -U tally tally || return 1
  fi
}

start_postgres_once() {
  local dir=$1 bin=$2 home=$3 port=$4
  local command=("$bin/postgres" -D "$home/data" -p "$port" -c listen_addresses=127.0.0.1
    -c "unix_socket_directories=$(socket_directory "$home")" -c max_connections=200
    -c shared_buffers=256MB -c max_wal_size=4GB -c log_line_prefix='%m [%p] ' -c timezone=UTC
    -c log_timezone=UTC)
  # SIGINT is Postgres' fast shutdown; SIGTERM would wait for every client to leave.
  if [[ $(id -u) == 0 ]]; then
    local user
    user=$(postgres_user)
    command=(env -C "$home" setpriv --reuid "$user" --regid "$(id -gn "$user")" --clear-groups "${command[@]}")
  fi
  start_process "$dir" postgres INT "${command[@]}" || return 1
  await 60 "$dir" postgres "$bin/pg_isready" -q -h 127.0.0.1 -p "$port" -U tally
}

# wipe_postgres DIR: removes the stopped cluster and its data.
wipe_postgres() {
  local home
  is_running "$1" postgres && { stack_fail "Postgres of $1 still runs: stop it first"; return 1; }
  home=$(readlink -f "$1/postgres" 2>/dev/null) || true
  if [[ -n $home && -d $home ]]; then rm -rf "$home"; fi
  rm -rf "$1/postgres" "$1/postgres.port"
}
