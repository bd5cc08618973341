# shellcheck shell=bash
# The cloud of hack/quickstart --engine cluster-api: Cluster API in the demo's own cluster, whose machines kwok simulates.

cluster_api_pool() {
  kubectl -n cluster-api get cluster own >/dev/null 2>&1 || die "Cluster API could not be built; see above"
  demo_pool=$demo_state/pool.yaml
  cat >"$demo_pool" <<EOF
# Servers that Cluster API makes when no registered server has room: a MachineSet of one Machine each.
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
    clusterAPI:
      namespace: cluster-api
      clusterName: own
      infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: SimMachineTemplate, name: none}
      bootstrap: {dataSecretName: none}
EOF
}
