# shellcheck shell=bash
# A real kubelet over a containerd of the cluster's own: own root, state, socket and CNI network.

readonly kubelet_packages=(containerd runc containernetworking-plugins iproute2 busybox-static socat)

# kubelet_possible: says in one line why not.
kubelet_possible() {
  local why
  why=$(kubelet_obstacle)
  [[ -z $why ]] || { note "$why: the cluster gets kwok nodes instead of a real kubelet" && return 1; }
}

kubelet_obstacle() {
  if ((EUID != 0)); then
    echo "no root"
  elif ! command -v containerd >/dev/null || ! command -v runc >/dev/null; then
    echo "no containerd or runc"
  elif ! cgroups_writable; then
    echo "no cgroups can be made"
  fi
}

cgroups_writable() {
  local probe=/sys/fs/cgroup
  [[ -f $probe/cgroup.controllers ]] || probe+=/memory
  probe+=/spillway-probe-$$
  mkdir "$probe" 2>/dev/null && rmdir "$probe"
}

# cni_config DIRECTORY STATE_DIRECTORY SUBNET: the pods' network.
cni_config() {
  mkdir -p "$1"
  cat >"$1/10-spillway.conflist" <<EOF
{"cniVersion": "0.4.0", "name": "spillway-$port_base", "plugins": [
  {"type": "ptp", "ipam": {"type": "host-local", "dataDir": "$2",
   "ranges": [[{"subnet": "$3"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
EOF
}

# containerd_config ROOT STATE SOCKET CNI_DIRECTORY
containerd_config() {
  # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc may not lower it and no sandbox starts.
  cat <<EOF
version = 2
root = "$1"
state = "$2"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "$3"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/local/pause:1"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$4"
EOF
}

containerd_start() {
  mkdir -p "$run_dir"
  cni_config "$dir/cni" "$dir/cni-state" "$pod_subnet"
  containerd_config "$dir/containerd" "$run_dir/containerd" "$run_dir/containerd.sock" "$dir/cni" >"$dir/containerd.toml"
  daemon_start containerd containerd --config "$dir/containerd.toml"
  wait_for 30 containerd "${ctr[@]}" version
  images_import
}

# The node's address is on a link of our own, so that no other network of the machine is used.
node_link_up() {
  ip link show "$node_link" >/dev/null 2>&1 || ip link add "$node_link" type veth peer name "$node_link"p
  ip addr replace "$node_ip/32" dev "$node_link"
  ip link set "$node_link" up
  ip link set "$node_link"p up
}

# kubelet_config ADDRESS SOCKET PKI_DIRECTORY CERTIFICATE: what every kubelet of ours has; the ports and directories of one
# that shares the machine with others are added to it.
kubelet_config() {
  cat <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $1
healthzBindAddress: 127.0.0.1
containerRuntimeEndpoint: unix://$2
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $3/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $3/$4.crt
tlsPrivateKeyFile: $3/$4.key
cgroupDriver: cgroupfs
failCgroupV1: false
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
makeIPTablesUtilChains: false
clusterDomain: cluster.local
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: "1%", imagefs.available: "1%"}
nodeStatusUpdateFrequency: 5s
EOF
}

kubelet_start() {
  node_link_up
  api_service_start
  cert kubelet-server "/CN=$node_name" "DNS:$node_name,IP:$node_ip"
  containerd_start
  {
    kubelet_config "$node_ip" "$run_dir/containerd.sock" "$pki" kubelet-server
    printf '%s\n' "port: $kubelet_port" "healthzPort: $kubelet_health_port" "podLogsDir: $dir/pod-logs"
  } >"$dir/kubelet.yaml"
  mkdir -p "$dir/pod-logs"
  daemon_start kubelet "$kube_bin/kubelet" --kubeconfig="$dir/kubelet.kubeconfig" \
    --config="$dir/kubelet.yaml" --root-dir="$dir/kubelet" --hostname-override="$node_name" \
    --node-ip="$node_ip" --node-labels=spillway.dev/local=true --v=1
  wait_for 90 "node $node_name" node_ready "$node_name"
}

node_ready() { "${kubectl[@]}" wait --for=condition=Ready --timeout=1s "node/$1"; }

# sandbox_namespaces: the network namespaces of this containerd's sandboxes.
sandbox_namespaces() {
  local id
  for id in $("${ctr[@]}" containers ls -q 2>/dev/null); do
    "${ctr[@]}" containers info "$id" 2>/dev/null |
      sed -n 's|.*"path": "\(/[a-z/]*netns/[^"]*\)".*|\1|p'
  done | sort -u
}

# containers_remove: ends the containers of this containerd and what they left in the machine.
containers_remove() {
  local task namespace spaces
  daemon_running containerd || return 0
  mapfile -t spaces < <(sandbox_namespaces)
  for task in $("${ctr[@]}" tasks ls -q 2>/dev/null); do
    "${ctr[@]}" tasks kill -s KILL "$task" >/dev/null 2>&1 || true
    "${ctr[@]}" tasks rm -f "$task" >/dev/null 2>&1 || true
  done
  for namespace in "${spaces[@]}"; do
    ip netns delete "$(basename "$namespace")" 2>/dev/null || true
  done
}

kubelet_stop() {
  [[ -f $dir/containerd.toml ]] || return 0
  daemon_stop kubelet
  containers_remove
  daemon_stop containerd
  # Shims outlive their containerd; each names our own socket.
  pkill -KILL -f "containerd-shim.*$run_dir/containerd.sock" 2>/dev/null || true
  local mount
  while read -r mount; do
    umount -l "$mount" 2>/dev/null || true
  done < <(awk -v a="$dir/" -v b="$run_dir/" \
    'index($2, a) == 1 || index($2, b) == 1 {print $2}' /proc/mounts | sort -r)
  rm -f "/var/lib/cni/results/spillway-$port_base"-*
  find /var/log/containers -lname "$dir/*" -delete 2>/dev/null || true
  rm -rf "$run_dir"
}
