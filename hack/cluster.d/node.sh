# shellcheck shell=bash
# Nodes that come and go, as a cloud's do: a kubelet and a containerd of their own each, in namespaces of their own (see machine).
# Their network is a link to this machine on which nothing but the API server answers.

readonly nodes_most=36
readonly node_namespaces=(--mount --propagation private --net --pid --uts --ipc --fork --kill-child)

# node_settings NAME: node_home, and once its number is known the rest.
node_settings() {
  local number block
  node_home=$dir/nodes/$1
  [[ -f $node_home/number ]] || return 0
  number=$(<"$node_home/number")
  node_link_name=spw${port_base}n$number
  node_address=${node_ip%.*}.$((number + 1))
  # A cluster has ten ports, and so the networks of the nine numbers after its first: four nodes share one.
  block=$((port_base + 1 + (number - 1) / 4))
  node_pods=10.$((64 + block / 256 % 64)).$((block % 256)).$(((number - 1) % 4 * 64))/26
}

# node_obstacle: why no node can be started here, if so.
node_obstacle() {
  local why
  why=$(kubelet_obstacle)
  if [[ -n $why ]]; then
    echo "$why"
  elif ! unshare "${node_namespaces[@]}" true 2>/dev/null; then
    echo "no namespaces can be made"
  fi
}

node_number_take() {
  local number
  for ((number = 1; number <= nodes_most; number++)); do
    grep -qsx "$number" "$dir"/nodes/*/number || break
  done
  ((number <= nodes_most)) || die "$nodes_most nodes run in $dir, which is the most; remove one first"
  mkdir -p "$node_home"/{node,var/lib,var/log,root}
  echo "$number" >"$node_home/number"
}

# In a subshell: nobody else may read the keys, and containerd must not inherit that mask.
node_identity() (
  local name=$1
  umask 077
  mkdir -p "$node_home/node/pki"
  cert "node.$name" "/O=system:nodes/CN=system:node:$name"
  cert "node.$name.server" "/CN=$name" "DNS:$name,IP:$node_address"
  kubeconfig "$node_home/node/kubeconfig" "node.$name" "https://$service_ip"
  mv "$pki/node.$name.server".{crt,key} "$node_home/node/pki"
  cp "$pki/ca.crt" "$node_home/node/pki"
  rm -f "$pki/node.$name".*
)

# node_labels_of cluster|node: those under kubernetes.io and k8s.io, which a kubelet may not give itself, or the others.
node_labels_of() {
  local label whose reserved='^([^/=]*\.)?(kubernetes|k8s)\.io/' list=()
  for label in ${node_labels//,/ }; do
    whose=node
    [[ ! $label =~ $reserved ]] || whose=cluster
    [[ $1 != "$whose" ]] || list+=("$label")
  done
  (IFS=, && echo "${list[*]}")
}

node_configure() {
  local name=$1 into=$node_home/node
  node_identity "$name"
  cni_config "$into/cni" /var/lib/cni/networks "$node_pods"
  containerd_config /var/lib/containerd /var/lib/containerd.state /run/containerd/containerd.sock /node/cni >"$into/containerd.toml"
  : >"$into/resolv.conf" # No name server could be reached.
  {
    kubelet_config "$node_address" /run/containerd/containerd.sock /node/pki "node.$name.server"
    printf '%s\n' "resolvConf: /node/resolv.conf" "maxPods: 60" "providerID: \"$node_provider_id\""
  } >"$into/kubelet.yaml"
  printf '%s\n' "--node-ip=$node_address" "--node-labels=$(node_labels_of node)" "--register-with-taints=$node_taints" \
    >"$into/kubelet.flags"
  images_make
  cp "$dir"/{busybox,pause}.tar "$into"
  ln -sfn /run "$node_home/var/run"
}

# node_connect NAME: the link between this machine and the new one, which knows the way to the API server only.
node_connect() {
  local pid _
  read -r pid _ <"$dir/run/node-$1.pid"
  wait_for 10 "node-$1" node_network_exists "$pid"
  ip link delete "$node_link_name" 2>/dev/null || true
  ip link add "$node_link_name" type veth peer name eth0 netns "$pid"
  ip link set "$node_link_name" up
  nsenter --target "$pid" --net sh -e <<EOF
ip link set lo up
ip link set eth0 up
ip route add $service_ip/32 dev eth0
ip address add $node_address/32 dev eth0
EOF
  # From the one address that the machine can answer to.
  ip route replace "$node_address/32" dev "$node_link_name" src "$service_ip"
  ip route replace "$node_pods" via "$node_address" dev "$node_link_name" onlink src "$service_ip"
}

node_network_exists() { [[ $(readlink "/proc/$1/ns/net") != "$(readlink /proc/self/ns/net)" ]]; }

node_boot() {
  local name=$1
  [[ ! -f $node_home/number ]] || node_forget "$name" # It has ended, or its boot was interrupted.
  ! "${kubectl[@]}" get "node/$name" >/dev/null 2>&1 || die "there is a node $name already, and it was not made by this"
  node_link_up
  api_service_start
  node_number_take
  node_settings "$name"
  node_configure "$name"
  daemon_start "node-$name" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    unshare "${node_namespaces[@]}" "$here/cluster.d/machine" "$node_home" "$name" "$kube_bin"
  node_connect "$name"
  touch "$node_home/connected"
}

# node_check: ends with exit status 3 if no node can be started here.
node_check() {
  local why
  # What is missing is installed where that is possible; if not, the obstacle names it.
  ((EUID != 0)) || (apt_ensure "${kubelet_packages[@]}") || true
  why=$(node_obstacle)
  [[ -z $why ]] || { echo "error: no node can be started here: $why" >&2 && exit 3; }
}

node_add() {
  local name=$1 begin=${EPOCHREALTIME/[^0-9]/} again='' node_home node_link_name='' node_address node_pods
  node_check
  cluster_lock
  node_settings "$name"
  if daemon_running "node-$name" && [[ -f $node_home/connected ]]; then again=yes; else node_boot "$name"; fi
  flock -u 9
  node_await "$name"
  [[ -n $again ]] || note "node $name is ready $(((${EPOCHREALTIME/[^0-9]/} - begin) / 1000)) ms after it was asked for"
}

# node_await NAME: until it is Ready; no longer than it runs.
node_await() {
  local deadline=$((SECONDS + 120)) labels
  labels=$(node_labels_of cluster)
  until [[ -z $labels ]] && node_ready "$1" >/dev/null 2>&1; do
    daemon_running "node-$1" || die "the node $1 has ended; see $dir/log/node-$1.log"
    ((SECONDS < deadline)) || die "the node $1 was not ready in time; see $dir/log/node-$1.log"
    # Before it is Ready, as a cloud's controller does.
    # shellcheck disable=SC2086
    [[ -z $labels ]] || ! "${kubectl[@]}" label --overwrite "node/$1" ${labels//,/ } >/dev/null 2>&1 || labels=''
    sleep 0.1
  done
}

# machine_stop NAME: as if its power were cut. Its first process is the only child of the one that we started, which ends when
# the kernel has ended everything in the machine.
machine_stop() {
  local pid _ deadline=$((SECONDS + 30))
  [[ -f $dir/run/node-$1.pid ]] || return 0
  read -r pid _ <"$dir/run/node-$1.pid"
  while daemon_running "node-$1"; do
    ((SECONDS < deadline)) || die "the node $1 does not end (process $pid)"
    pkill -KILL -P "$pid" || true
    sleep 0.05
  done
  rm -f "$dir/run/node-$1.pid"
}

# node_clear NAME: everything of it but its object. What the kernel does not take with the processes are the containers' cgroups.
node_clear() {
  local container
  machine_stop "$1"
  for container in "$node_home"/var/lib/containerd.state/io.containerd.runtime.v2.task/k8s.io/*; do
    [[ ! -d $container ]] ||
      find /sys/fs/cgroup -depth -type d -path "*/k8s.io/${container##*/}*" -exec rmdir {} + 2>/dev/null || true
  done
  [[ -z $node_link_name ]] || ip link delete "$node_link_name" 2>/dev/null || true
  rm -rf "$node_home"
}

# node_forget NAME: its object as well. Until that is gone the rest stays, so that a second attempt knows whose it is.
node_forget() {
  machine_stop "$1"
  "${kubectl[@]}" delete --ignore-not-found --wait=true --timeout=30s "node/$1" >/dev/null
  node_clear "$1"
}

node_remove() {
  local name=$1 node_home node_link_name='' node_address node_pods
  # Those of a cluster that is gone are as well.
  [[ ! -d $dir/run ]] || cluster_lock
  [[ -d $dir/nodes/$name ]] || { note "no node $name in $dir" && return 0; }
  node_settings "$name"
  node_forget "$name"
}

# node_status: 0 if it runs, Ready or not; 3, as of an init script, if not. Anything else: it could not be found out.
node_status() { daemon_running "node-$1" || exit 3; }

# nodes_stop: all of them, when the cluster goes.
nodes_stop() {
  local home node_home node_link_name='' node_address node_pods
  for home in "$dir"/nodes/*; do
    [[ -d $home ]] || continue
    node_settings "${home##*/}"
    node_clear "${home##*/}"
  done
}

# node_arguments_check ACTION NAME
node_arguments_check() {
  local name='[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?' domain='([a-z0-9.-]{1,253}/)?' each
  [[ $1 != check ]] || return 0
  [[ $1 =~ ^(add|remove|status)$ ]] || { usage >&2 && exit 2; }
  [[ $2 =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]] || node_refuse "a node's name is of small letters, digits and -, not '$2'"
  for each in ${node_labels//,/ }; do
    [[ $each =~ ^$domain$name=($name)?$ ]] || node_refuse "--labels wants key=value,…, not '$each'"
  done
  for each in ${node_taints//,/ }; do
    [[ $each =~ ^$domain$name(=($name)?)?:(NoSchedule|PreferNoSchedule|NoExecute)$ ]] ||
      node_refuse "--taints wants key=value:Effect,…, not '$each'"
  done
  [[ $node_provider_id =~ ^[A-Za-z0-9:/._-]{0,255}$ ]] || node_refuse "--provider-id wants letters, digits and :/._-, not '$node_provider_id'"
}

node_refuse() { echo "error: $1" >&2 && exit 2; }
