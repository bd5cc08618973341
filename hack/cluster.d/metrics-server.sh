# shellcheck shell=bash
# metrics-server as a bare binary on the node's link, behind the API server's aggregation layer.

readonly metrics_server_port=4443

metrics_server_register() {
  "${kubectl[@]}" apply --server-side -f - >/dev/null <<EOF
apiVersion: v1
kind: Service
metadata: {name: metrics-server, namespace: kube-system}
spec: {ports: [{name: https, port: 443, targetPort: $metrics_server_port}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: metrics-server
  namespace: kube-system
  labels: {kubernetes.io/service-name: metrics-server}
addressType: IPv4
ports: [{name: https, port: $metrics_server_port}]
endpoints: [{addresses: ["$node_ip"], conditions: {ready: true}}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  service: {name: metrics-server, namespace: kube-system}
  caBundle: $(base64 -w0 <"$pki/ca.crt")
EOF
}

metrics_server_start() {
  daemon_start metrics-server "$metrics_server_bin/metrics-server" \
    --kubeconfig="$dir/metrics-server.kubeconfig" \
    --authentication-kubeconfig="$dir/metrics-server.kubeconfig" \
    --authorization-kubeconfig="$dir/metrics-server.kubeconfig" \
    --bind-address="$node_ip" --secure-port="$metrics_server_port" \
    --tls-cert-file="$pki/metrics-server-serving.crt" \
    --tls-private-key-file="$pki/metrics-server-serving.key" \
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-use-node-status-port \
    --kubelet-preferred-address-types=InternalIP --kubelet-request-timeout=5s --metric-resolution=10s
  metrics_server_register
  wait_for 90 metrics-server "${kubectl[@]}" get --raw "/apis/metrics.k8s.io/v1beta1/nodes/$node_name"
}
