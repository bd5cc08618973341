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

# What is watched, and what is kept of it for the checks.
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
        self.threads = [threading.Thread(target=self._follow, args=each, daemon=True)
                        for each in PREFIXES.items()]

    def start(self):
        for thread in self.threads:
            thread.start()

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

    def _follow(self, prefix, keep):
        revision = 1
        while not self.ended:
            try:
                revision = self._stream(prefix, keep, revision)
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.3)

    def _stream(self, prefix, keep, revision):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        key = prefix.encode()
        end = key[:-1] + bytes([key[-1] + 1])
        ask = {"create_request": {"key": encode(key), "range_end": encode(end),
                                  "start_revision": str(revision)}}
        connection.request("POST", "/v3/watch", json.dumps(ask))
        answer = connection.getresponse()
        try:
            while not self.ended:
                line = answer.readline()
                if not line:
                    return revision
                result = json.loads(line).get("result", {})
                if "compact_revision" in result:
                    self.gaps.append((prefix, revision, result["compact_revision"]))
                    return int(result["compact_revision"])
                for event in result.get("events", []):
                    self._take(event, keep)
                    revision = int(event["kv"]["mod_revision"]) + 1
        except TimeoutError:
            pass  # quiet, or stopped
        finally:
            connection.close()
        return revision

    def _take(self, event, keep):
        kv = event["kv"]
        key = base64.b64decode(kv["key"]).decode()
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
