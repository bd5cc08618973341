# shellcheck shell=bash
# The cloud of hack/quickstart --engine cluster-api: Cluster API in the demo's own cluster, whose machines kwok simulates.

cluster_api_pool() {
  kubectl -n cluster-api get cluster own >/dev/null 2>&1 || die "Cluster API could not be built; see above"
  demo_pool_of "Servers that Cluster API makes when no registered server has room: a MachineSet of one Machine each." <<EOF
    clusterAPI:
      namespace: cluster-api
      clusterName: own
      infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: SimMachineTemplate, name: none}
      bootstrap: {dataSecretName: none}
EOF
}
