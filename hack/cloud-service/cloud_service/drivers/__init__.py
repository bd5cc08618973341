"""What makes machines. A driver is asked again and again until the lease is where it should be; every call may be the second
one for the same lease, in another process after a crash."""
import dataclasses

from ..store import timestamp


@dataclasses.dataclass
class Machine:
    provider_id: str
    node_name: str
    running: bool
    addresses: list = dataclasses.field(default_factory=list)
    # It will be taken away, such as for maintenance: why; None if it is not. leaves_at: when, in seconds of Unix; None if unknown.
    leaving: str | None = None
    leaves_at: float | None = None

    def body(self):
        state = "Starting" if not self.running else "Running" if self.leaving is None else "Leaving"
        body = {"providerID": self.provider_id, "nodeName": self.node_name, "addresses": self.addresses[:16], "state": state}
        return body | {"leavesAt": timestamp(self.leaves_at)} if state == "Leaving" and self.leaves_at is not None else body


class Interrupted(Exception):
    """The lease is not wanted any more, or the service stops."""


class Work:
    """One lease while a driver works on it."""

    def __init__(self, lease, remember, wanted):
        self.lease = lease
        # remember(key=value) keeps the driver's own data; on disk when it returns.
        self.remember = remember
        # wanted() is False once the work should be dropped: check it about every second.
        self.wanted = wanted


class Driver:
    def offers(self, taken=frozenset()):
        """[Offer], at most 1000; must not block. taken: the machines that are put aside for leases."""
        raise NotImplementedError

    def bootstraps(self):
        """The names that a bootstrapRef may have; None: any."""
        return None

    def take(self, request, taken):
        """(Offer, the name of the machine to put aside or None) for a new lease; a Failure if there is none. Must not block and
        change nothing."""
        raise NotImplementedError

    def start(self, work):
        """[Machine] of the lease, made if it is not there; empty while it is on its way. A Failure that is Transient is
        tried again, any other is final. Never more than one machine, however often it is asked."""
        raise NotImplementedError

    def status(self, work):
        """[Machine] of a lease that is Active; empty if it is lost."""
        raise NotImplementedError

    def stop(self, work):
        """True once nothing of the lease is left; asked again until then. A Failure is tried again, too."""
        raise NotImplementedError

    def sweep(self, is_over):
        """Removes what has appeared late: machines of leases of which is_over(id) is True. Called every minute."""
