# shellcheck shell=bash
# What follows from the directory and the first port.

if [[ -z $port_base ]]; then
  port_base=16440
  [[ ! -f $dir/port-base ]] || port_base=$(<"$dir/port-base")
fi
readonly etcd_port=$port_base etcd_peer_port=$((port_base + 1)) apiserver_port=$((port_base + 2))
readonly kcm_port=$((port_base + 3)) scheduler_port=$((port_base + 4))
readonly kubelet_port=$((port_base + 5)) kubelet_health_port=$((port_base + 6))
readonly kwok_port=$((port_base + 7))
readonly karpenter_metrics_port=$((port_base + 8)) karpenter_health_port=$((port_base + 9))

readonly pki=$dir/pki node_name=local-1
# Sockets have short path limits, so they live under /run; networks are told apart by the port.
readonly run_dir=/run/spillway-$port_base
readonly pod_subnet=10.$((64 + port_base / 256 % 64)).$((port_base % 256)).0/24
readonly node_ip=10.$((128 + port_base / 256 % 64)).$((port_base % 256)).1
readonly node_link=spw$port_base
# The Services' network; its first address is that of kubernetes.default.
readonly service_network=10.$((192 + port_base / 256 % 64)).$((port_base % 256))
readonly service_ip=$service_network.1
readonly kubectl=("$kube_bin/kubectl" --kubeconfig "$dir/kubeconfig")
readonly ctr=(ctr --address "$run_dir/containerd.sock" --namespace k8s.io)
