# shellcheck shell=bash
# Cluster API's core manager as a bare binary, its webhooks on, in the cluster that it manages itself; and a small infrastructure
# controller, whose machines are kwok's nodes. Clusters: `own`, as users have it, and `bare`, which has no Machine of a control plane,
# so that Cluster API leaves Nodes behind.

readonly cluster_api_namespace=cluster-api
readonly cluster_api_webhooks=$dir/cluster-api-webhooks

# cluster_api_ports: three that are free, below those that connections take for themselves; what was taken once stays.
cluster_api_ports() {
  [[ -f $dir/cluster-api-ports ]] || python3 - "$port_base" >"$dir/cluster-api-ports" <<'EOF'
import itertools, socket, sys
def is_free(port):
    with socket.socket() as each:
        try:
            each.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
first = 10000 + int(sys.argv[1]) % 1000 * 3
print(*itertools.islice(filter(is_free, range(first, 15000)), 3))
EOF
  cat "$dir/cluster-api-ports"
}

# cluster_api_hooks PORT: its webhook configurations, reached by address instead of by a Service.
cluster_api_hooks() {
  python3 - "$cluster_api_bin/webhooks.yaml" "$1" "$(base64 -w0 <"$pki/ca.crt")" <<'EOF'
import re, sys
path, port, ca = sys.argv[1:]
text = open(path).read()
text = re.sub(r"    service:\n      name: \S+\n      namespace: \S+\n      path: (\S+)\n",
              lambda at: f"    url: https://127.0.0.1:{port}{at[1]}\n    caBundle: {ca}\n", text)
print(text.replace("name: mutating-webhook-configuration", "name: cluster-api")
          .replace("name: validating-webhook-configuration", "name: cluster-api"))
EOF
}

cluster_api_kinds() {
  local kind plural
  for kind in SimCluster SimMachine SimMachineTemplate; do
    plural=${kind,,}s
    cat <<EOF
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: $plural.infrastructure.cluster.x-k8s.io
  labels: {cluster.x-k8s.io/v1beta2: v1}
spec:
  group: infrastructure.cluster.x-k8s.io
  scope: Namespaced
  names: {kind: $kind, listKind: ${kind}List, plural: $plural, singular: ${kind,,}}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
EOF
  done
}

# cluster_api_objects: templates by what becomes of their machines, and both Clusters.
cluster_api_objects() {
  local fault name
  echo "{apiVersion: v1, kind: Namespace, metadata: {name: $cluster_api_namespace}}"
  for fault in none capacity quota class credentials silence nodeless dies; do
    cat <<EOF
---
apiVersion: infrastructure.cluster.x-k8s.io/v1
kind: SimMachineTemplate
metadata: {name: $fault, namespace: $cluster_api_namespace}
spec: {template: {spec: {fault: $fault, resources: {cpu: "4", memory: 8Gi}}}}
EOF
  done
  for name in own bare; do
    cat <<EOF
---
apiVersion: v1
kind: Secret
metadata: {name: $name-kubeconfig, namespace: $cluster_api_namespace, labels: {cluster.x-k8s.io/cluster-name: $name}}
type: cluster.x-k8s.io/secret
data: {value: $(base64 -w0 <"$dir/cluster-api.kubeconfig")}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: $name, namespace: $cluster_api_namespace}
spec:
  controlPlaneEndpoint: {host: 127.0.0.1, port: $apiserver_port}
  infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: SimCluster, name: $name}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1
kind: SimCluster
metadata: {name: $name, namespace: $cluster_api_namespace}
spec: {}
EOF
  done
  # Ended tasks' pods are not waited for, which takes Cluster API twenty seconds.
  cat <<EOF
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDrainRule
metadata: {name: tasks, namespace: $cluster_api_namespace}
spec:
  drain: {behavior: Skip}
  pods: [{selector: {matchLabels: {spillway.dev/task: "true"}}}]
---
apiVersion: infrastructure.cluster.x-k8s.io/v1
kind: SimMachine
metadata: {name: control-plane, namespace: $cluster_api_namespace}
spec: {fault: none, role: control-plane, resources: {cpu: "1", memory: 1Gi}}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata:
  name: control-plane
  namespace: $cluster_api_namespace
  labels: {cluster.x-k8s.io/cluster-name: own, cluster.x-k8s.io/control-plane: ""}
spec:
  clusterName: own
  bootstrap: {dataSecretName: none}
  infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: SimMachine, name: control-plane}
EOF
}

# cluster_api_initialize: says that the control plane of `bare`, of which there is no Machine, is this API server.
cluster_api_initialize() {
  "${kubectl[@]}" -n "$cluster_api_namespace" patch cluster bare --subresource=status --type=merge -p '{"status":{
    "initialization":{"controlPlaneInitialized":true,"infrastructureProvisioned":true},
    "conditions":[{"type":"ControlPlaneInitialized","status":"True","reason":"Initialized","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}' >/dev/null
}

cluster_api_control_plane() {
  [[ $("${kubectl[@]}" -n "$cluster_api_namespace" get machine control-plane -o jsonpath='{.status.nodeRef.name}') ]]
}

cluster_api_start() {
  local webhook_port health_port diagnostics_port
  if [[ ! -x $cluster_api_bin/cluster-api ]]; then
    note "Cluster API could not be built, and is left out"
    return 0
  fi
  read -r webhook_port health_port diagnostics_port < <(cluster_api_ports)
  (
    umask 077
    cert cluster-api /O=system:masters/CN=cluster-api
    cert cluster-api-webhooks /CN=cluster-api-webhooks IP:127.0.0.1
    kubeconfig "$dir/cluster-api.kubeconfig" cluster-api
    mkdir -p "$cluster_api_webhooks"
    cp "$pki/cluster-api-webhooks.crt" "$cluster_api_webhooks/tls.crt"
    cp "$pki/cluster-api-webhooks.key" "$cluster_api_webhooks/tls.key"
  )
  "${kubectl[@]}" apply --server-side --force-conflicts -f "$cluster_api_bin/crds" >/dev/null
  cluster_api_kinds | "${kubectl[@]}" apply --server-side -f - >/dev/null
  "${kubectl[@]}" wait --for=condition=Established --timeout=60s crd/machinesets.cluster.x-k8s.io crd/machines.cluster.x-k8s.io \
    crd/clusters.cluster.x-k8s.io crd/simmachines.infrastructure.cluster.x-k8s.io >/dev/null
  daemon_start cluster-api "$cluster_api_bin/cluster-api" --kubeconfig "$dir/cluster-api.kubeconfig" \
    --webhook-port "$webhook_port" --webhook-cert-dir "$cluster_api_webhooks" --health-addr "127.0.0.1:$health_port" \
    --diagnostics-address "127.0.0.1:$diagnostics_port" --insecure-diagnostics
  wait_for 60 cluster-api bash -c "exec 3<>/dev/tcp/127.0.0.1/$webhook_port"
  cluster_api_hooks "$webhook_port" | "${kubectl[@]}" apply --server-side --force-conflicts -f - >/dev/null
  daemon_start machines python3 "$here/cluster.d/machines.py" "$dir/cluster-api.kubeconfig"
  cluster_api_objects >"$dir/cluster-api.yaml"
  # The webhooks may not be served yet.
  wait_for 60 cluster-api "${kubectl[@]}" apply --server-side --force-conflicts -f "$dir/cluster-api.yaml"
  wait_for 60 cluster-api cluster_api_initialize
  wait_for 90 cluster-api cluster_api_control_plane
}
