"""Leases, kept in SQLite: what was answered survives a crash, and each change is one transaction on disk."""
import contextlib
import dataclasses
import fcntl
import json
import os
import sqlite3
import threading
import time

from .contract import canonical

STATES = ("Pending", "Provisioning", "Active", "Failed", "Releasing", "Released")
SCHEMA = """
CREATE TABLE IF NOT EXISTS leases(
  id TEXT PRIMARY KEY, client TEXT NOT NULL, state TEXT NOT NULL, machine TEXT, expires REAL, ended REAL,
  cleaned INTEGER NOT NULL, body TEXT NOT NULL);
-- A machine is never in two leases.
CREATE UNIQUE INDEX IF NOT EXISTS one_lease ON leases(machine) WHERE machine IS NOT NULL;
CREATE INDEX IF NOT EXISTS of_client ON leases(client, id);
CREATE INDEX IF NOT EXISTS in_state ON leases(state, ended);
"""


@dataclasses.dataclass
class Lease:
    id: str
    client: str
    request: dict
    created: float
    deadline: float
    offer: str = ""
    price: str | None = None
    state: str = "Pending"
    machine: str | None = None  # what the driver has put aside for it
    node: dict | None = None
    error: dict | None = None
    expires: float | None = None
    ended: float | None = None  # when nothing of it was left
    cleaned: bool = False  # Failed, and nothing of it is left
    data: dict = dataclasses.field(default_factory=dict)  # the driver's own

    COLUMNS = ("id", "client", "state", "machine", "expires", "ended", "cleaned")

    def row(self):
        rest = {key: value for key, value in dataclasses.asdict(self).items() if key not in self.COLUMNS}
        return [getattr(self, column) for column in self.COLUMNS] + [json.dumps(rest)]

    @classmethod
    def of(cls, row):
        named = dict(zip(cls.COLUMNS, row))
        named["cleaned"] = bool(named["cleaned"])
        return cls(**named, **json.loads(row[-1]))

    def renew(self, now):
        seconds = self.request.get("leaseSeconds", 0)
        if seconds and self.state in ("Pending", "Provisioning", "Active"):
            self.expires = now + max(60, seconds)
            return True
        return False

    def body(self):
        out = {"id": self.id, "clientRef": self.client, "state": self.state, "nodes": [self.node] if self.node else [],
               "createdAt": timestamp(self.created)}
        for key, value in (("pool", self.request.get("pool")), ("offerId", self.offer), ("pricePerHour", self.price),
                           ("error", self.error), ("expiresAt", self.expires and timestamp(self.expires))):
            if value:
                out[key] = value
        return out


def timestamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def same_request(lease, request):
    return canonical(lease.request) == canonical(request)


class Store:
    """Thread-safe. Only one process may have the folder open."""

    def __init__(self, folder, most=20000):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._guard = open(os.path.join(folder, "lock"), "w", encoding="utf-8")  # pylint: disable=consider-using-with
        try:
            fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SystemExit(f"another cloud service uses {folder}") from None
        self._lock = threading.RLock()
        self._most = most
        self._db = sqlite3.connect(os.path.join(folder, "leases.sqlite"), check_same_thread=False, isolation_level=None)
        for line in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"):
            self._db.execute(line)
        self._db.executescript(SCHEMA)

    def close(self):
        with self._lock:
            self._db.close()
            self._guard.close()

    @contextlib.contextmanager
    def transaction(self):
        """Nobody else reads or writes meanwhile; on disk when it is left without an exception."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _select(self, where, *arguments):
        with self._lock:
            rows = self._db.execute("SELECT id, client, state, machine, expires, ended, cleaned, body FROM leases " + where, arguments)
            return [Lease.of(row) for row in rows.fetchall()]

    def get(self, lease_id):
        found = self._select("WHERE id = ?", lease_id)
        return found[0] if found else None

    def page(self, client, after, limit):
        return self._select("WHERE client = ? AND state != 'Released' AND id > ? ORDER BY id LIMIT ?", client, after, limit)

    def of_client(self, client):
        return self._select("WHERE client = ? AND state NOT IN ('Released', 'Failed')", client)

    def unsettled(self):
        """Leases that something is to be done for, or whose machine runs."""
        return self._select("WHERE state NOT IN ('Released', 'Failed') OR (state = 'Failed' AND NOT cleaned)")

    def count(self, client):
        """What counts against its quota."""
        with self._lock:
            where = "client = ? AND state != 'Released' AND NOT (state = 'Failed' AND cleaned)"
            return self._db.execute(f"SELECT count(*) FROM leases WHERE {where}", (client,)).fetchone()[0]

    def machines(self):
        with self._lock:
            return {row[0] for row in self._db.execute("SELECT machine FROM leases WHERE machine IS NOT NULL")}

    def full(self):
        with self._lock:
            return self._db.execute("SELECT count(*) FROM leases").fetchone()[0] >= self._most

    def put(self, lease):
        marks = ", ".join("?" * (len(Lease.COLUMNS) + 1))
        with self._lock:
            self._db.execute(f"INSERT OR REPLACE INTO leases(id, client, state, machine, expires, ended, cleaned, body) VALUES ({marks})",
                             lease.row())

    def change(self, lease_id, how):
        """Applies how(lease) in one transaction; None if there is no such lease. how may return False to change nothing."""
        with self.transaction():
            lease = self.get(lease_id)
            if lease is not None and how(lease) is not False:
                self.put(lease)
            return lease

    def forget(self, lease_id):
        with self._lock:
            self._db.execute("DELETE FROM leases WHERE id = ?", (lease_id,))

    def forget_ended(self, released_before, failed_before):
        """Of those that were Released at most half of all leases that may be kept are remembered."""
        with self._lock:
            self._db.execute("DELETE FROM leases WHERE state = 'Released' AND ended < ?", (released_before,))
            self._db.execute("DELETE FROM leases WHERE state = 'Failed' AND cleaned AND ended < ?", (failed_before,))
            self._db.execute("DELETE FROM leases WHERE id IN (SELECT id FROM leases WHERE state = 'Released' ORDER BY ended DESC "
                             "LIMIT -1 OFFSET ?)", (self._most // 2,))
