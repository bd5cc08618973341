"""Faults on purpose, for tests; only with --test-faults. PUT /test/faults takes a list of rules, GET tells them with what is left.

{"method": "PUT", "path": "^/v1/leases/", "times": 1, ...} and one or more of:
  "delaySeconds": 5          the answer comes late
  "answer": {"status": 429, "retryAfterSeconds": 3, "class": "Transient", "code": "Busy", "message": "..."}     nothing is done
  "drop": "before" | "after" the connection is closed; after: what was asked is done and the answer is lost
  "nonsense": "text"         is done, and answered with 200 and that text
  "forget": true             the lease of the path is forgotten first, and its machine stopped: it has vanished
  "lease": {"class": "QuotaExceeded", "code": "Quota", "message": "..."} | "stall" | {"leavesIn": 120, "message": "spot notice"}
                             what becomes of the lease of the path: Failed, Provisioning for ever, or (if Active) Leaving after so many
                             seconds (null: it does not say when)
"""
import re
import threading
import time

from .errors import CLASSES, Failure, invalid
from .service import Service
from .store import timestamp

KEYS = {"method", "path", "times", "delaySeconds", "answer", "drop", "nonsense", "forget", "lease"}


class Faults:
    def __init__(self, service: Service):
        self._service, self._lock = service, threading.Lock()
        self._rules, self._planned = [], {}
        service.planned = self._planned.get

    def set(self, rules):
        if not isinstance(rules, list) or len(rules) > 100:
            raise invalid("rules must be a list of at most 100", status=400)
        for rule in rules:
            if not isinstance(rule, dict) or set(rule) - KEYS:
                raise invalid(f"a rule is a map with {', '.join(sorted(KEYS))}", status=400)
            for failure in (rule.get("answer"), rule.get("lease")):
                if isinstance(failure, dict) and failure.get("class", "Transient") not in CLASSES:
                    raise invalid(f"class must be one of {', '.join(CLASSES)}", status=400)
        with self._lock:
            self._rules = [dict(rule) for rule in rules]

    def rules(self):
        with self._lock:
            return [dict(rule) for rule in self._rules]

    def take(self, method, path):
        """The first rule that matches; an empty one if there is none."""
        with self._lock:
            for rule in self._rules:
                if rule.get("method", method) != method or not re.search(rule.get("path", ""), path) or rule.get("times") == 0:
                    continue
                if "times" in rule:
                    rule["times"] -= 1
                return rule
        return {}

    def before(self, rule, lease_id):
        """Raises what is answered instead of doing anything."""
        time.sleep(min(60, rule.get("delaySeconds", 0)))
        if rule.get("forget") and lease_id:
            self._forget(lease_id)
        self._plan(rule.get("lease"), lease_id)
        if "answer" in rule:
            answer = rule["answer"]
            raise Failure(answer.get("class", "Transient"), answer.get("code", "Fault"), answer.get("message", "a fault on purpose"),
                          answer.get("status", 503), answer.get("retryAfterSeconds"))

    def _plan(self, plan, lease_id):
        if not plan or not lease_id:
            return
        if isinstance(plan, dict) and "leavesIn" in plan:
            self._service.store.change(lease_id, lambda lease: _leave(lease, plan))
        elif plan == "stall":
            self._planned[lease_id] = "stall"
        else:
            self._planned[lease_id] = Failure(plan.get("class", "InsufficientCapacity"), plan.get("code", "Fault"),
                                              plan.get("message", "a fault on purpose"))

    def _forget(self, lease_id):
        lease = self._service.store.change(lease_id, lambda each: setattr(each, "state", "Releasing"))
        while lease is not None and lease.state != "Released":
            self._service.once()
            time.sleep(0.1)
            lease = self._service.store.get(lease_id)
        self._service.store.forget(lease_id)


def _leave(lease, plan):
    if lease.state != "Active":
        return False
    lease.node = {**lease.node, "state": "Leaving"}
    if plan["leavesIn"] is not None:
        lease.node["leavesAt"] = timestamp(time.time() + plan["leavesIn"])
    lease.error = Failure("InsufficientCapacity", "Leaving", plan.get("message", "a fault on purpose")).body()
    return True
