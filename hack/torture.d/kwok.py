"""The simulated kubelets: started again so that they take their nodes back, and watched over.

kwok holds a Lease for each node and takes over those of a process that was killed only when they
have run out; the pods that were there then are sometimes left alone for minutes. So the Leases of
the dead go first, and kwok is started once more where pods stand still. Neither is a fault.
"""
import threading
import time

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
STILL = 45  # seconds; no task but those with a deadline runs for longer than five


class Kwok:
    def __init__(self, world):
        self.world, self.daemon = world, world.daemons["kwok"]
        self.lock = threading.Lock()
        self.again, self.since = 0, time.time()

    def start(self):
        """Not while the API server or etcd is being tortured: the caller sees to that."""
        self.world.api.call("DELETE", LEASES, timeout=60)
        self.daemon.start()
        self.since = time.time()

    def look(self, faults):
        """Starts it again if pods stand still and it is not kwok that is being tortured."""
        world, now = self.world, time.time()
        if now - self.since < STILL or not faults["kwok"].acquire(blocking=False):
            return
        try:
            if self._stuck(now) and world.api.alive():
                self.again += 1
                self.daemon.kill()
                self.start()
        finally:
            faults["kwok"].release()

    def _stuck(self, now):
        with self.world.recorder.lock:
            last = {}
            for _, when, key, state in self.world.recorder.history[-20_000:]:
                if key.startswith("/registry/pods/"):
                    last[key] = (when, state)
        return any(state and state["node"] and now - when > STILL and
                   state["phase"] in ("Pending", "Running") and
                   not state["name"].startswith("deadline-") and "hostile" not in state["ns"]
                   for when, state in last.values())
