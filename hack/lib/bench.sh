# shellcheck shell=bash
# The parts of hack/bench. Each prints a line of JSON for each figure. Uses $root, $dir, $out, $scale,
# $port_base.

bench_operator=''

# bench_up ARGUMENT...: a cluster of its own, without the operator.
bench_up() {
  bench_down
  "$root/hack/cluster" up --dir "$dir/cluster" --port-base "$port_base" "$@" >/dev/null
  eval "$("$root/hack/cluster" env --dir "$dir/cluster")"
  operator_install >/dev/null 2>&1
  operator_kubeconfig "$dir/operator.kubeconfig"
}

bench_down() {
  bench_operator_stop
  [[ ! -d $dir/cluster ]] || "$root/hack/cluster" down --dir "$dir/cluster" >/dev/null 2>&1
  rm -rf "$dir/cluster"
}

bench_operator_start() {
  : >"$dir/operator.log" # before anybody looks for what the one before has said
  "$root/build/spillway" --kubeconfig "$dir/operator.kubeconfig" --metrics-bind-address 0 \
    --health-probe-bind-address 0 >/dev/null 2>"$dir/operator.log" &
  bench_operator=$!
}

bench_operator_stop() {
  [[ -n $bench_operator ]] || return 0
  kill "$bench_operator" 2>/dev/null || true
  wait "$bench_operator" 2>/dev/null || true
  bench_operator=''
}

# bench_until SECONDS COMMAND...: waits for it to succeed.
bench_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || die "not in time: $*"
    sleep 0.2
  done
}

listed() { grep -q "every resource was listed" "$dir/operator.log"; }
all_ready() { (($(kubectl get rsv --no-headers 2>/dev/null | grep -c " Ready ") >= $1)); }
# quiet: our kinds' statuses were not written for ten seconds.
statuses() { kubectl get --raw /metrics | awk '/^apiserver_request_total.*subresource="status"/ &&
  /group="spillway.dev"/ {sum += $2} END {print sum + 0}'; }
quiet() {
  local before
  before=$(statuses)
  sleep 10
  [[ $(statuses) == "$before" ]]
}
client() { "$root/build/tests/cluster_bench" "$dir/cluster/kubeconfig" "$@"; }

# figure WHAT NAME VALUE
figure() { jq -cn --arg what "$1" --arg name "$2" --argjson value "$3" '{what: $what, ($name): $value}'; }

# CPU seconds so far and resident MiB of a process.
cpu_of() { awk -v hz="$(getconf CLK_TCK)" '{sub(/^.*\) /, ""); print ($12 + $13) / hz}' "/proc/$1/stat"; }
rss_of() { awk '/VmRSS/ {printf "%.1f", $2 / 1024}' "/proc/$1/status"; }

# processes LABEL: what each process has used since the call before.
declare -A cpu_before=()
processes() {
  local name pid file now
  for file in "$dir"/cluster/run/*.pid operator; do
    if [[ $file == operator ]]; then name=spillway pid=$bench_operator; else
      name=$(basename "$file" .pid)
      read -r pid _ <"$file"
    fi
    [[ -n $pid && -d /proc/$pid ]] || continue
    now=$(cpu_of "$pid")
    [[ -z $1 ]] || jq -cn --arg what "$1: $name" --argjson before "${cpu_before[$name]:-0}" \
      --argjson now "$now" --argjson rss "$(rss_of "$pid")" \
      '{what: $what, cpu_seconds: (($now - $before) * 100 | round / 100), rss_mib: $rss}'
    cpu_before[$name]=$now
  done
}

# writes LABEL TASKS: API writes of our kinds since the call before, from the API server's metrics.
declare -A writes_before=()
writes() {
  local key count
  while read -r key count; do
    [[ -z $1 ]] || jq -cn --arg what "$1: $key" --argjson n "$((count - ${writes_before[$key]:-0}))" \
      --argjson tasks "$2" 'select($n > 0) | {what: $what, writes: $n, writes_per_task: ($n / $tasks)}'
    writes_before[$key]=$count
  done < <(kubectl get --raw /metrics | awk -F'[{}]' '/^apiserver_request_total/ {
      split($2, labels, ","); verb = resource = sub_ = code = ""
      for (i in labels) { split(labels[i], kv, "="); gsub(/"/, "", kv[2])
        if (kv[1] == "verb") verb = kv[2]; if (kv[1] == "resource") resource = kv[2]
        if (kv[1] == "subresource") sub_ = kv[2]; if (kv[1] == "code") code = kv[2] }
      if (code !~ /^2/) next
      key = resource (sub_ == "" ? "" : "/" sub_) ":" verb
      if (key == "pods:POST" || key ~ /^(taskrequests|registeredservers)\/status:/ || key == "events:POST")
        sum[key] += $3 } END { for (k in sum) print k, sum[k] }')
}

bench_core() {
  local filter='BM_'
  [[ $scale == 1 ]] || filter='BM_Decide/servers:[0-9]*/shapes:20/waiting:1000/|BM_PlaceAll/servers:1000/'
  local bench=$root/build/tests/core_bench name names round
  names=$("$bench" --benchmark_filter="$filter" --benchmark_list_tests)
  # Each in a process of its own: the heap that another one has left full of holes would be measured.
  # All of them three times by turns, since the machine's neighbours are felt for minutes.
  for round in 1 2 3; do
    log "bench: core, round $round of 3"
    while read -r name; do
      "$bench" --benchmark_filter="^$name\$" --benchmark_min_time=0.5 --benchmark_format=json \
        2>/dev/null | jq -c '.benchmarks[]'
    done <<<"$names"
  done | jq -cs 'group_by(.name)[] | sort_by(.items_per_second) | {what: .[1].name,
    per_second: .[1].items_per_second, slowest: .[0].items_per_second,
    fastest: .[2].items_per_second, bytes_per_server: .[1].bytes_per_server,
    bytes_per_task: .[1].bytes_per_task}'
}

bench_cluster() {
  local nodes=$((500 / scale)) few=$((3000 / scale)) many=$((10000 / scale)) raw=$((2000 / scale))
  bench_up --kwok-nodes "$nodes"
  bench_operator_start
  bench_until 300 all_ready "$nodes"
  processes '' && writes '' 1
  client raw raw-1 "$raw"
  client scheduler scheduler-1 "$few"
  kubectl delete namespace scheduler-1 raw-1 --wait=true >/dev/null
  processes '' && writes '' 1
  client tasks "tasks-$few" "$few" 0
  processes "$few tasks" && writes "$few tasks" "$few"
  client raw raw-2 "$raw"
  kubectl delete namespace "tasks-$few" raw-2 --wait=true >/dev/null
  client scheduler scheduler-2 "$few"
  kubectl delete namespace scheduler-2 --wait=true >/dev/null
  processes '' && writes '' 1
  client tasks "tasks-$many" "$many" 0
  processes "$many tasks" && writes "$many tasks" "$many"
  client raw raw-3 "$raw"
  kubectl delete namespace "tasks-$many" raw-3 --wait=true >/dev/null
  client tasks steady $((400 / scale)) 20 | jq -c '.what += " (20 tasks/s)"'
}

bench_scale() {
  local nodes=$((10000 / scale)) tasks=$((100000 / scale)) begin pid
  bench_up
  # Nodes without kubelets: their controller would take them for lost.
  read -r pid _ <"$dir/cluster/run/kube-controller-manager.pid"
  kill "$pid"
  client fill "$nodes" "$tasks"
  begin=$(date +%s%3N)
  bench_operator_start
  bench_until 600 listed
  figure "start: everything was listed" seconds "$(jq -n "($(date +%s%3N) - $begin) / 1000")"
  figure "start: memory" rss_mib "$(rss_of "$bench_operator")"
  # Every waiting task is told why it waits, every server's status is written.
  bench_until 1500 quiet
  figure "all was told" seconds "$(jq -n "($(date +%s%3N) - $begin) / 1000")"
  figure "all was told: memory" rss_mib "$(rss_of "$bench_operator")"
  processes ''
  sleep 30
  processes "30 idle seconds" | grep spillway
  client probe probe-1
  read -r pid _ <"$dir/cluster/run/kube-apiserver.pid"
  kill -KILL "$pid"
  sleep 2
  "$root/hack/cluster" up --dir "$dir/cluster" --port-base "$port_base" >/dev/null
  read -r pid _ <"$dir/cluster/run/kube-controller-manager.pid"
  kill "$pid" # which is back as well
  client probe probe-2 | jq -c '.what += ", after the API server was killed and is back"'
  figure "in the end: memory" rss_mib "$(rss_of "$bench_operator")"
}

bench_burst() {
  local engine
  for engine in "${engines[@]}"; do bench_burst_of "$engine"; done
}

bench_burst_of() {
  local engine=$1 i parts=(--karpenter) cloud=()
  [[ $engine != cluster-api ]] || parts=(--cluster-api)
  bench_up "${parts[@]}"
  if [[ $engine == rest ]]; then
    bench_cloud_start
    cloud=("$(bench_cloud_url)/v1/leases?clientRef=$(bench_client_ref)" "$dir/cloud")
  fi
  [[ $engine != pending-pod ]] || bench_node_pool | kubectl apply -f - >/dev/null
  bench_operator_start
  bench_until 60 listed
  bench_pool "$engine" | kubectl apply -f - >/dev/null
  for i in 1 2; do client burst "burst-$i" $((40 / scale)) "$engine" "${cloud[@]}"; done
  bench_down
  bench_cloud_stop
}

# bench_pool ENGINE: a server for each task, which asks for two cores.
bench_pool() {
  cat <<EOF
apiVersion: spillway.dev/v1alpha1
kind: ServerPool
metadata: {name: overflow}
spec:
  template: {resources: {cpu: "3", memory: 4Gi}}
  maxServers: 100
  pricePerHour: "0.40"
  idleSecondsBeforeRelease: 5
  provisionTimeoutSeconds: 300
  backend:
EOF
  case $1 in
    karpenter) cat <<EOF ;;
    karpenter:
      nodeClassRef: {group: karpenter.kwok.sh, kind: KWOKNodeClass, name: default}
      requirements:
      - {key: node.kubernetes.io/instance-type, operator: In, values: [c-4x-amd64-linux]}
      - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}
EOF
    cluster-api) cat <<EOF ;;
    clusterAPI:
      namespace: cluster-api
      clusterName: own
      infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: SimMachineTemplate, name: none}
      bootstrap: {dataSecretName: none}
EOF
    pending-pod) cat <<EOF ;;
    pendingPod:
      requirements:
      - {key: karpenter.sh/nodepool, operator: In, values: [overflow]}
EOF
    rest) cat <<EOF ;;
    rest:
      endpoint: $(bench_cloud_url)
      credentialsSecretRef: {name: cloud-service}
EOF
  esac
}

bench_node_pool() {
  cat <<'EOF'
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: overflow}
spec:
  disruption: {consolidationPolicy: WhenEmpty, consolidateAfter: 2s, budgets: [{nodes: "100%"}]}
  template:
    metadata: {labels: {spillway.dev/pool: overflow}}
    spec:
      nodeClassRef: {group: karpenter.kwok.sh, kind: KWOKNodeClass, name: default}
      expireAfter: Never
      taints: [{key: spillway.dev/pool, value: overflow, effect: NoSchedule}]
      requirements:
      - {key: node.kubernetes.io/instance-type, operator: In, values: [c-4x-amd64-linux]}
      - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}
EOF
}

bench_cloud=''
bench_cloud_url() { echo "https://127.0.0.1:$(<"$dir/cloud/port")"; }
bench_client_ref() { kubectl get namespace kube-system -o 'jsonpath={.metadata.uid}.spillway-system'; }

# The reference cloud service with machines of kwok, and the Secret by which it is reached.
bench_cloud_start() {
  local number
  mkdir -p "$dir/cloud"
  rm -f "$dir/cloud/port"
  (
    umask 077
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=cloud-service \
      -addext subjectAltName=IP:127.0.0.1 -keyout "$dir/cloud/tls.key" -out "$dir/cloud/tls.crt" 2>/dev/null
    openssl rand -hex 24 >"$dir/cloud/tokens"
  )
  {
    cat <<EOF
listen: 127.0.0.1:0
stateDir: $dir/cloud/state
tls: {certificate: $dir/cloud/tls.crt, key: $dir/cloud/tls.key}
auth: {tokenFile: $dir/cloud/tokens}
requestsPerSecond: 10000
driver: static
static:
  start: ["$root/hack/cloud-service/examples/kwok-node", start]
  status: ["$root/hack/cloud-service/examples/kwok-node", status]
  stop: ["$root/hack/cloud-service/examples/kwok-node", stop]
  machines:
EOF
    for ((number = 1; number <= 100; ++number)); do
      echo "  - {name: cloud-$number, offer: small, resources: {cpu: \"4\", memory: 8Gi}}"
    done
  } >"$dir/cloud/config.yaml"
  "$root/hack/cloud-service/serve" "$dir/cloud/config.yaml" --port-file "$dir/cloud/port" >"$dir/cloud/log" 2>&1 &
  bench_cloud=$!
  bench_until 30 test -s "$dir/cloud/port"
  kubectl -n spillway-system create secret generic cloud-service --from-literal=token="$(<"$dir/cloud/tokens")" \
    --from-file=ca.crt="$dir/cloud/tls.crt" >/dev/null
}

bench_cloud_stop() {
  [[ -n $bench_cloud ]] || return 0
  kill "$bench_cloud" 2>/dev/null || true
  wait "$bench_cloud" 2>/dev/null || true
  bench_cloud=''
}
