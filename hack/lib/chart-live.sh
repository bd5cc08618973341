# shellcheck shell=bash
# The chart on a real cluster, its pods run by the kubelet from the image. Uses $root, $chart, $work, $binary, $dir.

readonly release=tasks namespace=chart-elsewhere
readonly deployment=deployment/tasks-spillway

live_image() {
  local flags=(--tag v0.1.0)
  [[ -z $binary ]] || flags+=(--binary "$binary")
  "$root/hack/image" "${flags[@]}" --output "$work/one" >"$work/said"
  SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct) "$root/hack/image" "${flags[@]}" --output "$work/two" --load \
    --dir "$dir" >/dev/null 2>&1
  cat "$work/said" >&2
  diff "$work/one" "$work/two"
}

# live_sbom: names each package that the image's own status files name, in the same version.
live_sbom() {
  local arch
  arch=$(dpkg --print-architecture)
  python3 - "$work/one/spillway-$arch.tar" "$work/one/spillway-$arch.spdx.json" <<'EOF'
import gzip, io, json, re, sys, tarfile
image, sbom = tarfile.open(sys.argv[1]), json.load(open(sys.argv[2]))
read = lambda name: image.extractfile(name).read()
manifest = json.loads(read("blobs/" + json.loads(read("index.json"))["manifests"][0]["digest"].replace(":", "/")))
config = json.loads(read("blobs/" + manifest["config"]["digest"].replace(":", "/")))
assert config["config"]["User"] == "65532:65532", config
names, packages = set(), set()
for layer in manifest["layers"]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(read("blobs/" + layer["digest"].replace(":", "/"))))) as tar:
        for info in tar:
            names.add(info.name)
            if re.match(r"var/lib/dpkg/status.d/[^/]*(?<!md5sums)$", info.name):
                text = tar.extractfile(info).read().decode()
                packages.add((re.search("^Package: (.*)", text, re.M)[1], re.search("^Version: (.*)", text, re.M)[1]))
listed = {(p["name"], p["versionInfo"]) for p in sbom["packages"] if p.get("comment") == "unpacked into the image"}
assert packages == listed and len(packages) > 5, packages ^ listed
assert "etc/ssl/certs/ca-certificates.crt" in names
assert not [n for n in names if re.search(r"bin/(ba|da)?sh$|s?bin/.*apt|bin/perl", n)], "there is a shell"
EOF
}

live_conform() {
  local path
  mkdir -p "$work/schemas"
  for path in api/v1 apis/apps/v1 apis/rbac.authorization.k8s.io/v1 apis/policy/v1 apis/networking.k8s.io/v1 \
    apis/flowcontrol.apiserver.k8s.io/v1 apis/apiextensions.k8s.io/v1 apis/spillway.dev/v1alpha1; do
    kubectl get --raw "/openapi/v3/$path" | python3 "$root/hack/lib/schemas.py" "$work/schemas"
  done
  helm template t "$chart" --values "$chart/ci/everything-values.yaml" |
    kubeconform -strict -summary -skip ServiceMonitor,PodMonitor,PrometheusRule \
      -schema-location "$work/schemas/{{.ResourceKind}}{{.KindSuffix}}.json" >&2
}

live_first() { operator_install --take-ownership --set replicaCount=0 2>"$work/first" || { cat "$work/first" >&2 && return 1; }; }

# live_unseen: no operator runs yet; kstatus must not take a new task for done.
live_unseen() {
  kubectl apply -f "$root/charts/spillway/samples/hello.yaml" >/dev/null
  kubectl get tq hello -n default -o yaml >"$work/unseen.yaml"
  kubectl delete tq hello -n default >/dev/null
  "$("$root/hack/cluster" kstatus)" "$work/unseen.yaml" | grep -q ' InProgress ' || die "a pipeline would take an unseen task for done"
}

live_namespace() {
  kubectl apply -f - >/dev/null <<EOF
apiVersion: v1
kind: Namespace
metadata:
  name: $namespace
  labels: {pod-security.kubernetes.io/enforce: restricted}
EOF
}

# live_helm VERB CHART [FLAG...]
live_helm() {
  local verb=$1 from=$2
  shift 2
  helm "$verb" "$release" "$from" --namespace "$namespace" --wait --timeout 120s --values "$work/values.yaml" "$@" >"$work/helm.log" 2>&1 ||
    { cat "$work/helm.log" && kubectl -n "$namespace" get pods && kubectl -n "$namespace" describe pods | tail -n 30 && return 1; } >&2
}

# live_values: onto the real node, with the optional parts that a cluster without more can take.
live_values() {
  local node
  node=$(kubectl get nodes -l spillway.dev/local=true -o jsonpath='{.items[0].metadata.name}')
  cat >"$work/values.yaml" <<EOF
nodeSelector: {spillway.dev/local: "true"}
networkPolicy: {enabled: true}
flowSchema: {enabled: true}
registeredServers:
  chart-server: {nodeName: $node}
EOF
}

# live_fresh: the very first installation, on an API server that does not know the kinds; pools and servers come with it, a
# task runs there, and the next upgrade takes them over.
live_fresh() {
  # By name: whoever applied one by itself has not labelled it.
  kubectl delete --ignore-not-found --timeout=60s -f "$root/crds/" >/dev/null
  live_namespace
  live_values
  cat >>"$work/values.yaml" <<'EOF'
pools:
  chart-pool:
    maxServers: 1
    template: {resources: {cpu: "3", memory: 6Gi}}
    backend: {karpenter: {nodeClassRef: {group: karpenter.kwok.sh, kind: KWOKNodeClass, name: default}}}
EOF
  live_helm install "$chart"
  kubectl wait --for=condition=Ready --timeout=30s rsv/chart-server >/dev/null
  kubectl get pool chart-pool >/dev/null
  live_task

  local object before after
  before=$(kubectl get rsv/chart-server pool/chart-pool -o jsonpath='{.items[*].metadata.uid}')
  live_helm upgrade "$chart"
  for object in chart-server chart-pool; do
    helm get manifest "$release" -n "$namespace" | grep -q "name: $object\$" || die "the upgrade did not take $object over"
  done
  after=$(kubectl get rsv/chart-server pool/chart-pool -o jsonpath='{.items[*].metadata.uid}')
  [[ $after == "$before" ]] || die "the upgrade replaced servers or pools"
  helm uninstall "$release" -n "$namespace" --wait >/dev/null
  kubectl get pool/chart-pool rsv/chart-server >/dev/null
  kubectl delete pool chart-pool >/dev/null
}

live_install() {
  live_values
  kubectl delete rsv --all --wait=true >/dev/null 2>&1 || true
  live_helm install "$chart" --take-ownership
  kubectl wait --for=condition=Ready --timeout=30s rsv/chart-server >/dev/null
}

live_restricted() {
  [[ $(kubectl -n "$namespace" get pods -l app.kubernetes.io/component=operator -o jsonpath='{.items[*].spec.serviceAccountName}') == "tasks-spillway tasks-spillway" ]]
  kubectl -n "$namespace" logs "$deployment" --all-pods=true >"$work/log"
  grep -q "every resource was listed" "$work/log"
  ! grep -i forbidden "$work/log" >&2 || die "the operator was refused something"
}

# live_flow: the API server puts the operator's requests for its Lease into the chart's FlowSchema, and none but those.
live_flow() {
  local schema=tasks-spillway-leader-election server token uid lease before
  uid=$(kubectl get flowschema $schema -o jsonpath='{.metadata.uid}')
  server=$(kubectl config view --minify -o jsonpath='{.clusters[0].cluster.server}')
  kubectl config view --raw --minify --flatten -o jsonpath='{.clusters[0].cluster.certificate-authority-data}' |
    base64 -d >"$work/ca.crt"
  token=$(kubectl -n "$namespace" create token tasks-spillway)
  lease=apis/coordination.k8s.io/v1/namespaces/$namespace/leases/spillway.dev
  flow_of() { # PATH [CURL_FLAG...]: the FlowSchema that the API server names in its answer
    local path=$1
    shift
    curl -sS -m 10 --cacert "$work/ca.crt" -H "Authorization: Bearer $token" -o "$work/answer" -D - "$@" "$server/$path" |
      tr -d '\r' | sed -n 's/^x-kubernetes-pf-flowschema-uid: //Ip'
  }
  [[ $(flow_of "$lease") == "$uid" ]] || die "reading the Lease is not in the FlowSchema"
  cp "$work/answer" "$work/lease"
  [[ $(flow_of "$lease?dryRun=All" -X PUT -H 'Content-Type: application/json' --data-binary "@$work/lease") == "$uid" ]] ||
    die "renewing the Lease is not in the FlowSchema"
  [[ $(flow_of apis/spillway.dev/v1alpha1/taskrequests) != "$uid" ]] || die "everything is in the FlowSchema"
  # The operator's own, as the API server counts them.
  before=$(live_dispatched $schema)
  sleep 5
  (($(live_dispatched $schema) > before)) || die "the operator's renewals are not in the FlowSchema"
}

# live_dispatched FLOWSCHEMA: how many requests the API server has served in it.
live_dispatched() {
  kubectl get --raw /metrics | sed -n "s/^apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"$1\",.*} //p"
}

# live_metrics: over TLS, to a service account that may read them, and to nobody else.
live_metrics() {
  local ip token
  ip=$(kubectl -n "$namespace" get pods -l app.kubernetes.io/component=operator -o jsonpath='{.items[0].status.podIP}')
  kubectl -n "$namespace" create serviceaccount scraper >/dev/null
  scrape() { curl -sk -m 10 -o "$work/metrics" -w '%{http_code}' "$@" "https://$ip:8443/metrics"; }
  token=$(kubectl -n "$namespace" create token scraper)
  [[ $(scrape) == 401 ]] || die "metrics without a token"
  [[ $(scrape -H "Authorization: Bearer $token") == 403 ]] || die "metrics without the right to them"

  kubectl -n "$namespace" create serviceaccount other >/dev/null
  kubectl create clusterrolebinding chart-scraper-other --clusterrole=tasks-spillway-metrics-reader \
    --serviceaccount="$namespace:other" >/dev/null
  token=$(kubectl -n "$namespace" create token other)
  [[ $(scrape -H "Authorization: Bearer $token") == 200 ]] || die "no metrics with a token and the right to them"
  kubectl delete clusterrolebinding chart-scraper-other >/dev/null
  grep -q '^spillway_' "$work/metrics"
}

live_task() {
  helm test "$release" -n "$namespace" --timeout 90s --logs >"$work/test.log" 2>&1 || { cat "$work/test.log" >&2 && return 1; }
  grep -q 'Succeeded: exit code 0' "$work/test.log"
}

leader() { kubectl -n "$namespace" get lease spillway.dev -o jsonpath='{.spec.holderIdentity}' | cut -d_ -f1; }

live_leader_killed() {
  local before after='' i
  before=$(leader)
  kubectl -n "$namespace" delete pod "$before" --grace-period=0 --force >/dev/null 2>&1
  for ((i = 0; i < 150; i++)); do
    after=$(leader)
    [[ -z $after || $after == "$before" ]] || break
    sleep 0.2
  done
  [[ $after != "$before" && -n $after ]] || die "nobody took over from $before"
  live_task
  kubectl -n "$namespace" rollout status "$deployment" --timeout=60s >/dev/null
}

# A chart of the next version, with one more column in a CRD and another log level.
live_upgrade() {
  cp -r "$chart" "$work/next"
  sed -i 's/^version: .*/version: 0.1.1/' "$work/next/Chart.yaml"
  sed -i 's/^    - {name: Phase, type: string, jsonPath: .status.phase}$/&\n    - {name: Test, type: string, jsonPath: .metadata.uid}/' \
    "$work/next/files/crds/taskrequests.yaml"
  live_helm upgrade "$work/next" --set logLevel=debug
  kubectl get crd taskrequests.spillway.dev -o jsonpath='{.spec.versions[0].additionalPrinterColumns[*].name}' | grep -q Test
  kubectl -n "$namespace" get "$deployment" -o jsonpath='{.spec.template.spec.containers[0].args}' | grep -q debug
  helm get manifest "$release" -n "$namespace" | grep -q 'name: chart-server'
  kubectl -n "$users_namespace" wait --for=condition=Complete --timeout=1s tq/theirs >/dev/null
}

live_rollback() {
  helm rollback "$release" 1 -n "$namespace" --wait --timeout 120s >/dev/null
  ! kubectl get crd taskrequests.spillway.dev -o jsonpath='{.spec.versions[0].additionalPrinterColumns[*].name}' | grep -q Test
  ! kubectl -n "$namespace" get "$deployment" -o jsonpath='{.spec.template.spec.containers[0].args}' | grep -q debug
  kubectl get rsv chart-server >/dev/null
  live_task
}

live_uninstall() {
  helm uninstall "$release" -n "$namespace" --wait >/dev/null
  kubectl get crd -l app.kubernetes.io/part-of=spillway -o name | wc -l | grep -qx 5
  kubectl -n "$users_namespace" get tq theirs >/dev/null
  kubectl get rsv chart-server >/dev/null
  [[ -z $(kubectl get clusterroles -l app.kubernetes.io/instance=$release -o name) ]]
  [[ -z $(kubectl -n "$namespace" get deployments,services,pdb -o name) ]]
}

live_restore() {
  kubectl delete rsv --all >/dev/null 2>&1 || true
  kubectl delete namespace "$namespace" --wait=false >/dev/null
  live_first
}

chart_live() {
  step "the image is the same bytes twice, and is loaded" live_image
  step "its SBOM names what scanners find; no shell" live_sbom
  step "the first installation makes the pools and servers of its values, and a task runs there" live_fresh
  step "the chart is installed without replicas" live_first
  step "a task that nobody has seen is in progress to a pipeline" live_unseen
  step "templates keep to the API server's schemas" live_conform
  step "another release name and namespace takes the CRDs over and is run by the real kubelet" live_install
  step "its own service account suffices" live_restricted
  step "renewals of the Lease are in the FlowSchema, and nothing else is" live_flow
  step "metrics over TLS, to whom the API server lets in" live_metrics
  step "helm test runs one task" live_task
  step "users and roles are there" users_bind
  step "edit submits, cancels, deletes and reads tasks" users_edit
  step "view reads them and no more" users_view
  step "neither has any other right" users_nothing_else
  step "the leader is killed, another goes on" live_leader_killed
  step "an upgrade changes a CRD and keeps tasks" live_upgrade
  step "a rollback brings all of it back" live_rollback
  step "uninstall leaves CRDs and tasks, and nothing else" live_uninstall
  users_remove
  live_restore
}
