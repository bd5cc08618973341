# shellcheck shell=bash
# The cloud of hack/quickstart --engine rest: the cloud service of hack/cloud-service, which lends real nodes of hack/cluster, or
# simulated ones where none can be started. Uses $root, $demo_state, $cluster_dir.

readonly rest_home=$demo_state/cloud-service

# rest_address: one of this machine's that the operator's pod can reach as well; the API server's for pods, if there are pods.
rest_address() {
  local address
  address=$(kubectl get service kubernetes -o jsonpath='{.spec.clusterIP}')
  [[ -n $(ip -oneline address show to "$address" 2>/dev/null) ]] || address=127.0.0.1
  echo "$address"
}

# rest_machine: the example that starts and stops a machine, as arguments.
rest_machine() {
  local why
  if why=$("$root/hack/cluster" node check 2>&1); then
    printf '%s\n' "$root/hack/cloud-service/examples/cluster-node" "${cluster_dir[@]}"
  else
    note "${why#error: }; the cloud's nodes are simulated by kwok, and run no process"
    echo "$root/hack/cloud-service/examples/kwok-node"
  fi
}

rest_credentials() {
  local address=$1
  [[ ! -f $rest_home/tokens ]] || return 0
  (
    umask 077
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=cloud-service \
      -addext "subjectAltName=IP:$address" -keyout "$rest_home/tls.key" -out "$rest_home/tls.crt" 2>/dev/null
    openssl rand -hex 24 >"$rest_home/tokens"
  )
}

# rest_config ADDRESS: a port once taken stays, since leases are given back where they were asked for.
rest_config() {
  local machine verb number
  mapfile -t machine < <(rest_machine)
  cat <<EOF
listen: $1:$(cat "$rest_home/port" 2>/dev/null || echo 0)
stateDir: $rest_home/state
tls: {certificate: $rest_home/tls.crt, key: $rest_home/tls.key}
auth: {tokenFile: $rest_home/tokens}
driver: static
static:
EOF
  for verb in start status stop; do
    printf '  %s: ["%s"%s]\n' "$verb" "${machine[0]}" "$(printf ', "%s"' "$verb" "${machine[@]:1}")"
  done
  echo "  machines:"
  for number in 1 2 3; do
    echo "  - {name: cloud-$number, offer: small, resources: {cpu: \"1\", memory: 1Gi}, pricePerHour: \"0.40\"}"
  done
}

rest_start() {
  local address
  demo_daemon_stop cloud-service
  mkdir -p "$rest_home"
  address=$(rest_address)
  log "starting a cloud service of our own on $address: hack/cloud-service/serve"
  rest_credentials "$address"
  rest_config "$address" >"$rest_home/config.yaml"
  demo_daemon_start cloud-service "$root/hack/cloud-service/serve" "$rest_home/config.yaml" --port-file "$rest_home/port"
  demo_daemon_await cloud-service "listening on"
  rest_endpoint=https://$address:$(<"$rest_home/port")
}

# rest_pool: the Secret with the credentials, and the pool.
rest_pool() {
  kubectl -n spillway-system create secret generic cloud-service --from-literal=token="$(<"$rest_home/tokens")" \
    --from-file=ca.crt="$rest_home/tls.crt" --dry-run=client -o yaml | kubectl apply -f - >&2
  demo_pool_of "Servers that the cloud service at the endpoint lends when no registered server has room." <<EOF
    rest:
      endpoint: $rest_endpoint
      credentialsSecretRef: {name: cloud-service}
EOF
}

rest_down() {
  demo_daemon_stop cloud-service
  rm -rf "$rest_home"
}
