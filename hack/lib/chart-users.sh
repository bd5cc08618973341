# shellcheck shell=bash
# What users without cluster-admin may do, tried by impersonation. Uses $work.

readonly users_namespace=chart-users

as() { # USER COMMAND...
  local user=$1
  shift
  kubectl --as="$user" -n "$users_namespace" "$@"
}

users_bind() {
  kubectl create namespace "$users_namespace" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
  kubectl -n "$users_namespace" create rolebinding editor --clusterrole=edit --user=editor --dry-run=client -o yaml |
    kubectl apply -f - >/dev/null
  kubectl -n "$users_namespace" create rolebinding viewer --clusterrole=view --user=viewer --dry-run=client -o yaml |
    kubectl apply -f - >/dev/null
  # The rules are taken into the cluster's roles by a controller.
  local i
  for ((i = 0; i < 50; i++)); do
    as editor auth can-i -q create taskrequests && return 0
    sleep 0.2
  done
  die "the role edit did not get the rights on TaskRequests"
}

users_task() {
  sed "s/namespace: default/namespace: $users_namespace/; s/name: hello/name: $1/" "$root/charts/spillway/samples/hello.yaml"
}

users_edit() {
  users_task mine | as editor apply -f - >/dev/null
  as editor get taskrequest mine >/dev/null
  as editor patch taskrequest mine --type=merge -p '{"spec":{"cancel":true}}' >/dev/null
  as editor delete taskrequest mine --wait=false >/dev/null
}

users_view() {
  as viewer get taskrequests,budgets >/dev/null 2>&1
  users_task theirs >"$work/theirs.yaml"
  refused forbidden as viewer create -f "$work/theirs.yaml"
  kubectl apply -f "$work/theirs.yaml" >/dev/null
  refused forbidden as viewer delete taskrequests theirs
  refused forbidden as editor patch taskrequest theirs --subresource=status --type=merge -p '{"status":{"phase":"Succeeded"}}'
}

# users_may USER: "resource verbs", one a line, of this operator's kinds.
users_may() {
  as "$1" auth can-i --list --no-headers 2>/dev/null | sed -n 's/^\([a-z]*\)\.spillway\.dev\(\/status\)\? .*\[\([a-z ]*\)\]$/\1\2 \3/p' |
    while read -r resource verbs; do
      echo "$resource $(tr ' ' '\n' <<<"$verbs" | sort | xargs)"
    done | sort
}

users_nothing_else() {
  local reads="get list watch" writes
  writes="create delete deletecollection get list patch update watch"
  diff <(users_may viewer | merge_verbs) <(printf '%s\n' "budgets $reads" "taskrequests $reads" "taskrequests/status $reads")
  diff <(users_may editor | merge_verbs) <(printf '%s\n' "budgets $reads" "taskrequests $writes" "taskrequests/status $reads")
  diff <(users_may nobody) /dev/null
}

# merge_verbs: one line a resource, where several rules speak of it.
merge_verbs() {
  awk '{for (i = 2; i <= NF; i++) verbs[$1] = verbs[$1] " " $i} END {for (r in verbs) print r verbs[r]}' |
    while read -r resource verbs; do
      echo "$resource $(tr ' ' '\n' <<<"$verbs" | sort -u | xargs)"
    done | sort
}

users_remove() { kubectl delete namespace "$users_namespace" --wait=false >/dev/null; }
