# shellcheck shell=bash
# kubernetes.default for pods: the first address of the Services' network is an address of the node, and
# what is sent to its port 443 is passed on to the API server, which stays on loopback. That is all of
# kube-proxy that a pod needs here, and two clusters on one machine do not share a table of rules.

api_service_start() {
  ip addr replace "$service_ip/32" dev "$node_link"
  daemon_start api-service socat "TCP-LISTEN:443,bind=$service_ip,fork,reuseaddr,backlog=128" \
    "TCP:127.0.0.1:$apiserver_port"
}

api_service_stop() {
  daemon_stop api-service
  ip link del "$node_link" 2>/dev/null || true
}
