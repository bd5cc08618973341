#!/usr/bin/env python3
"""An infrastructure provider for Cluster API whose machines are kwok's nodes: for tests of what Cluster API does with them.

machines.py KUBECONFIG. A SimMachine's spec.fault says what becomes of it:
  none         its Node joins after spec.bootSeconds (0)
  capacity, quota, class, credentials   it is refused, in a cloud's words
  silence      nothing is said of it, ever
  nodeless     it is there, and its Node never joins
  dies         it is there, and is terminated spec.lifeSeconds (5) later
An annotation machines/fault of its own wins, also later. Its Node is left behind when it is deleted, as by most clouds."""
import base64
import datetime
import http.client
import json
import re
import ssl
import sys
import tempfile
import time

GROUP = "/apis/infrastructure.cluster.x-k8s.io/v1"
FINALIZER = "machines.test/instance"
WORDS = {
    "capacity": ("InsufficientInstanceCapacity", "there is no capacity of this type in the zone"),
    "quota": ("InstanceProvisionFailed", "VcpuLimitExceeded: 8 of 8 vCPUs are in use"),
    "class": ("InvalidConfiguration", "there is no machine type of this name"),
    "credentials": ("InstanceProvisionFailed", "AuthFailure: the credentials were refused"),
}


class Api:
    """The API server, over one connection, with the client certificate of a kubeconfig of hack/cluster."""

    def __init__(self, path):
        text = open(path).read()
        value = lambda key: re.search(key + r": (\S+)", text)[1]
        self.host = value("server").removeprefix("https://")
        decoded = lambda key: base64.b64decode(value(key)).decode()
        self.tls = ssl.create_default_context(cadata=decoded("certificate-authority-data"))
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(decoded("client-certificate-data") + decoded("client-key-data"))
            file.flush()
            self.tls.load_cert_chain(file.name)
        self.link = None

    def call(self, method, path, body=None):
        """The answer, or None where it is a refusal: what is wanted is looked at again soon."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        try:
            self.link = self.link or http.client.HTTPSConnection(self.host, context=self.tls, timeout=10)
            self.link.request(method, path, body and json.dumps(body), {"Content-Type": kind})
            answer = self.link.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            print("cannot reach the API server:", error, flush=True)
            self.link = None
            return None
        if answer.status >= 300 and answer.status not in (404, 409):
            print(method, path, answer.status, data.decode(errors="replace")[:300], flush=True)
        return json.loads(data) if answer.status < 300 else None


def path_of(machine, subresource="", plural="simmachines"):
    meta = machine["metadata"]
    return f"{GROUP}/namespaces/{meta['namespace']}/{plural}/{meta['name']}{subresource}"


def age(machine):
    made = datetime.datetime.fromisoformat(machine["metadata"]["creationTimestamp"].replace("Z", "+00:00"))
    return (datetime.datetime.now(datetime.timezone.utc) - made).total_seconds()


def readiness(machine, status, reason, message=""):
    """The status with that condition, or None where it says so already."""
    found = next((each for each in machine.get("status", {}).get("conditions", []) if each["type"] == "Ready"), {})
    if (found.get("status"), found.get("reason")) == (status, reason):
        return None
    condition = {"type": "Ready", "status": status, "reason": reason, "message": message,
                 "lastTransitionTime": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}
    return {"conditions": [condition]}


def node_of(machine):
    spec, name = machine["spec"], machine["metadata"]["name"]
    room = {**spec.get("resources", {}), "pods": "110"}
    control_plane = spec.get("role") == "control-plane"
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    if control_plane:
        labels["node-role.kubernetes.io/control-plane"] = ""
    taints = [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}] if control_plane else []
    return {"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
            "spec": {"providerID": provider_id(machine), "taints": taints},
            "status": {"allocatable": room, "capacity": room}}


def provider_id(machine):
    return "sim:///" + machine["metadata"]["uid"]


def provision(api, machine):
    fault = machine["metadata"].get("annotations", {}).get("machines/fault") or machine["spec"].get("fault", "none")
    if fault == "silence" or age(machine) < machine["spec"].get("bootSeconds", 0):
        return
    if fault in WORDS:
        if status := readiness(machine, "False", *WORDS[fault]):
            api.call("PATCH", path_of(machine, "/status"), {"status": status})
        return
    if fault == "dies" and age(machine) > machine["spec"].get("lifeSeconds", 5):
        if status := readiness(machine, "False", "InstanceTerminated", "it was terminated by the cloud"):
            api.call("PATCH", path_of(machine, "/status"), {"status": status})
            api.call("DELETE", "/api/v1/nodes/" + machine["metadata"]["name"])
        return
    if not machine["spec"].get("providerID"):
        if fault != "nodeless":
            api.call("POST", "/api/v1/nodes", node_of(machine))
        api.call("PATCH", path_of(machine), {"spec": {"providerID": provider_id(machine)}})
    if status := readiness(machine, "True", "Ready"):
        status["initialization"] = {"provisioned": True}
        api.call("PATCH", path_of(machine, "/status"), {"status": status})


def reconcile(api, machine):
    meta = machine["metadata"]
    held = FINALIZER in meta.get("finalizers", [])
    if meta.get("deletionTimestamp"):
        if held:
            left = [each for each in meta["finalizers"] if each != FINALIZER]
            api.call("PATCH", path_of(machine), {"metadata": {"finalizers": left}})
    elif not any(owner["kind"] == "Machine" for owner in meta.get("ownerReferences", [])):
        return  # Cluster API has not taken it yet
    elif not held:
        finalizers = [*meta.get("finalizers", []), FINALIZER]
        api.call("PATCH", path_of(machine), {"metadata": {"finalizers": finalizers}})
    else:
        provision(api, machine)


def reconcile_cluster(api, cluster):
    """It needs nothing, and is ready."""
    if status := readiness(cluster, "True", "Ready"):
        status["initialization"] = {"provisioned": True}
        api.call("PATCH", path_of(cluster, "/status", "simclusters"), {"status": status})


def main():
    api = Api(sys.argv[1])
    while True:
        for cluster in (api.call("GET", GROUP + "/simclusters") or {}).get("items", []):
            reconcile_cluster(api, cluster)
        for machine in (api.call("GET", GROUP + "/simmachines") or {}).get("items", []):
            reconcile(api, machine)
        time.sleep(0.3)


if __name__ == "__main__":
    main()
