# shellcheck shell=bash
# Many seeds of the simulator at once. Needs log.sh.

# swarm_seeds SIMULATE FIRST STRIDE END DIR: one seed after the other until the second END.
swarm_seeds() {
  local simulate=$1 seed=$2 stride=$3 end=$4 dir=$5 left
  for ((; (left = end - SECONDS) > 0; seed += stride)); do
    "$simulate" --seed "$seed" --steps 1000000 --seconds "$left" --go-on >"$dir/$seed" 2>&1 ||
      touch "$dir/$seed.failed"
  done
}

# swarm SIMULATE [--minutes M] [--seed S] [--jobs J]: fails if anything was found.
swarm() {
  local simulate=$1 minutes=60 seed jobs dir
  seed=$(date -u +%Y%m%d)000
  jobs=$(nproc)
  shift
  while (($#)); do
    case $1 in
      --minutes) minutes=$2 ;;
      --seed) seed=$2 ;;
      --jobs) jobs=$2 ;;
      *) die "unknown flag $1 of --swarm; see hack/simulate --help" ;;
    esac
    shift 2
  done
  dir=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$dir'" EXIT
  local end=$((SECONDS + minutes * 60)) pids=() job
  for ((job = 0; job < jobs; ++job)); do
    swarm_seeds "$simulate" $((seed + job)) "$jobs" "$end" "$dir" &
    pids+=($!)
  done
  wait "${pids[@]}"
  swarm_summary "$dir"
}

# swarm_summary DIR: what each seed has found, and how many steps there were.
swarm_summary() {
  local dir=$1 failed=0 file
  for file in "$dir"/*.failed; do
    [[ -e $file ]] || continue
    failed=$((failed + 1))
    echo "seed $(basename "$file" .failed):"
    sed 's/^/  /' "${file%.failed}"
  done
  cat "$dir"/* | awk -v failed="$failed" '
    / steps \(.* turns of the core\) in / { steps += $1; seeds += 1 }
    END { printf "%d seeds, %d steps, %d seeds with something found\n", seeds, steps, failed }'
  ((failed == 0))
}
