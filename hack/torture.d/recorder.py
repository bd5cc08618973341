"""Every state of every object, in the one order in which they were written.

Read from etcd and not from the API server: a watch of an API server that was killed cannot be
continued by the next one, so what happens in between would be missed. Needs `hack/cluster up
--recorded`, which stores all objects as JSON.
"""
import base64
import http.client
import json
import pathlib
import threading
import time

# What is kept, and what of it. All keys are watched in one stream: one that is quiet would be at a revision that
# etcd has compacted when it must be opened again.
ROOT = b"/registry/"
PREFIXES = {
    "/registry/spillway.dev/": lambda o: {
        "kind": o.get("kind"), "spec": slim_spec(o), "status": o.get("status") or {}},
    "/registry/karpenter.sh/nodeclaims/": lambda o: {
        "kind": "NodeClaim", "launched": bool(o.get("status", {}).get("providerID")), "ready": ready(o)},
    "/registry/pods/torture": lambda o: {
        "kind": "Pod", "node": o["spec"].get("nodeName", ""),
        "phase": o.get("status", {}).get("phase", "")},
    "/registry/minions/": lambda o: {"kind": "Node", "ready": ready(o), "since": since(o)},
    "/registry/leases/spillway-system/": lambda o: {"kind": "Lease", "spec": o.get("spec", {})},
}


def slim_spec(o):
    spec = o.get("spec")
    return {k: v for k, v in spec.items() if k != "template"} if isinstance(spec, dict) else {}


def ready(o):
    for condition in o.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready":
            return condition["status"] == "True"
    return False


def since(o):
    """When that changed last, as its writer says."""
    for condition in o.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready":
            return condition.get("lastTransitionTime")


def encode(key):
    return base64.b64encode(key).decode()


class Recorder:
    """history: [revision, time, key, state or None where it was deleted]; now: state by key."""

    def __init__(self, cluster, file):
        self.port = int((pathlib.Path(cluster) / "port-base").read_text())
        self.file = open(file, "w", encoding="utf-8")
        self.lock = threading.Lock()
        self.history, self.now, self.gaps = [], {}, []
        self.seen = time.monotonic()
        self.ended = False

    def start(self):
        threading.Thread(target=self._follow, daemon=True).start()

    def stop(self):
        self.ended = True
        self.file.flush()

    def items(self, kind):
        """States of that kind as they are now: (key, state)."""
        with self.lock:
            return [(k, s) for k, s in self.now.items() if s["kind"] == kind]

    def leader(self):
        for key, state in self.items("Lease"):
            if key.endswith("/spillway.dev"):
                return state["spec"].get("holderIdentity", "")
        return ""

    def _follow(self):
        revision = 1
        while not self.ended:
            revision = self._stream(revision)

    def _stream(self, revision):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        ask = {"create_request": {"key": encode(ROOT), "range_end": encode(ROOT[:-1] + b"0"),
                                  "start_revision": str(revision)}}
        try:
            connection.request("POST", "/v3/watch", json.dumps(ask))
            answer = connection.getresponse()
            while not self.ended:
                line = answer.readline()
                if not line:
                    return revision
                result = json.loads(line).get("result", {})
                if "compact_revision" in result:
                    self.gaps.append((revision, result["compact_revision"]))
                    return int(result["compact_revision"])
                for event in result.get("events", []):
                    self._take(event)
                    revision = int(event["kv"]["mod_revision"]) + 1
        except (OSError, http.client.HTTPException, ValueError):
            pass  # stopped, or killed: from there on
        finally:
            connection.close()
        time.sleep(0.3)
        return revision

    def _take(self, event):
        kv = event["kv"]
        key = base64.b64decode(kv["key"]).decode()
        keep = next((keep for prefix, keep in PREFIXES.items() if key.startswith(prefix)), None)
        if keep is None:
            return
        state = None
        if event.get("type") != "DELETE":
            raw = base64.b64decode(kv["value"])
            try:
                whole = json.loads(raw)
            except ValueError:
                # Written by an API server that stores other than JSON; it would be missing in the checks.
                self.gaps.append((key, kv["mod_revision"], "not JSON"))
                return
            meta = whole["metadata"]
            state = keep(whole)
            owners = [r for r in meta.get("ownerReferences", []) if r.get("controller")]
            state.update(name=meta["name"], ns=meta.get("namespace", ""), uid=meta["uid"],
                         created=meta["creationTimestamp"], labels=meta.get("labels", {}),
                         deleting="deletionTimestamp" in meta,
                         owner=owners[0]["uid"] if owners else "")
        entry = [int(kv["mod_revision"]), time.time(), key, state]
        with self.lock:
            before = self.now.get(key)
            if state is None:
                self.now.pop(key, None)
            else:
                self.now[key] = state
            if kind_of(state, before) == "Node" and state and before and state["ready"] == before["ready"]:
                return  # a heartbeat
            self.history.append(entry)
            self.file.write(json.dumps(entry) + "\n")
            self.seen = time.monotonic()


def kind_of(state, before):
    return (state or before or {}).get("kind")
