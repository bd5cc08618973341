# shellcheck shell=bash
# The chart without a cluster. Uses $root, $work, step, refused.

readonly chart=$root/charts/spillway

chart_repeats() { "$root/hack/generate-manifests" --check; }

chart_lint() {
  helm lint --strict --quiet "$chart"
  helm lint --strict --quiet "$chart" --values "$chart/ci/everything-values.yaml"
}

chart_unittest() { helm-unittest --strict "$chart" >"$work/unittest" 2>&1 || { cat "$work/unittest" >&2 && return 1; }; }

chart_typos() {
  refused replicaCout helm template t "$chart" --set replicaCout=3
  refused prot helm template t "$chart" --set metrics.prot=1
  refused logLevel helm template t "$chart" --set logLevel=verbose
  refused digest helm template t "$chart" --set image.digest=latest
  refused nodeName helm template t "$chart" --set registeredServers.a.node=b
}

# Two releases differ in every name that is not fixed by a kind.
chart_names() {
  local name
  helm template other "$chart" --namespace elsewhere --values "$chart/ci/everything-values.yaml" >"$work/other"
  ! grep -n 'spillway-system' "$work/other" || die "a namespace is hard-coded"
  for name in $(yq_names "$work/other"); do
    [[ $name == other-* || $name == *.spillway.dev || $name == rack-1 || $name == overflow || $name == own-cloud ]] ||
      die "$name does not carry the release's name"
  done
}

yq_names() { python3 -c 'import sys, yaml
print(*{d["metadata"]["name"] for d in yaml.safe_load_all(open(sys.argv[1])) if d})' "$1"; }

# One version in the chart and in the binary.
chart_version() {
  local version
  version=$(sed -n 's/.*kVersion\[\] = "\(.*\)";/\1/p' "$root/operator/main.cc")
  grep -q "^appVersion: $version\$" "$chart/Chart.yaml" || die "Chart.yaml's appVersion is not the operator's $version"
  grep -q "^version: ${version#v}\$" "$chart/Chart.yaml" || die "Chart.yaml's version is not the operator's $version"
}

chart_static() {
  step "the chart's CRDs and README are those of the repository" chart_repeats
  step "lint finds nothing, also with everything turned on" chart_lint
  step "unit tests" chart_unittest
  step "typos and wrong values are refused" chart_typos
  step "every name follows the release" chart_names
  step "the chart's version is the operator's" chart_version
}
