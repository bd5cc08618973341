"""A fixed list of machines that are started and stopped by commands."""
import calendar
import os
import re
import time

from ..config import known, need, number, text_map
from ..errors import Failure, transient
from ..offers import Offer, cheapest_first, choose
from . import Driver, Machine
from .command import run

# Exit codes of sysexits.h by which a command can say more than that it failed.
MEANING = {64: ("InvalidRequest", "StartRefused"), 69: ("InsufficientCapacity", "NoCapacity"),
           73: ("QuotaExceeded", "Quota"), 77: ("Unauthenticated", "StartDenied")}
TRY_AGAIN = 75
# Of status, as an init script has it. No other: a command that cannot find out (1) must not cost a machine that runs.
GONE = 3
# What status may say of a machine that runs: that it will be taken away, when, and why.
LEAVING = re.compile(r"leaving(?:\s+(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ))?(?:\s+(.*))?")
MOST_MACHINES = 1000


class StaticMachine:
    def __init__(self, entry, defaults):
        known(entry, {"name", "offer", "providerID", "nodeName", "addresses", "resources", "labels", "pricePerHour", "start",
                      "stop", "status"}, "a machine")
        self.name = need(entry, "name", str, "a machine")
        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", self.name):
            raise SystemExit(f"machine {self.name}: a name has at most 63 of a-z 0-9 . -")
        where = f"machine {self.name}"
        self.provider_id = entry.get("providerID", "spillway-static://{machine}/{lease}")
        self.node_name = entry.get("nodeName", "{machine}")
        self.addresses = need(entry, "addresses", list, where, [])
        self.offer = Offer(entry.get("offer", self.name), text_map(entry, "resources", where), text_map(entry, "labels", where),
                           str(entry["pricePerHour"]) if "pricePerHour" in entry else None)
        self.commands = {}
        for verb in ("start", "stop", "status"):
            argv = entry.get(verb, defaults.get(verb))
            if argv is None and verb == "status":
                continue
            if not isinstance(argv, list) or not argv:
                raise SystemExit(f"{where}: {verb} must be a command as a list")
            self.commands[verb] = [str(each) for each in argv]

    def fill(self, text, lease):
        return text.replace("{machine}", self.name).replace("{lease}", lease.id)

    def as_machine(self, lease):
        return Machine(self.fill(self.provider_id, lease), self.fill(self.node_name, lease), True, list(self.addresses))


class Static(Driver):
    def __init__(self, config, state_dir):
        known(config, {"machines", "start", "stop", "status", "startSeconds", "stopSeconds", "statusSeconds", "bootstrapRefs"}, "static")
        entries = need(config, "machines", list, "static")
        if not 0 < len(entries) <= MOST_MACHINES:
            raise SystemExit(f"static: machines must have 1 to {MOST_MACHINES} elements")
        self.machines = {}
        for entry in entries:
            machine = StaticMachine(entry, config)
            if machine.name in self.machines:
                raise SystemExit(f"static: two machines are called {machine.name}")
            self.machines[machine.name] = machine
        self._check_offers()
        self.seconds = {verb: number(config, verb + "Seconds", default, "static", 3600)
                        for verb, default in (("start", 600), ("stop", 300), ("status", 30))}
        self._refs = config.get("bootstrapRefs")
        self._pids = os.path.join(state_dir, "commands")
        os.makedirs(self._pids, exist_ok=True)
        self._failed = {}  # when the start of a machine has failed last

    def _check_offers(self):
        first = {}
        for machine in self.machines.values():
            other = first.setdefault(machine.offer.id, machine)
            if other.offer != machine.offer:
                raise SystemExit(f"static: {other.name} and {machine.name} are one offer and differ in resources, labels or price")
        for what in ("node_name", "provider_id"):
            names = [getattr(machine, what).replace("{machine}", machine.name) for machine in self.machines.values()]
            if len(set(names)) < len(names):
                raise SystemExit(f"static: two machines have the same {what.replace('_', ' ')}")

    def bootstraps(self):
        return self._refs

    def offers(self, taken=frozenset()):
        offers = {}
        for machine in self.machines.values():
            free = 0 if machine.name in taken else 1
            if machine.offer.id in offers:
                offers[machine.offer.id].available += free
            else:
                offers[machine.offer.id] = Offer(machine.offer.id, machine.offer.resources, machine.offer.labels, machine.offer.price, free)
        return cheapest_first(offers.values())

    def take(self, request, taken):
        offer = choose(self.offers(taken), request)
        free = [name for name, machine in self.machines.items() if machine.offer.id == offer.id and name not in taken]
        # One that would not start is tried after the others.
        return offer, min(free, key=lambda name: self._failed.get(name, 0))

    def _machine(self, lease):
        machine = self.machines.get(lease.machine)
        if machine is None:
            raise Failure("InsufficientCapacity", "MachineRemoved", f"machine {lease.machine} is not in the list any more")
        return machine

    def _run(self, verb, work):
        lease = work.lease
        machine = self._machine(lease)
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": os.environ.get("HOME", "/"), **variables(machine, lease)}
        if "KUBECONFIG" in os.environ:
            environment["KUBECONFIG"] = os.environ["KUBECONFIG"]
        seconds = self.seconds[verb]
        if verb == "start":
            seconds = max(1, min(seconds, lease.deadline - time.time()))
        try:
            code, line = run(machine.commands[verb], environment, seconds, os.path.join(self._pids, machine.name), work.wanted)
        except (OSError, ValueError) as why:
            return 126, str(why)
        return code, line if code is not None else f"{verb} took more than {seconds:.0f} s. {line}"

    def start(self, work):
        code, line = self._run("start", work)
        if code == 0:
            return [self._machine(work.lease).as_machine(work.lease)]
        if code == TRY_AGAIN:
            raise transient(line or "the start command asks for another try")
        self._failed[work.lease.machine] = time.time()
        if code is None:
            raise Failure("InsufficientCapacity", "ProvisionTimeout", line)
        error_class, reason = MEANING.get(code, ("InsufficientCapacity", "StartFailed"))
        raise Failure(error_class, reason, line or f"the start command of {work.lease.machine} ended with exit code {code} and said nothing")

    def status(self, work):
        if work.lease.machine not in self.machines:
            return []
        if "status" in self.machines[work.lease.machine].commands:
            code, line = self._run("status", work)
            if code == GONE:
                return []
            if code != 0:
                raise transient(f"status of {work.lease.machine}: {line}")
            return [announced(self._machine(work.lease).as_machine(work.lease), line)]
        return [self._machine(work.lease).as_machine(work.lease)]

    def stop(self, work):
        if work.lease.machine is None:
            return True
        if work.lease.machine not in self.machines:
            raise transient(f"machine {work.lease.machine} is not in the list any more, so it cannot be stopped: put it back")
        code, line = self._run("stop", work)
        if code != 0:
            raise transient(f"stop of {work.lease.machine}: {line or f'exit code {code}'}")
        return True


def announced(machine, line):
    """The machine as the last line of its status has it."""
    if found := LEAVING.fullmatch(line):
        machine.leaving = found[2] or "the machine is about to be taken away"
        try:
            machine.leaves_at = calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%SZ")) if found[1] else None
        except ValueError:
            pass  # no such day
    return machine


def joined(pairs):
    return ",".join(pairs)


def variables(machine, lease):
    """What a command is told. Values hold nothing but what label keys and values may hold."""
    labels = {**machine.offer.labels, **lease.request.get("labels", {})}
    taints = [f"{each['key']}={each.get('value', '')}:{each['effect']}" for each in lease.request.get("taints", [])]
    here = machine.as_machine(lease)
    return {"SPILLWAY_LEASE": lease.id, "SPILLWAY_CLIENT": lease.client, "SPILLWAY_POOL": lease.request.get("pool", ""),
            "SPILLWAY_MACHINE": machine.name, "SPILLWAY_NODE_NAME": here.node_name, "SPILLWAY_PROVIDER_ID": here.provider_id,
            "SPILLWAY_BOOTSTRAP": lease.request.get("bootstrapRef", ""),
            "SPILLWAY_RESOURCES": joined(f"{key}={value}" for key, value in machine.offer.resources.items()),
            "SPILLWAY_LABELS": joined(f"{key}={value}" for key, value in labels.items()), "SPILLWAY_TAINTS": joined(taints)}
