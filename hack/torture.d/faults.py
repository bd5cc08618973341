"""Which faults there are, when each comes, and how it is done and mended."""
import random
import signal
import threading
import time

import policies

# Those that a short run has as well: one for each promise.
FIRST = ["operator kill leader", "apiserver kill", "etcd kill", "operator stop leader", "kwok kill",
         "karpenter kill", "network mute leader", "apiserver stop", "policy pods",
         "network cut leader", "policy statuses", "etcd stop"]
REST = ["operator kill leader", "operator kill other", "operator stop leader", "operator stop other",
        "operator term leader", "apiserver kill", "apiserver stop", "etcd kill", "etcd stop",
        "kwok kill", "kwok stop", "karpenter kill", "karpenter stop", "controllers kill",
        "network cut leader", "network mute leader", "network close leader", "network cut other",
        "policy pods", "policy pod-deletions", "policy statuses", "policy scalerequests",
        "policy scale-statuses", "policy nodeclaims", "policy registrations", "webhook broken",
        "webhook hangs", "node delete"]
DAEMONS = {"apiserver": "kube-apiserver", "etcd": "etcd", "kwok": "kwok", "karpenter": "karpenter",
           "controllers": "kube-controller-manager"}
# How long each lasts, in seconds: (least, most).
LASTS = {"apiserver kill": (0, 1), "apiserver stop": (1, 6), "etcd kill": (0, 2), "etcd stop": (1, 6),
         "operator kill leader": (0, 3), "operator kill other": (0, 2), "operator term leader": (0, 2),
         "operator stop leader": (1, 22), "operator stop other": (1, 22),
         "network cut leader": (0, 0), "network cut other": (0, 0), "node delete": (1, 20)}


class Fault:
    def __init__(self, number, kind, gap, seconds, dice):
        self.number, self.kind, self.gap, self.seconds, self.dice = number, kind, gap, seconds, dice
        self.at = self.mended = None

    @property
    def target(self):
        return self.kind.split()[0]


def schedule(seed, count):
    """The same for the same seed: kinds in shuffled decks, so that each comes about as often."""
    dice = random.Random(f"faults {seed}")
    kinds, deck = [], list(FIRST)
    while len(kinds) < count:
        dice.shuffle(deck)
        kinds += deck
        deck = list(REST)
    return [Fault(i, kind, dice.uniform(0.3, 3), dice.uniform(*LASTS.get(kind, (2, 10))),
                  dice.random()) for i, kind in enumerate(kinds[:count])]


class Faults:
    """Carries them out. Of one target one at a time; those of different targets overlap."""

    def __init__(self, world, todo, note):
        self.world, self.todo, self.note = world, todo, note
        self.locks = {target: threading.Lock() for target in
                      ["operator", "network", "policy", "webhook", "node", *DAEMONS]}
        self.threads = []
        self.failed = []
        world.guards.append(lambda: world.kwok.look(self.locks))

    def run(self, between):
        """between(i): called before each."""
        for i, fault in enumerate(self.todo):
            between(i)
            time.sleep(fault.gap)
            lock = self.locks[fault.target]
            if not lock.acquire(timeout=180):
                self.failed.append(f"fault {i}: the one before it on {fault.target} does not end")
                continue
            thread = threading.Thread(target=self._one, args=(fault, lock), daemon=True)
            self.threads.append(thread)
            thread.start()
        for thread in self.threads:
            thread.join(300)

    def _one(self, fault, lock):
        try:
            self.note(f"fault {fault.number + 1}/{len(self.todo)}: {fault.kind} ({fault.seconds:.1f} s)")
            fault.at = time.time()
            getattr(self, "_" + (fault.target if fault.target not in DAEMONS else "daemon"))(fault)
            fault.mended = time.time()
        except Exception as error:
            self.failed.append(f"fault {fault.number} ({fault.kind}): {error!r}")
        finally:
            lock.release()

    def _daemon(self, fault):
        daemon = self.world.daemons[DAEMONS[fault.target]]
        if fault.kind.endswith("kill"):
            daemon.kill()
            time.sleep(fault.seconds)
            self._start(fault, daemon)
        else:
            daemon.signal(signal.SIGSTOP)
            time.sleep(fault.seconds)
            daemon.signal(signal.SIGCONT)
        if fault.target in ("apiserver", "etcd"):
            deadline = time.time() + 300
            while not self.world.api.alive():
                if time.time() > deadline:
                    raise TimeoutError("the API server does not become ready again")
                time.sleep(0.2)
            time.sleep(1)

    def _start(self, fault, daemon):
        if fault.target != "kwok":
            return daemon.start()
        with self.locks["apiserver"], self.locks["etcd"]:
            self.world.kwok.start()
            time.sleep(2)

    def _replica(self, fault):
        """The one that leads, or the other; while nobody leads, by the dice."""
        holder = self.world.recorder.leader()
        replicas = self.world.replicas
        leads = [r for r in replicas if r.running() and r.holds(holder)]
        if not leads:
            return replicas[int(fault.dice * len(replicas))]
        return leads[0] if fault.kind.endswith("leader") else next(
            r for r in replicas if r is not leads[0])

    def _operator(self, fault):
        replica = self._replica(fault)
        verb = fault.kind.split()[1]
        fault.holder = self.world.recorder.leader() if replica.holds(self.world.recorder.leader()) else ""
        if verb == "stop":
            replica.signal(signal.SIGSTOP)
            time.sleep(fault.seconds)
            replica.signal(signal.SIGCONT)
            return
        if verb == "kill":
            fault.at = time.time()
            replica.kill()
        else:
            replica.stop()
        time.sleep(fault.seconds)
        replica.start()

    def _network(self, fault):
        wire = self.world.wires[self._replica(fault).name]
        getattr(wire, fault.kind.split()[1])()
        time.sleep(fault.seconds)
        wire.heal()

    def _policy(self, fault):
        mend = policies.refuse(self.world.api, fault.kind.split()[1])
        time.sleep(fault.seconds)
        mend()

    def _webhook(self, fault):
        how = fault.kind.split()[1]
        mend = policies.webhook(self.world.api, how, 9 if how == "broken" else self.world.silent.port)
        time.sleep(fault.seconds)
        mend()

    def _node(self, fault):
        """A simulated node vanishes, with what ran there, and comes back under its name."""
        path = f"/api/v1/nodes/kwok-{int(fault.dice * self.world.nodes)}"
        node = self.world.api.get(path)
        self.world.api.delete(path)
        time.sleep(fault.seconds)
        kept = {"name": node["metadata"]["name"], "labels": node["metadata"]["labels"],
                "annotations": node["metadata"]["annotations"]}
        self.world.api.create("/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node", "metadata": kept, "status": {
                key: node["status"][key] for key in ("allocatable", "capacity")}})
