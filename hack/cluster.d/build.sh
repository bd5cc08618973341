# shellcheck shell=bash
# The cluster's binaries, built from the Go modules pinned in hack/modules and kept in a cache
# outside the checkout.

readonly kubernetes_version=v1.36.3 kwok_version=v0.8.0 karpenter_version=v1.14.1
readonly metrics_server_version=v0.9.0
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/spillway
readonly kube_bin=$cache/kube/$kubernetes_version
readonly kwok_bin=$cache/kwok/$kwok_version
readonly karpenter_bin=$cache/karpenter/$karpenter_version
readonly metrics_server_bin=$cache/metrics-server/$metrics_server_version
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

# build_all: one build at a time, also when two clusters are brought up at once.
build_all() {
  mkdir -p "$cache"
  exec 8>"$cache/build.lock"
  flock 8
  build_kubernetes
  build_kwok
  [[ -z $karpenter ]] || build_karpenter
  [[ -z $metrics_server ]] || build_one metrics-server "$metrics_server_bin/metrics-server" \
    sigs.k8s.io/metrics-server/cmd/metrics-server
  exec 8>&-
}
