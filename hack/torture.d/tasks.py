"""The tasks of a run, from its seed: what each asks for, how it must end, what its user does."""
import random

NAMESPACES = {  # name: budget (amount, action), or none
    "torture-0": None, "torture-1": None, "torture-2": None,
    "torture-warn": ("0.05", "Warn"), "torture-hold": ("0.02", "Hold"),
    "torture-deny": ("0.02", "Deny")}
ENDS = {"Succeeded", "Failed", "Cancelled"}


class Task:
    """action: what the user does so many seconds after it was created; ends: how it may end."""

    def __init__(self, ns, name, kind, spec, annotations, ends):
        self.ns, self.name, self.kind, self.ends = ns, name, kind, set(ends)
        self.action, self.after = "", 0.0
        self.made, self.deleted = 0, False  # how often it was created; whether it is to be gone
        cpu = spec.pop("cpu")
        self.body = {
            "apiVersion": "spillway.dev/v1alpha1", "kind": "TaskRequest",
            "metadata": {"name": name, "namespace": ns},
            "spec": {**spec, "template": {
                "metadata": {"annotations": {f"spillway.dev/{k}": v for k, v in annotations.items()}},
                "spec": {"containers": [{
                    "name": "task", "image": "docker.io/local/busybox:1",
                    "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}]}}}}


def make(seed, count):
    dice = random.Random(f"tasks {seed}")
    out = []
    while len(out) < count:
        out += one(dice, len(out))
    return out[:count]


def one(dice, number):
    """A task, or all of a group."""
    if dice.random() < 0.25:
        ns = dice.choice([ns for ns in NAMESPACES if NAMESPACES[ns]])
        return [with_action(dice, paid(dice, ns, number))]
    ns = dice.choice([ns for ns in NAMESPACES if not NAMESPACES[ns]])
    kind = dice.choices(["local", "burst", "retry", "deadline", "once", "exclusive", "group"],
                        [44, 22, 10, 4, 5, 2, 6])[0]
    run = f"{dice.randint(200, 5000)}ms"
    name = f"{kind}-{number}"
    spec = {"cpu": dice.choice(["1", "4", "8", "500m"]), "placement": {"policy": "LocalOnly"},
            "priority": dice.choice([0, 0, 0, 5])}
    if kind == "group":
        size = dice.randint(2, 5)
        spec["group"] = {"name": name, "size": size, "deadlineSeconds": 60}
        return [Task(ns, f"{name}-{i}", kind, dict(spec), {"run-for": run}, ["Succeeded"])
                for i in range(size)]
    if kind == "burst":
        spec = burst_spec(dice)
    if kind == "retry":
        spec["retry"] = {"limit": dice.randint(1, 2), "backoffSeconds": 1}
        task = Task(ns, name, kind, spec, {"run-for": "300ms", "exit-code": "3"}, ["Failed"])
    elif kind == "deadline":
        spec["activeDeadlineSeconds"] = 3
        task = Task(ns, name, kind, spec, {"run-for": "600s"}, ["Failed"])
    elif kind == "once":
        spec["retry"] = {"lossLimit": 0}
        task = Task(ns, name, kind, spec, {"run-for": run}, ["Succeeded", "Failed"])
    else:
        spec["exclusive"] = kind == "exclusive"
        task = Task(ns, name, kind, spec, {"run-for": run}, ["Succeeded"])
    return [with_action(dice, task)]


def burst_spec(dice):
    """Only a bought server has the capability."""
    return {"cpu": dice.choice(["500m", "1", "2"]),
            "requirements": [{"key": "torture", "operator": "In", "values": ["cloud"]}]}


def paid(dice, ns, number):
    """May cost money, in a namespace with a budget."""
    spec = burst_spec(dice)
    spec["activeDeadlineSeconds"] = 300
    ends = ["Succeeded"]
    if ns == "torture-hold":
        del spec["requirements"]  # waits for a server without a price
    if ns == "torture-deny":
        ends = ["Succeeded", "Failed"]
    return Task(ns, f"paid-{number}", "paid", spec, {"run-for": f"{dice.randint(200, 4000)}ms"}, ends)


def with_action(dice, task):
    action = dice.choices(["", "cancel", "suspend", "delete", "again"], [80, 5, 6, 4, 5])[0]
    task.action, task.after = action, dice.uniform(0, 8)
    if action == "cancel":
        task.ends |= {"Cancelled"}
    return task
