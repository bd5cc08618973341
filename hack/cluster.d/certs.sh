# shellcheck shell=bash
# A certificate authority of the cluster's own and the identities signed by it.

cert_ca() {
  [[ -f $pki/ca.crt ]] && return 0
  openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -subj "/CN=spillway-test-ca" -keyout "$pki/ca.key" -out "$pki/ca.crt" 2>/dev/null
}

# cert NAME SUBJECT [SAN]: a client certificate, or a server certificate where SAN is given.
cert() {
  local name=$1 subject=$2 san=${3:-} usage=clientAuth
  [[ -f $pki/$name.crt ]] && return 0
  [[ -n $san ]] && usage=serverAuth,clientAuth
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$subject" \
    -keyout "$pki/$name.key" -out "$pki/$name.csr" 2>/dev/null
  openssl x509 -req -in "$pki/$name.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" \
    -set_serial "0x$(openssl rand -hex 16)" -days 3650 -out "$pki/$name.crt" \
    -extfile <(echo "extendedKeyUsage=$usage" && { [[ -z $san ]] || echo "subjectAltName=$san"; }) \
    2>/dev/null
}

# kubeconfig FILE NAME [SERVER]: for the identity NAME, everything embedded.
kubeconfig() {
  cat >"$1" <<EOF
apiVersion: v1
kind: Config
clusters:
- name: spillway
  cluster:
    server: ${3:-https://127.0.0.1:$apiserver_port}
    certificate-authority-data: $(base64 -w0 <"$pki/ca.crt")
users:
- name: $2
  user:
    client-certificate-data: $(base64 -w0 <"$pki/$2.crt")
    client-key-data: $(base64 -w0 <"$pki/$2.key")
contexts:
- name: spillway
  context: {cluster: spillway, user: $2}
current-context: spillway
EOF
  chmod 600 "$1"
}

# In a subshell, so that the mask is not inherited by containerd: nobody but root could enter a container's /.
certs_make() (
  umask 077
  mkdir -p "$pki"
  cert_ca
  cert apiserver /CN=kube-apiserver \
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:$service_ip"
  cert admin /O=system:masters/CN=admin
  cert controller-manager /CN=system:kube-controller-manager
  cert scheduler /CN=system:kube-scheduler
  cert kwok /O=system:masters/CN=kwok
  cert karpenter /O=system:masters/CN=karpenter
  cert apiserver-kubelet /O=system:masters/CN=apiserver-kubelet
  cert metrics-server /O=system:masters/CN=metrics-server
  cert metrics-server-serving /CN=metrics-server "DNS:metrics-server.kube-system.svc"
  cert front-proxy /CN=front-proxy
  cert kubelet "/O=system:nodes/CN=system:node:$node_name"
  [[ -f $pki/sa.key ]] || openssl ecparam -name prime256v1 -genkey -noout -out "$pki/sa.key"
  local who
  for who in admin controller-manager scheduler kwok karpenter kubelet metrics-server; do
    kubeconfig "$dir/$who.kubeconfig" "$who"
  done
  cp "$dir/admin.kubeconfig" "$dir/kubeconfig"
)
