# shellcheck shell=bash
# Messages of the scripts under hack/: progress goes to stderr, results to stdout.

log() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
note() { printf '    %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# with_progress LABEL COMMAND...: runs a long command, its output in a log file, and shows every
# ten seconds that it is alive. On failure the end of the log is shown.
with_progress() {
  local label=$1 out start pid last='' line status=0
  shift
  out=$(mktemp)
  start=$SECONDS
  "$@" >"$out" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 1
    if (((SECONDS - start) % 10 == 9)); then
      line=$(tail -n 1 "$out" | cut -c1-80)
      # A line that has not changed is not shown again.
      note "$label: $((SECONDS - start)) s … ${line#"$last"}"
      last=$line
    fi
  done
  wait "$pid" || status=$?
  if ((status != 0)); then
    tail -n 40 "$out" >&2
    rm -f "$out"
    die "$label failed with exit code $status"
  fi
  rm -f "$out"
  note "$label: done in $((SECONDS - start)) s"
}
