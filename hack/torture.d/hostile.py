"""Objects that nobody sane applies: at every limit, huge, deep, and of wrong types.

The last are refused by the schemas, so the CustomResourceDefinitions are loosened while they are
made. They stay until the tasks have ended, and must not hold up anything else.
"""
import copy
import time

from api import GROUP, Refused, task_path

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KINDS = {"taskrequests": "TaskRequest", "registeredservers": "RegisteredServer",
         "serverpools": "ServerPool", "scalerequests": "ScaleRequest", "budgets": "Budget"}
NAMESPACE = "torture-hostile-" + "n" * 47  # 63 characters
LOOSE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def template(**container):
    return {"spec": {"containers": [{
        "name": "c", "image": "docker.io/local/busybox:1", **container}]}}


def allowed():
    """Specs that the schema lets pass, at its limits."""
    yield "long", {"template": template(args=["x" * 600_000])}
    yield "many", {"template": template(env=[
        {"name": f"E{i}", "value": "v" * 40} for i in range(8000)])}
    yield "wide", {"template": template(), "requirements": [
        {"key": "k" * 63 + str(i), "operator": "In", "values": ["v" * 120 + str(j) for j in range(64)]}
        for i in range(32)]}
    yield "vast", {"template": template(resources={"requests": {"cpu": "1e40", "memory": "9E"}})}
    yield "alone", {"template": template(), "group": {"name": "never", "size": 1000}}
    yield "t" * 63, {"template": template(resources={"requests": {"cpu": "100m"}})}
    yield "control", {"template": template(args=["\u0001\u001b[31m\u202e \ud7ff" * 1000])}


def deep(levels):
    out = {}
    for _ in range(levels):
        out = {"a": out}
    return out


def twisted():
    """Specs that no schema would let pass."""
    for i, spec in enumerate([
            "text", 7, [], {}, {"template": 7}, {"template": []}, {"template": {"spec": "x"}},
            {"template": {"spec": {"containers": {"a": 1}}}},
            {"template": {"spec": {"containers": [7, None, [], "x"]}}},
            {"template": template(resources={"requests": {"cpu": {}, "memory": []}})},
            {"template": template(resources={"requests": {"cpu": "-1e999", "memory": "🙂"}})},
            {"template": template(), "retry": {"limit": -5, "lossLimit": 1e300, "backoffSeconds": "x"}},
            {"template": template(), "priority": 2**63 - 1, "activeDeadlineSeconds": -2**63},
            {"template": template(), "group": {"name": 7, "size": -1}},
            {"template": template(), "group": [[]], "placement": "x", "requirements": {"a": "b"}},
            {"template": template(), "suspend": "yes", "cancel": [], "exclusive": 1e-300},
            {"template": template(), "placement": {"burstAfterSeconds": {"a": 1}, "pools": 3}},
            {"template": {"spec": {"affinity": deep(1500), **template()["spec"]}}},
            {"template": template(), "podTTLSeconds": 1e19, "ttlSecondsAfterFinished": -1}]):
        yield f"twisted-{i}", spec


STATUSES = ["x", 5, {"phase": 7, "attempts": {"a": 1}, "conditions": "x"},
            {"phase": "Running", "assignment": {"attempt": -2**63, "server": [], "podName": 5}},
            {"phase": "Succeeded", "result": [[]], "attempts": [7, {}, None, {"attempt": 1e300}]},
            {"phase": "Assigned", "assignment": {"server": "kwok-0", "podName": "none", "attempt": 2**62}},
            {"phase": "Pending", "observedGeneration": "x", "losses": 2**63 - 1, "cost": "-1e9",
             "attempts": [{"attempt": i, "message": "m" * 500} for i in range(1000)]}]

OTHERS = {
    "registeredservers": [
        {"nodeName": {"a": 1}}, "x", {"nodeName": "kwok-0", "origin": "Cloud", "limits": 7},
        {"nodeName": "n" * 253, "capabilities": {f"k{i}": "v" * 256 for i in range(500)}},
        {"nodeName": "none", "limits": {"maxTasks": -1, "cpuUtilizationPercent": 1e300}}],
    "serverpools": [
        7, {"template": [], "backend": {}}, {"template": {"resources": {"cpu": []}}, "maxServers": -1},
        {"template": {"resources": {"cpu": "1", "memory": "1Gi"}}, "maxServers": 2**63 - 1,
         "minServers": "many", "pricePerHour": "-1e308", "backend": {"karpenter": "x"}}],
    "scalerequests": [
        "x", {"poolName": []}, {"poolName": "first", "forTasks": "x", "shape": [1]},
        {"poolName": "p" * 253, "forTasks": [{"uid": 7}] * 1000}]}


class Hostile:
    """made: how many are there; stubborn: which the API server itself refused."""

    def __init__(self, api):
        self.api, self.made, self.stubborn = api, 0, []

    def run(self):
        self.api.create("/api/v1/namespaces", {
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        while self.api.get(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default") is None:
            time.sleep(0.2)
        for name, spec in allowed():
            self._make("taskrequests", name, spec)
        strict = {plural: self.api.get(f"{CRDS}/{plural}.spillway.dev") for plural in KINDS}
        try:
            for crd in strict.values():
                self._schema(crd, LOOSE)
            self._make_twisted()
        finally:
            for crd in strict.values():
                self._schema(crd, crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        self._foreign_pod()

    def end(self):
        """Deletes its tasks: one that has lost its node may run on a bought server, for ever."""
        if self.made:
            self.api.delete(f"{GROUP}/namespaces/{NAMESPACE}/taskrequests")

    def _schema(self, crd, schema):
        path = f"{CRDS}/{crd['metadata']['name']}"
        version = copy.deepcopy(crd["spec"]["versions"][0])
        version["schema"]["openAPIV3Schema"] = schema
        self.api.patch(path, {"spec": {"versions": [version]}})

    def _make_twisted(self):
        # A schema takes a moment to be in force.
        for _ in range(100):
            before = len(self.stubborn)
            self._make("budgets", "first", {"amount": {"a": 1}, "period": 7, "action": []})
            if len(self.stubborn) == before:
                break
            self.stubborn.pop()
            time.sleep(0.2)
        for name, spec in twisted():
            self._make("taskrequests", name, spec)
        for i, status in enumerate(STATUSES):
            self._make("taskrequests", f"status-{i}", {"template": template()}, status)
            self._make("scalerequests", f"hostile-status-{i}", {"poolName": "first"}, status)
        for plural, specs in OTHERS.items():
            for i, spec in enumerate(specs):
                self._make(plural, f"hostile-{i}", spec)

    def _make(self, plural, name, spec, status=None):
        scoped = plural in ("taskrequests", "budgets")
        path = f"{GROUP}/namespaces/{NAMESPACE}/{plural}" if scoped else f"{GROUP}/{plural}"
        body = {"apiVersion": "spillway.dev/v1alpha1", "kind": KINDS[plural],
                "metadata": {"name": name}, "spec": spec}
        try:
            self.api.create(path, body)
            self.made += 1
            if status is not None:
                self.api.patch(f"{path}/{name}/status", {"status": status})
        except (Refused, TimeoutError) as error:
            self.stubborn.append(f"{plural}/{name}: {str(error)[:160]}")

    def _foreign_pod(self):
        """In the way of a task's first pod."""
        self.api.create(f"/api/v1/namespaces/{NAMESPACE}/pods", {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "taken-1"},
            **template(), })
        self.api.create(task_path(NAMESPACE), {
            "apiVersion": "spillway.dev/v1alpha1", "kind": "TaskRequest",
            "metadata": {"name": "taken"}, "spec": {"template": template()}})
        self.made += 2
