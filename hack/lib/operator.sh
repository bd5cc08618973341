# shellcheck shell=bash
# The operator's packages, its build, and its identity in a cluster.

readonly build_packages=(g++ cmake ninja-build ccache libcpprest-dev libyaml-cpp-dev libssl-dev
  nlohmann-json3-dev libcli11-dev prometheus-cpp-dev libspdlog-dev libabsl-dev
  libgtest-dev libgmock-dev libbenchmark-dev patch)
# Of them, what ends up inside the binary.
readonly image_static_packages=(nlohmann-json3-dev libcli11-dev libabsl-dev libspdlog-dev prometheus-cpp-dev)

# ccache_settings: what was compiled in one checkout serves another, precompiled headers included.
ccache_settings() {
  export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
  export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
}

# operator_build TARGET...: into $root/build.
operator_build() {
  apt_ensure "${build_packages[@]}"
  ccache_settings
  [[ -f $root/build/build.ninja ]] ||
    with_progress "configuring" cmake -S "$root" -B "$root/build" -G Ninja -DCMAKE_BUILD_TYPE=Release
  with_progress "building $*" cmake --build "$root/build" --target "$@"
}

# operator_install [HELM_FLAG...]: the chart, as release spillway in spillway-system. Without flags nothing
# runs: the operator is then started outside, with the service account's kubeconfig. It may read the Secret cloud-service.
operator_install() {
  local flags=("$@")
  ((${#flags[@]} > 0)) || flags=(--set replicaCount=0 --set 'rest.secretNames={cloud-service}' --set clusterAPI.enabled=true --set pendingPod.equipNodes=true)
  command -v helm >/dev/null || die "helm is not in PATH: eval \"\$(hack/cluster env)\""
  kubectl apply -f - >&2 <<'EOF'
apiVersion: v1
kind: Namespace
metadata:
  name: spillway-system
  labels: {pod-security.kubernetes.io/enforce: restricted}
EOF
  # With the CRDs as they are now, should the chart's copy wait for hack/generate-manifests.
  local copy
  copy=$(mktemp -d)
  cp -r "$root/charts/spillway/." "$copy"
  cp "$root"/crds/*.yaml "$copy/files/crds/"
  helm upgrade --install spillway "$copy" --namespace spillway-system --hide-notes "${flags[@]}" >&2
  rm -rf "$copy"
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
