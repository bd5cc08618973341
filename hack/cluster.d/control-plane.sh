# shellcheck shell=bash
# etcd, kube-apiserver, kube-controller-manager and kube-scheduler, all on loopback.

etcd_start() {
  # No fsync: a cluster for tests may lose its data with the machine, and is faster for it.
  daemon_start etcd "$kube_bin/etcd" --name=spillway --data-dir="$dir/etcd" --unsafe-no-fsync \
    --listen-client-urls="http://127.0.0.1:$etcd_port" \
    --advertise-client-urls="http://127.0.0.1:$etcd_port" \
    --listen-peer-urls="http://127.0.0.1:$etcd_peer_port" \
    --initial-advertise-peer-urls="http://127.0.0.1:$etcd_peer_port" \
    --initial-cluster="spillway=http://127.0.0.1:$etcd_peer_port" --log-level=warn
}

audit_policy() {
  # Metadata of every write: the tests count the operator's writes from it.
  cat >"$dir/audit-policy.yaml" <<'EOF'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
  users: ["system:serviceaccount:spillway-system:spillway"]
- level: None
EOF
}

apiserver_start() {
  local audit_mode=batch record=()
  [[ -z $recorded ]] || audit_mode=blocking record=(--storage-media-type=application/json --delete-collection-workers=8)
  audit_policy
  daemon_start kube-apiserver "$kube_bin/kube-apiserver" \
    --etcd-servers="http://127.0.0.1:$etcd_port" --bind-address=127.0.0.1 \
    --secure-port="$apiserver_port" --advertise-address=127.0.0.1 --endpoint-reconciler-type=none \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --client-ca-file="$pki/ca.crt" --authorization-mode=Node,RBAC \
    --enable-admission-plugins=NodeRestriction --anonymous-auth=false \
    --service-account-issuer=https://kubernetes.default.svc \
    --service-account-key-file="$pki/sa.key" --service-account-signing-key-file="$pki/sa.key" \
    --service-cluster-ip-range="$service_network.0/24" --allow-privileged=true --profiling=false \
    --kubelet-certificate-authority="$pki/ca.crt" \
    --kubelet-client-certificate="$pki/apiserver-kubelet.crt" \
    --kubelet-client-key="$pki/apiserver-kubelet.key" \
    --kubelet-preferred-address-types=InternalIP --cert-dir="$dir/apiserver" \
    --audit-policy-file="$dir/audit-policy.yaml" --audit-log-path="$dir/log/audit.log" \
    --audit-log-mode="$audit_mode" "${record[@]}" --enable-aggregator-routing=true \
    --proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key" \
    --requestheader-client-ca-file="$pki/ca.crt" --requestheader-allowed-names=front-proxy \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra-
  # One that comes back reads all that there is: 110,000 objects take longer than a minute.
  wait_for 300 kube-apiserver "${kubectl[@]}" get --raw /readyz
}

controllers_start() {
  daemon_start kube-controller-manager "$kube_bin/kube-controller-manager" \
    --kubeconfig="$dir/controller-manager.kubeconfig" --bind-address=127.0.0.1 \
    --secure-port="$kcm_port" --leader-elect=false --use-service-account-credentials=true \
    --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
    --kube-api-qps=200 --kube-api-burst=400 --concurrent-gc-syncs=20 --cert-dir="$dir/kcm"
  daemon_start kube-scheduler "$kube_bin/kube-scheduler" \
    --kubeconfig="$dir/scheduler.kubeconfig" --bind-address=127.0.0.1 \
    --secure-port="$scheduler_port" --leader-elect=false --kube-api-qps=200 --kube-api-burst=400 \
    --cert-dir="$dir/scheduler"
  wait_for 60 "the default service account" "${kubectl[@]}" -n default get serviceaccount default
}
