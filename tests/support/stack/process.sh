# shellcheck shell=bash
# Background processes of one stack directory. DIR/run/NAME.pid holds "pid start-time signal": the
# start time (field 22 of /proc/PID/stat) tells a process of ours from a stranger that was given the
# same number later. DIR/log/NAME.log holds what it printed.

# stack_fail SENTENCE: what went wrong and what to do, on stderr. Returns 1.
stack_fail() {
  printf 'error: %s\n' "$*" >&2
  return 1
}

# start_time_of PID: prints the kernel's start time of a live process, nothing for a dead one.
start_time_of() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  # The name (field 2) may hold spaces and brackets: count from the last bracket on.
  read -r -a stat <<<"${stat##*) }"
  [[ ${stat[0]} == Z ]] || printf '%s' "${stat[19]}"
}

# is_running DIR NAME: true while the recorded process lives.
is_running() {
  local pid started signal
  [[ -s $1/run/$2.pid ]] || return 1
  read -r pid started signal <"$1/run/$2.pid" || return 1
  [[ -n $started && $(start_time_of "$pid") == "$started" ]]
}

# pid_of DIR NAME: prints the pid of a running process.
pid_of() {
  is_running "$1" "$2" && cut -d' ' -f1 "$1/run/$2.pid"
}

# start_process DIR NAME SIGNAL COMMAND…: starts COMMAND detached from this terminal and from every
# open file of the caller (a lock or a pipe held by a server would never be released). SIGNAL is what
# stop_process sends first.
start_process() {
  local dir=$1 name=$2 signal=$3
  shift 3
  if is_running "$dir" "$name"; then return 0; fi
  mkdir -p "$dir/run" "$dir/log" || return 1
  rm -f "$dir/run/$name.pid"
  (
    for fd in /proc/"$BASHPID"/fd/*; do
      fd=${fd##*/}
      if ((fd > 2 && fd != 255)); then eval "exec $fd>&-"; fi
    done
    # shellcheck disable=SC2016  # the inner shell expands it
    exec setsid bash -c '
      read -r line <"/proc/$$/stat"; read -r -a stat <<<"${line##*) }"
      printf "%s %s %s\n" "$$" "${stat[19]}" "$2" >"$1.new" && mv "$1.new" "$1" || exit 1
      shift 2; exec "$@"' start "$dir/run/$name.pid" "$signal" "$@"
  ) </dev/null >>"$dir/log/$name.log" 2>&1 &
  disown
  local waited
  for ((waited = 0; waited < 100; waited++)); do
    if [[ -s $dir/run/$name.pid ]]; then return 0; fi
    sleep 0.05
  done
  stack_fail "$name did not start within 5 s; see $dir/log/$name.log"
}

# signal_process DIR NAME SIGNAL: sends SIGNAL to the recorded process, if it still is that one.
signal_process() {
  local pid
  pid=$(pid_of "$1" "$2") || return 0
  kill -s "$3" "$pid" 2>/dev/null || true
}

# await_exit DIR NAME SECONDS: true when the process is gone in time.
await_exit() {
  local tries
  for ((tries = 0; tries < $3 * 20; tries++)); do
    is_running "$1" "$2" || return 0
    sleep 0.05
  done
  ! is_running "$1" "$2"
}

# stop_process DIR NAME [SECONDS]: its own signal, then SIGKILL after the deadline (20 s).
stop_process() {
  local dir=$1 name=$2 deadline=${3:-20} signal=TERM
  if is_running "$dir" "$name"; then
    read -r _ _ signal <"$dir/run/$name.pid"
    signal_process "$dir" "$name" "${signal:-TERM}"
    if ! await_exit "$dir" "$name" "$deadline"; then
      echo "  $name did not stop within $deadline s: killing it" >&2
      signal_process "$dir" "$name" KILL
      await_exit "$dir" "$name" 10 || stack_fail "$name survives SIGKILL; see $dir/log/$name.log" || return 1
    fi
  fi
  rm -f "$dir/run/$name.pid"
}

# await SECONDS DIR NAME COMMAND…: until COMMAND succeeds; fails when the time is over or when the
# process NAME is gone, with the end of its log.
await() {
  local deadline=$1 dir=$2 name=$3 tries
  shift 3
  for ((tries = 0; tries < deadline * 10; tries++)); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    if ! is_running "$dir" "$name"; then
      tail -n 15 "$dir/log/$name.log" >&2 2>/dev/null
      stack_fail "$name ended while starting; its log is $dir/log/$name.log"
      return 1
    fi
    sleep 0.1
  done
  tail -n 15 "$dir/log/$name.log" >&2 2>/dev/null
  stack_fail "$name is not ready after $deadline s; its log is $dir/log/$name.log"
}

# free_port: prints a loopback port that nobody listens on, below the range that the kernel gives to
# outgoing connections. Another program may still take it first: starters try again.
free_port() {
  local port
  while :; do
    port=$((15000 + (RANDOM * 32768 + RANDOM) % 17000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      printf '%s' "$port"
      return 0
    fi
  done
}
