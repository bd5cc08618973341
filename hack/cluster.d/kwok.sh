# shellcheck shell=bash
# kwok: simulated nodes, and the life of the pods on them. A task's pod ends by itself after the
# duration in its annotation spillway.dev/run-for with the exit code in spillway.dev/exit-code.

kwok_config() {
  cat <<'EOF'
apiVersion: config.kwok.x-k8s.io/v1alpha1
kind: KwokConfiguration
options:
  podPlayStageParallelism: 16
  nodePlayStageParallelism: 16
  nodeLeaseParallelism: 16
EOF
  local stage
  for stage in "$kwok_bin"/stage/*.yaml "$here/cluster.d/kwok-task-complete.yaml"; do
    echo ---
    cat "$stage"
  done
}

kwok_start() {
  kwok_config >"$dir/kwok.yaml"
  daemon_start kwok "$kwok_bin/kwok" --kubeconfig="$dir/kwok.kubeconfig" --config="$dir/kwok.yaml" \
    --manage-all-nodes=false --manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake \
    --node-lease-duration-seconds=40 --cidr=10.0.0.1/24 --node-ip=10.0.0.1 \
    --server-address="127.0.0.1:$kwok_port"
}

# kwok_nodes COUNT: nodes kwok-0 … kwok-<COUNT-1>, 16 CPUs and 64 GiB each.
kwok_nodes() {
  local i count=$1
  ((count > 0)) || return 0
  for ((i = 0; i < count; i++)); do
    cat <<EOF
---
apiVersion: v1
kind: Node
metadata:
  name: kwok-$i
  annotations: {kwok.x-k8s.io/node: fake}
  labels:
    kubernetes.io/hostname: kwok-$i
    kubernetes.io/os: linux
    kubernetes.io/arch: amd64
    type: kwok
    spillway.dev/register: "true"
status:
  allocatable: {cpu: "16", memory: 64Gi, pods: "110"}
  capacity: {cpu: "16", memory: 64Gi, pods: "110"}
EOF
  done >"$dir/kwok-nodes.yaml"
  "${kubectl[@]}" apply --server-side --force-conflicts -f "$dir/kwok-nodes.yaml" >/dev/null
  wait_for $((60 + count / 5)) "$count kwok nodes" kwok_nodes_ready "$count"
}

kwok_nodes_ready() {
  local ready
  ready=$("${kubectl[@]}" get nodes -l type=kwok \
    -o jsonpath='{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}' |
    grep -c True)
  ((ready >= $1))
}
