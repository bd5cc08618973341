# shellcheck shell=bash
# Daemons of a cluster. Each is remembered by process id and start time, so that exactly what was
# started is ended, never a stranger that got the same id later.

start_time() { awk '{sub(/^.*\) /, ""); print $20}' "/proc/$1/stat" 2>/dev/null; }

# daemon_start NAME COMMAND...
daemon_start() {
  local name=$1 pid
  shift
  daemon_running "$name" && return 0
  setsid "$@" >>"$dir/log/$name.log" 2>&1 </dev/null 9>&- &
  pid=$!
  echo "$pid $(start_time "$pid")" >"$dir/run/$name.pid"
}

daemon_running() {
  local pid started
  [[ -f $dir/run/$1.pid ]] || return 1
  read -r pid started <"$dir/run/$1.pid"
  [[ -n $started && $(start_time "$pid") == "$started" ]] &&
    [[ $(awk '{sub(/^.*\) /, ""); print $1}' "/proc/$pid/stat") != Z ]]
}

daemon_stop() {
  local name=$1 pid _ i
  [[ -f $dir/run/$name.pid ]] || return 0
  read -r pid _ <"$dir/run/$name.pid"
  if daemon_running "$name"; then
    kill -TERM "$pid" 2>/dev/null || true
    for ((i = 0; i < 50; i++)); do
      daemon_running "$name" || break
      sleep 0.1
    done
    ! daemon_running "$name" || kill -KILL "$pid" 2>/dev/null || true
  fi
  rm -f "$dir/run/$name.pid"
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds. If WHAT is a daemon, not beyond its
# end.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || die "$what was not ready in time; see $dir/log"
    [[ ! -f $dir/run/$what.pid ]] || daemon_running "$what" ||
      die "$what has ended; see $dir/log/$what.log"
    sleep 0.2
  done
}
