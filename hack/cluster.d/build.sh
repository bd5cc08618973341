# shellcheck shell=bash
# The cluster's binaries, built from the Go modules pinned in hack/modules and kept in a cache
# outside the checkout.

readonly kubernetes_version=v1.36.3 kwok_version=v0.8.0 karpenter_version=v1.14.1
readonly cluster_api_version=v1.14.2
readonly metrics_server_version=v0.9.0 helm_version=v3.21.4
readonly kstatus_version=v0.37.2 # of sigs.k8s.io/cli-utils
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/spillway
readonly kube_bin=$cache/kube/$kubernetes_version
readonly kwok_bin=$cache/kwok/$kwok_version
readonly karpenter_bin=$cache/karpenter/$karpenter_version
readonly cluster_api_bin=$cache/cluster-api/$cluster_api_version
readonly metrics_server_bin=$cache/metrics-server/$metrics_server_version
readonly helm_bin=$cache/helm/$helm_version
readonly kstatus_bin=$cache/kstatus/$kstatus_version
readonly modules=$here/modules

go_build() { # MODULE OUTPUT PACKAGE [LDFLAGS]
  mkdir -p "$(dirname "$2")"
  (cd "$modules/$1" &&
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w ${4:-}" -o "$2.new" "$3" && mv "$2.new" "$2")
}

build_one() { # MODULE OUTPUT PACKAGE [LDFLAGS]
  [[ -x $2 ]] && return 0
  go_ensure
  with_progress "building $(basename "$2")" go_build "$@"
}

build_kubernetes() {
  local v=k8s.io/component-base/version flags name
  flags="-X $v.gitVersion=$kubernetes_version -X $v.gitMajor=1 -X $v.gitMinor=36 -X $v.gitTreeState=clean"
  for name in kube-apiserver kube-controller-manager kube-scheduler kubectl kubelet; do
    build_one kubernetes "$kube_bin/$name" "k8s.io/kubernetes/cmd/$name" "$flags"
  done
  build_one kubernetes "$kube_bin/etcd" go.etcd.io/etcd/server/v3
}

build_kwok() {
  local source
  build_one kwok "$kwok_bin/kwok" sigs.k8s.io/kwok/cmd/kwok
  [[ -d $kwok_bin/stage ]] && return 0
  go_ensure
  source=$(cd "$modules/kwok" && go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)
  mkdir -p "$kwok_bin/stage.new"
  cp "$source"/kustomize/stage/{node/fast/node-initialize,pod/fast/pod-ready,pod/fast/pod-delete}.yaml \
    "$kwok_bin/stage.new/"
  chmod -R u+w "$kwok_bin/stage.new"
  mv "$kwok_bin/stage.new" "$kwok_bin/stage"
}

build_karpenter() {
  local source
  build_one karpenter "$karpenter_bin/karpenter" sigs.k8s.io/karpenter/kwok
  [[ -d $karpenter_bin/crds ]] && return 0
  go_ensure
  source=$(cd "$modules/karpenter" && go list -m -f '{{.Dir}}' sigs.k8s.io/karpenter)
  mkdir -p "$karpenter_bin/crds.new"
  cp "$source"/kwok/charts/crds/*.yaml "$source"/kwok/apis/crds/*.yaml "$karpenter_bin/crds.new/"
  chmod -R u+w "$karpenter_bin/crds.new"
  mv "$karpenter_bin/crds.new" "$karpenter_bin/crds"
}

build_cluster_api() {
  local source
  build_one cluster-api "$cluster_api_bin/cluster-api" sigs.k8s.io/cluster-api/core
  [[ -d $cluster_api_bin/crds ]] && return 0
  go_ensure
  source=$(cd "$modules/cluster-api" && go list -m -f '{{.Dir}}' sigs.k8s.io/cluster-api)
  mkdir -p "$cluster_api_bin/crds.new"
  cp "$source"/core/config/crd/bases/*.yaml "$cluster_api_bin/crds.new/"
  cp "$source/core/config/webhook/manifests.yaml" "$cluster_api_bin/webhooks.yaml"
  chmod -R u+w "$cluster_api_bin"
  mv "$cluster_api_bin/crds.new" "$cluster_api_bin/crds"
}

build_helm() {
  local v=helm.sh/helm/v3
  build_one helm "$helm_bin/helm" helm.sh/helm/v3/cmd/helm "-X $v/internal/version.version=$helm_version
    -X $v/internal/version.gitTreeState=clean -X $v/pkg/chartutil.k8sVersionMajor=1 -X $v/pkg/chartutil.k8sVersionMinor=36
    -X $v/pkg/lint/rules.k8sVersionMajor=1 -X $v/pkg/lint/rules.k8sVersionMinor=36"
}

# build_chart_tools: what only the chart's own test needs.
build_chart_tools() {
  build_one helm "$helm_bin/kubeconform" github.com/yannh/kubeconform/cmd/kubeconform
  # Its own go.mod replaces one of its modules, which ours must repeat.
  build_one helm "$helm_bin/helm-unittest" github.com/helm-unittest/helm-unittest/cmd/helm-unittest
}

build_all() {
  build_kubernetes
  build_kwok
  build_helm
  [[ -z $karpenter ]] || build_karpenter
  # In a subshell: whoever cannot build it does without.
  [[ -z $cluster_api ]] || (build_cluster_api) || true
  [[ -z $metrics_server ]] || build_one metrics-server "$metrics_server_bin/metrics-server" \
    sigs.k8s.io/metrics-server/cmd/metrics-server
}

build_kstatus() { build_one kstatus "$kstatus_bin/kstatus" .; }

# build_locked FUNCTION...: one build at a time, also when two clusters are brought up at once.
build_locked() {
  local part
  mkdir -p "$cache"
  exec 8>"$cache/build.lock"
  flock 8
  for part in "$@"; do "$part"; done
  exec 8>&-
}
