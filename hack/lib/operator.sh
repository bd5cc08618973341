# shellcheck shell=bash
# The operator's packages, its build, and its identity in a cluster.

readonly build_packages=(g++ cmake ninja-build ccache libcpprest-dev libyaml-cpp-dev libssl-dev
  nlohmann-json3-dev libcli11-dev prometheus-cpp-dev libspdlog-dev libabsl-dev
  libgtest-dev libgmock-dev libbenchmark-dev patch)

# operator_build TARGET...: into $root/build.
operator_build() {
  apt_ensure "${build_packages[@]}"
  # So that what was compiled in one checkout serves another.
  export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
  [[ -f $root/build/build.ninja ]] ||
    with_progress "configuring" cmake -S "$root" -B "$root/build" -G Ninja -DCMAKE_BUILD_TYPE=Release
  with_progress "building $*" cmake --build "$root/build" --target "$@"
}

# operator_install: CRDs, namespace, service account and its least privileges, with the kubectl in PATH.
operator_install() {
  kubectl apply -f "$root/crds/" >&2
  kubectl apply -f "$root/charts/spillway/templates/namespace.yaml" >&2
  kubectl apply -f "$root/charts/spillway/templates/" >&2
  kubectl wait --for=condition=Established --timeout=60s -f "$root/crds/" >/dev/null
}

# operator_kubeconfig FILE: the current cluster, as the operator's service account.
operator_kubeconfig() {
  local token server ca
  token=$(kubectl -n spillway-system create token spillway --duration=24h)
  server=$(kubectl config view --raw --minify -o jsonpath='{.clusters[0].cluster.server}')
  ca=$(kubectl config view --raw --minify --flatten -o jsonpath='{.clusters[0].cluster.certificate-authority-data}')
  (
    umask 077
    cat >"$1" <<EOF
apiVersion: v1
kind: Config
clusters:
- {name: cluster, cluster: {server: "$server", certificate-authority-data: "$ca"}}
users:
- {name: spillway, user: {token: "$token"}}
contexts:
- {name: spillway, context: {cluster: cluster, user: spillway}}
current-context: spillway
EOF
  )
}
