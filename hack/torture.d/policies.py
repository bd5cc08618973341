"""Policies that refuse what the operator writes, for a while."""

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
# name: (operations, API group, resources, which of them)
WRITES = {
    "pods": (["CREATE"], "", ["pods"], "object.metadata.namespace.startsWith('torture')"),
    "pod-deletions": (["DELETE"], "", ["pods"], "oldObject.metadata.namespace.startsWith('torture')"),
    "statuses": (["UPDATE"], "spillway.dev", ["taskrequests/status"], "true"),
    "scalerequests": (["CREATE"], "spillway.dev", ["scalerequests"], "true"),
    "scale-statuses": (["UPDATE"], "spillway.dev", ["scalerequests/status"], "true"),
    "nodeclaims": (["CREATE", "DELETE"], "karpenter.sh", ["nodeclaims"], "true"),
    "registrations": (["CREATE", "DELETE"], "spillway.dev", ["registeredservers"], "true"),
}


def refuse(api, what):
    operations, group, resources, which = WRITES[what]
    name = f"torture-{what}"
    # Only what the operator sends: garbage collection and users go on.
    who = "request.userInfo.username == 'system:serviceaccount:spillway-system:spillway'"
    api.create(f"{ADMISSION}/validatingadmissionpolicies", {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [group], "apiVersions": ["*"], "operations": operations,
                "resources": resources}]},
            "matchConditions": [{"name": "who", "expression": who}],
            "validations": [{"expression": f"!({which})",
                             "message": f"no {what} for a while"}]}})
    api.create(f"{ADMISSION}/validatingadmissionpolicybindings", {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]}})
    return lambda: [api.delete(f"{ADMISSION}/{kind}/{name}") for kind in
                    ("validatingadmissionpolicybindings", "validatingadmissionpolicies")]


def webhook(api, name, port):
    """In the way of every pod of the tasks' namespaces. port: where nobody answers."""
    name = f"torture-{name}"
    api.create(f"{ADMISSION}/validatingwebhookconfigurations", {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration", "metadata": {"name": name},
        "webhooks": [{
            "name": f"{name}.spillway.test", "clientConfig": {"url": f"https://127.0.0.1:{port}/"},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                       "resources": ["pods"]}],
            "namespaceSelector": {"matchLabels": {"torture": "tasks"}},
            "failurePolicy": "Fail", "sideEffects": "None", "timeoutSeconds": 7,
            "admissionReviewVersions": ["v1"]}]})
    return lambda: api.delete(f"{ADMISSION}/validatingwebhookconfigurations/{name}")
