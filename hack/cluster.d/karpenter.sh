# shellcheck shell=bash
# Karpenter with its kwok provider, as a bare binary: it makes the Nodes, kwok makes them Ready.

karpenter_start() {
  "${kubectl[@]}" apply --server-side --force-conflicts -f "$karpenter_bin/crds" >/dev/null
  "${kubectl[@]}" wait --for=condition=Established --timeout=60s \
    crd/nodeclaims.karpenter.sh crd/nodepools.karpenter.sh \
    crd/kwoknodeclasses.karpenter.kwok.sh >/dev/null
  "${kubectl[@]}" apply --server-side -f - >/dev/null <<'EOF'
apiVersion: karpenter.kwok.sh/v1alpha1
kind: KWOKNodeClass
metadata: {name: default}
EOF
  daemon_start karpenter env KUBECONFIG="$dir/karpenter.kubeconfig" DISABLE_LEADER_ELECTION=true \
    METRICS_PORT="$karpenter_metrics_port" HEALTH_PROBE_PORT="$karpenter_health_port" \
    KARPENTER_SERVICE=karpenter CLUSTER_NAME=spillway SYSTEM_NAMESPACE=kube-system \
    "$karpenter_bin/karpenter"
  wait_for 60 karpenter bash -c "exec 3<>/dev/tcp/127.0.0.1/$karpenter_health_port"
}
