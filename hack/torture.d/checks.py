"""What must hold, judged from the recorded objects alone. Each check returns what is broken."""
import collections
import datetime

from tasks import ENDS, NAMESPACES

GRACE = 60  # seconds that a node may be unready until what runs there counts as lost
REQUEST_LABEL = "spillway.dev/request"
ENDED = {"Released", "Failed"}


def key_of(task):
    return f"/registry/spillway.dev/taskrequests/{task.ns}/{task.name}"


def phase_of(state):
    status = state.get("status")
    return status.get("phase", "") if isinstance(status, dict) else ""


def unfinished(now, tasks):
    return [t for t in tasks if not t.deleted and phase_of(now.get(key_of(t), {})) not in ENDS]


def lost(now, tasks):
    """Each task has ended as it must, or was deleted by its user."""
    broken = []
    for task in tasks:
        state = now.get(key_of(task))
        if task.deleted:
            if state is not None:
                broken.append(f"{task.ns}/{task.name} was deleted and is there")
            continue
        phase = phase_of(state or {})
        if phase not in task.ends:
            status = (state or {}).get("status", {})
            why = [c.get("message", "") for c in status.get("conditions", [])
                   if c["type"] in ("Ready", "Failed")]
            broken.append(f"{task.ns}/{task.name} ({task.kind}, {task.action or 'left alone'}) is "
                          f"'{phase}' and not {sorted(task.ends)}: {status.get('result')} {why}")
    return broken


class Replay:
    """Goes through the history in the order of its revisions, and keeps what is then the case."""

    def __init__(self, history):
        self.objects = {}
        self.unready = {}  # node: since when
        self.pods = collections.defaultdict(dict)  # task UID: {pod name: state}
        self.ran = collections.defaultdict(set)  # task UID: pods that ran
        self.suspended = {}  # task UID: the last revision at which it was
        self.made = {}  # pod UID: the revision of its creation
        self.stopped = set()  # pods that their task's user has stopped, by UID
        self.claims = collections.defaultdict(set)  # ScaleRequest UID: UIDs of NodeClaims
        self.launched = set()  # UIDs of ScaleRequests for which a server was had
        self.requests = {}  # UID: name of every ScaleRequest that is not hostile
        self.hostile = set()  # UIDs of ScaleRequests that no operator has made
        self.twice, self.bought = [], []
        for revision, when, key, state in sorted(history, key=lambda entry: entry[0]):
            before = self.objects.get(key)
            kind = (state or before or {}).get("kind")
            handle = getattr(self, f"_{kind}", None)
            if handle:
                handle(revision, when, before, state)
            if state is None:
                self.objects.pop(key, None)
            else:
                self.objects[key] = state

    def _Node(self, revision, when, before, state):
        if state is None or state["ready"]:
            self.unready.pop((before or state)["name"], None)
        else:
            self.unready.setdefault(state["name"], seconds(state["since"]) if state["since"] else when)

    def _may_run(self, pod, when):
        if pod["phase"] in ("Succeeded", "Failed"):
            return False
        if not pod["node"]:
            return True
        there = f"/registry/minions/{pod['node']}" in self.objects
        # Times are whole seconds.
        return there and when - self.unready.get(pod["node"], when) < GRACE - 2

    def _Pod(self, revision, when, before, state):
        pods = self.pods[(before or state)["owner"]]
        if state is None:
            pods.pop(before["name"], None)
            return
        if before is None and state["owner"]:
            for other in pods.values():
                if self._may_run(other, seconds(state["created"])):
                    self.twice.append(
                        f"{state['ns']}/{state['name']} was made at revision {revision} while "
                        f"{other['name']} may still run on {other['node'] or 'no node yet'} "
                        f"({other['phase']}{', is being deleted' if other['deleting'] else ''})")
        pods[state["name"]] = state
        made = self.made.setdefault(state["uid"], revision)
        if state["phase"] in ("Running", "Succeeded", "Failed"):
            self.ran[state["owner"]].add(state["uid"])
        ended = before is not None and before["phase"] in ("Succeeded", "Failed")
        if state["deleting"] and not ended and self.suspended.get(state["owner"], -1) >= made:
            self.stopped.add(state["uid"])

    def _TaskRequest(self, revision, when, before, state):
        if state is not None and state["spec"].get("suspend") is True:
            self.suspended[state["uid"]] = revision

    def _NodeClaim(self, revision, when, before, state):
        request = (state or before)["labels"].get(REQUEST_LABEL)
        # A hostile one's status was replaced by nonsense, so its first server is forgotten.
        if state is None or not request or request in self.hostile:
            return
        if before is None and request in self.launched:
            self.bought.append(f"{state['name']} is another NodeClaim of {request} "
                               f"({self.requests.get(request)}), made at revision {revision}")
        task = self.requests.get(request, "").rpartition("-")[0]
        others = [c for c in self.objects.values() if c["kind"] == "NodeClaim" and not c["ready"]
                  and not c["deleting"] and c["name"] != state["name"]
                  and self.requests.get(c["labels"].get(REQUEST_LABEL), "").rpartition("-")[0] == task]
        if before is None and task and others:
            self.bought.append(f"{state['name']} was made at revision {revision} for {task} while "
                               f"{others[0]['name']} is under way for the same")
        self.claims[request].add(state["uid"])
        if state["launched"]:
            self.launched.add(request)

    def _ScaleRequest(self, revision, when, before, state):
        if "hostile" in (state or before)["name"]:
            self.hostile.add((state or before)["uid"])
        elif state is not None:
            self.requests[state["uid"]] = state["name"]


def more_than_once(replay, tasks):
    """What must not run again has run once at most, unless its user has suspended it as it ran."""
    names = {(t.ns, t.name) for t in tasks if t.kind == "once"}
    broken = []
    for state in replay.objects.values():
        if state["kind"] == "TaskRequest" and (state["ns"], state["name"]) in names:
            ran = len(replay.ran[state["uid"]] - replay.stopped)
            if ran > 1:
                broken.append(f"{state['ns']}/{state['name']} (lossLimit 0) ran {ran} times")
    return broken


def unreleased(now):
    """Purchases that are still there."""
    out = []
    for key, state in now.items():
        if state["kind"] == "NodeClaim" and state["labels"].get(REQUEST_LABEL):
            out.append(f"NodeClaim {state['name']}")
        elif state["kind"] == "ScaleRequest" and "hostile" not in state["name"]:
            if phase_of(state) not in ENDED:
                out.append(f"ScaleRequest {state['name']} is {phase_of(state)}")
        elif state["kind"] == "RegisteredServer" and state["spec"].get("origin") == "Cloud":
            if "hostile" not in state["name"]:
                out.append(f"RegisteredServer {state['name']}")
    return out


def money(text):
    try:
        return round(float(text or 0) * 1e6)
    except (TypeError, ValueError):
        return 0


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def budgets(history, now, price):
    """Spent is the sum of what the tasks say; of deleted ones at most their lives' price."""
    last, gone = {}, {}
    for _, when, key, state in history:
        if "/taskrequests/" not in key:
            continue
        if state is not None:
            last[state["uid"]] = (key, state)
        else:
            for uid, (other, _) in last.items():
                if other == key:
                    gone.setdefault(uid, when)
    broken = []
    for key, budget in now.items():
        if budget["kind"] != "Budget" or not NAMESPACES.get(budget["ns"]):
            continue
        tasks = [(uid, s) for uid, (_, s) in last.items() if s["ns"] == budget["ns"]]
        cost = lambda s: money((s["status"] or {}).get("cost"))
        least = sum(cost(s) for uid, s in tasks if uid not in gone)
        most = least + sum(max(cost(s), 1e6 * price / 3600 * (gone[uid] - seconds(s["created"]) + 2))
                           for uid, s in tasks if uid in gone)
        spent, rest = money(budget["status"].get("spent")), money(budget["status"].get("committed"))
        slack = len(tasks) + 1
        if not least - slack <= spent <= most + slack:
            broken.append(f"Budget of {budget['ns']}: spent {spent / 1e6}, its tasks say "
                          f"{least / 1e6} to {most / 1e6}")
        if rest != 0:
            broken.append(f"Budget of {budget['ns']}: {rest / 1e6} is committed to nothing")
    return broken


def too_many_writes(run, history):
    """Successful writes of a task's objects against what its life explains; see docs/torture.md."""
    pods, made = collections.Counter(), collections.Counter()
    known = set()
    for _, _, key, state in history:
        if state is None or state["uid"] in known:
            continue
        known.add(state["uid"])
        if state["kind"] == "Pod":
            pods[(state["ns"], state["name"].rpartition("-")[0])] += 1
        elif state["kind"] == "TaskRequest":
            made[(state["ns"], state["name"])] += 1
    broken = []
    for (ns, name), counts in run.task_writes.items():
        bound = 6 * made[(ns, name)] + 6 * pods[(ns, name)] + 12
        if sum(counts.values()) > bound:
            broken.append(f"{ns}/{name}: {dict(counts)}, with {pods[(ns, name)]} pods: "
                          f"more than {bound}")
    return broken
