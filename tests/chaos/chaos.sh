#!/usr/bin/env bash
# chaos.sh DIR BIN FIGURES OPTIONS…: runs chaos.py and stops whatever it leaves in DIR, however it ended.
set -uo pipefail
TALLY_ROOT=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
export TALLY_ROOT
# shellcheck source=tests/support/stack/stack.sh
source "$TALLY_ROOT/tests/support/stack/stack.sh"
dir=$(readlink -m "${1:?the directory of the drill}")
bin=${2:?the directory of the programs}
figures=$(readlink -m "${3:?the file of the figures}")
shift 3

drill=''
# shellcheck disable=SC2317  # the trap calls it
cleanup() {
  if [[ -n $drill ]] && kill -0 "$drill" 2>/dev/null; then
    kill -TERM "$drill" 2>/dev/null
    wait "$drill"
  fi
  [[ -d $dir ]] || return
  local name
  for name in $(running_in "$dir"); do
    case $name in kafka | postgres) continue ;; esac
    signal_process "$dir" "$name" KILL  # a stopped one would keep us waiting
  done
  stop_all "$dir" >/dev/null
}
trap cleanup EXIT
trap 'exit 143' TERM INT HUP

ulimit -c unlimited 2>/dev/null || true
"$TALLY_ROOT/.tally/venv/bin/python" -B "$TALLY_ROOT/tests/chaos/chaos.py" --dir "$dir" --bin "$bin" \
  --figures "$figures" "$@" &
drill=$!
wait "$drill"
code=$?
drill=''
exit "$code"
