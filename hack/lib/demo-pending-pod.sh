# shellcheck shell=bash
# The cloud of hack/quickstart --engine pending-pod: Karpenter's NodePool, which answers pending pods, in the demo's own cluster.
# Its nodes carry the label and the taint of the pool by themselves, so that the operator need not patch them.

pending_pod_pool() {
  kubectl apply -f - >&2 <<'EOF'
apiVersion: karpenter.sh/v1
kind: NodePool
metadata:
  name: overflow
spec:
  disruption:
    consolidationPolicy: WhenEmpty
    consolidateAfter: 2s
    budgets: [{nodes: "100%"}]
  template:
    metadata:
      labels: {spillway.dev/pool: overflow}
    spec:
      nodeClassRef: {group: karpenter.kwok.sh, kind: KWOKNodeClass, name: default}
      expireAfter: Never
      taints: [{key: spillway.dev/pool, value: overflow, effect: NoSchedule}]
      requirements:
      - {key: node.kubernetes.io/instance-type, operator: In, values: [c-2x-amd64-linux]}
      - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}
EOF
  kubectl wait --for=condition=Ready --timeout=60s nodepool/overflow >/dev/null || die "Karpenter's NodePool is not ready"
  demo_pool_of "Servers that an autoscaler brings for a pending pod when no registered server has room; here Karpenter, by its NodePool." <<EOF
    pendingPod:
      requirements:
      - {key: karpenter.sh/nodepool, operator: In, values: [overflow]}
EOF
}
