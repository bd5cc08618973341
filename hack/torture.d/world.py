"""The cluster under torture: its daemons, two replicas on wires of their own, pools, namespaces."""
import pathlib
import threading
import time

from api import GROUP, Api
from checks import phase_of
from kwok import Kwok
from network import Silent, Wire
from processes import Daemon, Replica, memory_mib
from recorder import Recorder
from tasks import NAMESPACES

PRICE = 0.40  # of the dearest pool, per hour
# name: (priority, KWOKNodeClass, spec)
POOLS = {"first": (10, "default", {"maxServers": 6, "pricePerHour": "0.30"}),
         "second": (0, "default", {"maxServers": 6, "pricePerHour": "0.40"}),
         "without-capacity": (20, "there-is-none", {"maxServers": 3, "pricePerHour": "0.10"})}


class World:
    def __init__(self, options):
        self.out = pathlib.Path(options.out)
        self.nodes = options.nodes
        self.api = Api(options.cluster)
        self.daemons = {name: Daemon(options.cluster, name) for name in (
            "etcd", "kube-apiserver", "kube-controller-manager", "kwok", "karpenter")}
        self.recorder = Recorder(options.cluster, self.out / "history.jsonl")
        self.wires = {name: Wire(self.api.port) for name in "ab"}
        self.silent = Silent()
        self.replicas = [Replica(name, self._argv(options, name), self.out) for name in "ab"]
        self.kwok = Kwok(self)
        self.guards = []  # what else is called every five seconds
        self.ended = threading.Event()
        self.samples = []  # (time, replica, life, RSS in MiB, what of that is data)

    def _argv(self, options, name):
        config = self.out / f"{name}.kubeconfig"
        text = pathlib.Path(options.kubeconfig).read_text()
        config.touch(mode=0o600)
        config.write_text(text.replace(f"127.0.0.1:{self.api.port}",
                                       f"127.0.0.1:{self.wires[name].port}"))
        return [options.binary, "--kubeconfig", str(config), "--leader-elect",
                "--metrics-bind-address", "0", "--health-probe-bind-address", "0"]

    def start(self):
        self.recorder.start()
        for name, budget in NAMESPACES.items():
            self.api.create("/api/v1/namespaces", {
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": {"torture": "tasks"}}})
            if budget:
                self.api.create(f"{GROUP}/namespaces/{name}/budgets", {
                    "apiVersion": "spillway.dev/v1alpha1", "kind": "Budget",
                    "metadata": {"name": "month"},
                    "spec": {"amount": budget[0], "action": budget[1], "period": "Month"}})
        for name, (priority, node_class, spec) in POOLS.items():
            self.api.create(f"{GROUP}/serverpools", pool(name, priority, node_class, spec))
        for replica in self.replicas:
            replica.start()
        threading.Thread(target=self._watch_over, daemon=True).start()
        self.wait(60, "all servers are ready", self._servers_ready)

    def _servers_ready(self):
        ready = [k for k, s in self.recorder.items("RegisteredServer")
                 if phase_of(s) == "Ready"]
        return len(ready) >= self.nodes

    def wait(self, seconds, what, condition):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds} s: {what}")
            time.sleep(0.3)

    def _watch_over(self):
        """Starts again what has ended, and measures the replicas."""
        turn = 0
        while not self.ended.wait(0.5):
            for process in [*self.daemons.values(), *self.replicas]:
                process.look()
            turn += 1
            if turn % 10 == 0:
                self.samples += [(time.time(), r.name, r.lives, *sizes) for r, sizes in self.memory()]
                for guard in self.guards:
                    guard()

    def memory(self):
        return [(r, memory_mib(r.child.pid)) for r in self.replicas if r.running()]

    def leading(self):
        """The replica that leads, or None."""
        holder = self.recorder.leader()
        return next((r for r in self.replicas if r.running() and r.holds(holder)), None)

    def stop(self):
        """The replicas end as asked; the cluster stays for hack/cluster to end."""
        self.ended.set()
        for wire in self.wires.values():
            wire.heal()
        for replica in self.replicas:
            replica.closed = True  # whatever a fault that is under way may want
            if replica.running():
                replica.stop()
            replica.note()
        self.recorder.stop()


def pool(name, priority, node_class, spec):
    return {
        "apiVersion": "spillway.dev/v1alpha1", "kind": "ServerPool", "metadata": {"name": name},
        "spec": {
            "priority": priority, "idleSecondsBeforeRelease": 3, "provisionTimeoutSeconds": 40,
            "template": {"resources": {"cpu": "3", "memory": "4Gi"},
                         "capabilities": {"torture": "cloud"}},
            "backend": {"karpenter": {
                "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass",
                                 "name": node_class},
                "requirements": [
                    {"key": "node.kubernetes.io/instance-type", "operator": "In",
                     "values": ["c-4x-amd64-linux"]},
                    {"key": "karpenter.sh/capacity-type", "operator": "In",
                     "values": ["on-demand"]}]}}, **spec}}
