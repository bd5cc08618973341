# shellcheck shell=bash
# The steps of hack/quickstart. Uses $root, $existing, $image, $engine, $cluster_args.

readonly samples=$root/charts/spillway/samples
readonly demo_state=${XDG_STATE_HOME:-$HOME/.local/state}/spillway/quickstart

demo_pool=$samples/pool.yaml

# demo_env: kubectl and KUBECONFIG of the cluster.
demo_env() {
  if [[ -n $existing ]]; then
    [[ -n ${KUBECONFIG:-} ]] || die "--existing-cluster needs KUBECONFIG to name the cluster"
    command -v kubectl >/dev/null || die "--existing-cluster needs kubectl in PATH"
    command -v helm >/dev/null || PATH=$PATH:$("$root/hack/cluster" helm)
  else
    eval "$("$root/hack/cluster" env "${cluster_dir[@]}")"
  fi
  mkdir -p "$demo_state"
}

# demo_install: the chart; its pods run from the image where the cluster can have it.
demo_install() {
  local flags=(--wait --timeout 180s) engine_flags=() arch
  [[ $engine != rest ]] || engine_flags=(--set "rest.secretNames={cloud-service}")
  [[ $engine != cluster-api ]] || engine_flags=(--set clusterAPI.enabled=true)
  if [[ -n $image ]]; then
    flags+=(--set "image.repository=${image%:*}" --set "image.tag=${image##*:}")
  elif [[ -z $existing && -n $(kubectl get nodes -l spillway.dev/local=true -o name) ]]; then
    log "building the image and loading it: hack/image --load"
    "$root/hack/image" --binary "$root/build/spillway" --load "${cluster_dir[@]}" | sed 's/^/    /' >&2
    arch=$(dpkg --print-architecture)
    flags+=(--set "image.digest=$(<"$root/build/image/spillway-$arch.digest")")
  else
    flags=()
  fi
  if ((${#flags[@]} > 0)); then
    flags+=("${engine_flags[@]}")
    log "installing Spillway: helm install spillway charts/spillway -n spillway-system ${flags[*]}"
    operator_install "${flags[@]}"
    kubectl -n spillway-system get pods >&2
    operator_log="kubectl -n spillway-system logs deployment/spillway --all-pods=true -f"
  else
    log "installing Spillway by its chart; the operator itself runs beside the cluster, which has no image of it"
    operator_install --set replicaCount=0 "${engine_flags[@]}"
    operator_start
    operator_log="tail -f $demo_state/operator.log"
  fi
}

operator_start() {
  demo_daemon_stop operator
  operator_kubeconfig "$demo_state/operator.kubeconfig"
  demo_daemon_start operator "$root/build/spillway" --kubeconfig "$demo_state/operator.kubeconfig" --leader-elect \
    --metrics-bind-address 0 --health-probe-bind-address 0
  demo_daemon_await operator "every resource was listed"
  log "the operator runs (log: $demo_state/operator.log)"
}

# demo_daemon_start NAME COMMAND...
demo_daemon_start() {
  local name=$1
  shift
  setsid "$@" >"$demo_state/$name.log" 2>&1 </dev/null &
  echo "$! $(awk '{sub(/^.*\) /, ""); print $20}' "/proc/$!/stat")" >"$demo_state/$name.pid"
}

# demo_daemon_await NAME TEXT: until its log has the text.
demo_daemon_await() {
  local i
  for ((i = 0; i < 300; i++)); do
    ! grep -q "$2" "$demo_state/$1.log" || return 0
    demo_daemon_running "$1" || die "the $1 ended: $(tail -n 1 "$demo_state/$1.log")"
    sleep 0.2
  done
  die "the $1 is not ready; see $demo_state/$1.log"
}

demo_daemon_running() {
  local pid started
  [[ -f $demo_state/$1.pid ]] || return 1
  read -r pid started <"$demo_state/$1.pid"
  [[ $(awk '{sub(/^.*\) /, ""); print $20}' "/proc/$pid/stat" 2>/dev/null) == "$started" ]]
}

demo_daemon_stop() {
  local pid _ i
  demo_daemon_running "$1" || return 0
  read -r pid _ <"$demo_state/$1.pid"
  kill -TERM "$pid" 2>/dev/null || true
  for ((i = 0; i < 120; i++)); do
    demo_daemon_running "$1" || break
    sleep 0.1
  done
  rm -f "$demo_state/$1.pid"
}

# demo_delete: what an earlier run left.
demo_delete() {
  kubectl delete --ignore-not-found --wait=true --timeout=60s -f "$samples/" >/dev/null 2>&1 || true
  kubectl delete scalerequests -l spillway.dev/pool=overflow --ignore-not-found --timeout=120s >/dev/null 2>&1 || true
}

# demo_pool_of COMMENT: the demo's pool of another engine, with the members of spec.backend from stdin.
demo_pool_of() {
  demo_pool=$demo_state/pool.yaml
  local backend
  backend=$(cat)
  cat >"$demo_pool" <<EOF
# $1
apiVersion: spillway.dev/v1alpha1
kind: ServerPool
metadata:
  name: overflow
spec:
  template:
    resources: {cpu: "1", memory: 1Gi}
  maxServers: 3
  pricePerHour: "0.40"
  idleSecondsBeforeRelease: 5
  provisionTimeoutSeconds: 120
  backend:
$backend
EOF
}

# demo_register: one Node becomes the local server, limited so that the overflow is visible.
demo_register() {
  local node
  node=$(kubectl get nodes -l '!karpenter.sh/registered,!node-role.kubernetes.io/control-plane,!spillway.dev/register,!spillway.dev/pool' -o json |
    jq -r '[.items[] | select(any(.status.conditions[]?; .type == "Ready" and .status == "True"))] |
      sort_by(.metadata.annotations["kwok.x-k8s.io/node"] != null)[0].metadata.name // empty')
  [[ -n $node ]] || die "the cluster has no Ready node to register that is not registered by its label (spillway.dev/register)"
  log "registering node $node as the local server"
  sed "s/nodeName: local-1/nodeName: $node/" "$samples/registeredserver.yaml" | kubectl apply -f - >&2
  kubectl wait --for=condition=Ready --timeout=60s rsv/local >/dev/null || die "the server is not ready: $(kubectl get rsv)"
}

demo_local() {
  log "a task on the local server: kubectl apply -f charts/spillway/samples/hello.yaml"
  kubectl apply -f "$samples/hello.yaml" >&2
  kubectl wait --for=condition=Complete --timeout=120s tq/hello >/dev/null || die "the task has not ended: $(kubectl get tq)"
  kubectl get tq hello -o wide >&2
  note "its output, from its status: $(kubectl get tq hello -o jsonpath='{.status.result.output}')"
}

# demo_news: what has changed since it was called last.
demo_seen=''
demo_news() {
  local now
  now=$(kubectl get tq,scr -o json | jq -r '.items[] | select(.status.phase) |
    if .kind == "TaskRequest" then "\(.metadata.name)\t\(.status.phase)\t\(.status.assignment.server // "")"
    else "server of pool \(.spec.poolName)\t\(.status.phase)\t\(.metadata.name | .[-10:])" end' | sort)
  comm -13 <(echo "$demo_seen") <(echo "$now") | sed 's/^/    /' >&2
  demo_seen=$now
}

demo_overflow() {
  local deadline=$((SECONDS + 300))
  log "more tasks than the local server takes: kubectl apply -f pool.yaml -f overflow.yaml"
  note "the pool: $demo_pool"
  kubectl apply -f "$demo_pool" -f "$samples/overflow.yaml" >&2
  until kubectl wait --for=condition=Complete --timeout=1s -f "$samples/overflow.yaml" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || die "the tasks did not end in time: $(kubectl get tq)"
    [[ -z $(kubectl get -f "$samples/overflow.yaml" -o jsonpath='{.items[?(@.status.phase=="Failed")].metadata.name}') ]] ||
      die "a task failed: $(kubectl get tq)"
    demo_news
  done
  demo_news
  demo_ran
}

# demo_ran: where each task has run, and what came of it.
demo_ran() {
  kubectl get -f "$samples/overflow.yaml" -o json | jq -r '.items[] | .status as {$assignment, $result} |
    "    \(.metadata.name) ran on node \($assignment.nodeName) (\($assignment.origin)): exit code \($result.exitCode), output \($result.output)" |
    rtrimstr("\n")' >&2
}

demo_release() {
  local deadline=$((SECONDS + 180))
  log "all tasks have ended; the cloud servers are given back"
  until [[ -z $(kubectl get rsv -o jsonpath='{.items[?(@.spec.origin=="Cloud")].metadata.name}') &&
    -z $(kubectl get scr -o jsonpath='{.items[?(@.status.phase=="Ready")].metadata.name}') &&
    -z $(kubectl get scr -o jsonpath='{.items[?(@.status.phase=="Releasing")].metadata.name}') ]]; do
    ((SECONDS < deadline)) || die "the cloud servers were not released: $(kubectl get scr)"
    demo_news
    sleep 0.5
  done
  demo_news
}

demo_tables() {
  local kind
  for kind in tq rsv pool scr; do
    log "kubectl get $kind"
    kubectl get "$kind"
  done
}

operator_log=''
demo_next() {
  [[ -n $existing ]] || echo "  eval \"\$($root/hack/cluster env${cluster_dir:+ ${cluster_dir[*]}})\"   # kubectl and KUBECONFIG for your shell"
  cat <<EOF
  kubectl explain tq.spec.placement
  kubectl describe tq hello
  kubectl apply -f $samples/hello.yaml       # unchanged: a task never runs twice
  $operator_log
  $root/hack/quickstart ${existing:+--existing-cluster }--down${cluster_dir:+ ${cluster_dir[*]}}   # removes it again; what was built stays in build/ and ~/.cache/spillway
EOF
}
