"""The calls of the contract, without HTTP, and the work that they leave to be done."""
import concurrent.futures
import sys
import threading
import time
import traceback

from .drivers import Interrupted, Work
from .errors import Failure, bounded, invalid, not_found, transient
from .offers import cheapest_first, quantity
from .store import Lease, same_request

WORKERS = 16
LONGEST_PAUSE = 60
FORGET_FAILED_SECONDS = 86400
# A longer time between two looks is one in which nobody could renew a lease: the service was down, or the clock was set.
LONGEST_GAP_SECONDS = 60


class Service:
    def __init__(self, store, driver, quota=None, remember_seconds=7200, look_seconds=10, clock=time.time):
        self.store, self.driver, self.clock = store, driver, clock
        self._quota = quota or {}
        self._look_seconds = look_seconds
        self._remember = max(3600, remember_seconds)
        self._pool = concurrent.futures.ThreadPoolExecutor(WORKERS)
        self._busy, self._next, self._tries = set(), {}, {}
        self._lock, self._wake, self._stopping = threading.Lock(), threading.Event(), False
        self._swept, self._looked = 0, 0.0
        self.planned = None  # for tests: a failure to meet instead of starting (see faults.py)

    # --- what clients call

    def offers(self, least, zone):
        fit = [offer for offer in self.driver.offers(self.store.machines())
               if offer.amount("cpu") >= least.get("cpu", 0) and offer.gpus() >= least.get("gpu", 0)
               and offer.amount("memory") >= least.get("memoryMiB", 0) * quantity("1Mi")
               and zone in (None, offer.labels.get("topology.kubernetes.io/zone", ""))]
        return [offer.body() for offer in cheapest_first(fit)[:1000]]

    def put(self, lease_id, request):
        """(lease, is new)"""
        now = self.clock()
        with self.store.transaction():
            there = self.store.get(lease_id)
            if there is not None:
                if not same_request(there, request):
                    raise invalid(f"lease {lease_id} was asked for with another body; look at it with GET", "LeaseDiffers", 409)
                if there.renew(now):
                    self.store.put(there)
                return there, False
            lease = self._admit(lease_id, request, now)
            self.store.put(lease)
        self._wake.set()
        return lease, True

    def _admit(self, lease_id, request, now):
        refs = self.driver.bootstraps()
        if refs is not None and request.get("bootstrapRef", "default") not in refs:
            raise invalid(f"there is no bootstrapRef {request.get('bootstrapRef', 'default')}", "NoSuchBootstrap")
        client = request["clientRef"]
        most = self._quota.get("clients", {}).get(client, self._quota.get("default", 1000))
        if (has := self.store.count(client)) >= most:
            raise Failure("QuotaExceeded", "Quota", f"{client} has {has} machines and may have {most}", 403)
        if self.store.full():
            raise transient("this service remembers as many leases as it can", "Full", 503, 60)
        offer, machine = self.driver.take(request, self.store.machines())
        lease = Lease(lease_id, client, request, now, now + request.get("provisionTimeoutSeconds", 900), offer.id, offer.price,
                      machine=machine)
        lease.renew(now)
        return lease

    def get(self, lease_id):
        lease = self.store.get(lease_id)
        if lease is None:
            raise not_found(lease_id)
        return lease

    def page(self, client, after, limit):
        """(leases, is there more)"""
        found = self.store.page(client, after, limit + 1)
        return found[:limit], len(found) > limit

    def delete(self, lease_id):
        lease = self.store.change(lease_id, _release)
        if lease is None:
            raise not_found(lease_id)
        self._hurry(lease_id)
        return lease

    def renew(self, client):
        with self.store.transaction():
            renewed = [lease for lease in self.store.of_client(client) if lease.renew(self.clock())]
            for lease in renewed:
                self.store.put(lease)
        return len(renewed)

    # --- what is done about it

    def run(self):
        """Until stop()."""
        while not self._stopping:
            self._wake.wait(0.5)
            self._wake.clear()
            try:
                self.once()
            except Exception:  # pylint: disable=broad-exception-caught
                traceback.print_exc()  # such as a full disk; tried again

    def once(self):
        """Hands out all work that is due."""
        now = self.clock()
        if not 0 <= now - self._looked <= LONGEST_GAP_SECONDS:
            self._renew_all(now)
        self._looked = now
        for lease in self.store.unsettled():
            if lease.expires is not None and lease.expires <= now and lease.state in ("Pending", "Provisioning", "Active"):
                self.store.change(lease.id, lambda each: _expire(each, now))
            with self._lock:
                if self._stopping or lease.id in self._busy or self._next.get(lease.id, 0) > time.monotonic():
                    continue
                self._busy.add(lease.id)
            self._pool.submit(self._work, lease.id)
        if time.monotonic() - self._swept > 60 or not self._swept:
            self._swept = time.monotonic()
            self.store.forget_ended(now - self._remember, now - FORGET_FAILED_SECONDS)
            self._pool.submit(self._sweep)

    def _renew_all(self, now):
        with self.store.transaction():
            for lease in self.store.unsettled():
                if lease.renew(now):
                    self.store.put(lease)

    def stop(self):
        self._stopping = True
        self._wake.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _hurry(self, lease_id):
        with self._lock:
            self._next.pop(lease_id, None)
        self._wake.set()

    def _sweep(self):
        try:
            self.driver.sweep(self._is_over)
        except Exception as why:  # pylint: disable=broad-exception-caught
            print(f"sweep: {bounded(why)}", file=sys.stderr, flush=True)

    def _work(self, lease_id):
        pause = 1.0
        try:
            lease = self.store.get(lease_id)
            if lease is not None:
                pause = self._step(lease)
            self._tries.pop(lease_id, None)
        except Interrupted:
            pause = 0
        except Exception as why:  # pylint: disable=broad-exception-caught
            pause = self._not_yet(lease_id, why)
        finally:
            with self._lock:
                self._busy.discard(lease_id)
                self._next[lease_id] = time.monotonic() + pause
                if self._is_over(lease_id, gone=True):
                    self._next.pop(lease_id, None)
            if not pause:
                self._wake.set()

    def _is_over(self, lease_id, gone=False):
        lease = self.store.get(lease_id)
        return gone if lease is None else lease.state == "Released" or (lease.state == "Failed" and lease.cleaned)

    def _not_yet(self, lease_id, why):
        """Something that may pass: says so in the lease, and returns the pause until the next try."""
        if not isinstance(why, Failure):
            traceback.print_exception(why)
            why = transient(f"{type(why).__name__}: {why}", "Internal")
        elif why.error_class != "Transient":
            why = transient(why.message, why.code)  # such as credentials of a machine's stop: what else could be done
        tries = self._tries[lease_id] = min(self._tries.get(lease_id, 0) + 1, 10)

        def tell(lease):
            if lease.state in ("Failed", "Released"):
                return False
            lease.error = why.body()
            return True

        self.store.change(lease_id, tell)
        return max(min(2 ** (tries - 1), LONGEST_PAUSE), why.retry_after or 0)

    def _step(self, lease):
        """Does what is next for the lease; returns after how many seconds to look again. Raises what may pass."""
        work = Work(lease, lambda **data: self.store.change(lease.id, lambda each: each.data.update(data)),
                    lambda: not self._stopping and (now := self.store.get(lease.id)) is not None and now.state == lease.state)
        if lease.state in ("Releasing", "Failed"):
            return self._stop(lease, work)
        if lease.state == "Active":
            return self._look(lease, work)
        if lease.state == "Pending":
            self.store.change(lease.id, lambda each: _move(each, "Pending", "Provisioning"))
            return 0
        return self._start(lease, work)

    def _start(self, lease, work):
        if self.planned is not None and (why := self.planned(lease.id)) is not None:
            return 0.5 if why == "stall" else self._fail(lease, why)
        if self.clock() >= lease.deadline:
            last = f"; last: {lease.error['message']}" if lease.error else ""
            return self._fail(lease, Failure("InsufficientCapacity", "ProvisionTimeout", f"no machine ran in time{last}"))
        try:
            machines = self.driver.start(work)
        except Failure as why:
            if why.error_class == "Transient":
                raise
            return self._fail(lease, why)
        running = bool(machines) and machines[0].running

        def tell(each):
            if each.state != "Provisioning":
                return False  # deleted meanwhile
            each.node = machines[0].body() if machines else None
            each.error = None
            if running:
                each.state = "Active"
            return True

        self.store.change(lease.id, tell)
        return self._look_seconds if running else 1

    def _look(self, lease, work):
        machines = self.driver.status(work)
        if not machines:
            return self._fail(lease, Failure("InsufficientCapacity", "MachineLost", "the machine is gone"))

        def tell(each):
            # Announced once, it stays so: nobody waits for what may be taken back.
            if each.state != "Active" or (each.node or {}).get("state") == "Leaving":
                return False
            leaving = machines[0].leaving
            error = None if leaving is None else Failure("InsufficientCapacity", "Leaving", leaving).body()
            changed = each.node != machines[0].body() or each.error != error
            each.node, each.error = machines[0].body(), error
            return changed

        self.store.change(lease.id, tell)
        return self._look_seconds

    def _fail(self, lease, why):
        def tell(each):
            if each.state not in ("Pending", "Provisioning", "Active"):
                return False
            each.state, each.error, each.node = "Failed", why.body(), None
            return True

        self.store.change(lease.id, tell)
        return 0

    def _stop(self, lease, work):
        if not self.driver.stop(work):
            return 1

        def tell(each):
            each.machine, each.node = None, None
            each.ended = self.clock()
            if each.state == "Failed":
                each.cleaned = True
            else:
                each.state = "Released"
                if each.error and each.error["code"] != "Expired" and each.error["class"] == "Transient":
                    each.error = None

        self.store.change(lease.id, tell)
        return 1


def _move(lease, before, after):
    if lease.state != before:
        return False
    lease.state = after
    return True


def _release(lease):
    if lease.state in ("Releasing", "Released"):
        return False
    lease.state = "Releasing"
    if lease.node:
        lease.node = {**lease.node, "state": "Stopping"}
    return True


def _expire(lease, now):
    if lease.state not in ("Pending", "Provisioning", "Active") or lease.expires is None or lease.expires > now:
        return False
    lease.error = {"class": "InvalidRequest", "code": "Expired", "message": "the lease was not renewed in time"}
    return _release(lease)
