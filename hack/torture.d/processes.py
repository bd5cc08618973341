"""Processes that are killed, stopped and started again: those of the cluster, and the replicas."""
import os
import pathlib
import signal
import subprocess
import threading
import time


def start_time(pid):
    """Field 22 of /proc/PID/stat, and the state; (None, None) where there is no such process."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return fields[19], fields[0]
    except (OSError, IndexError):
        return None, None


def memory_mib(pid):
    """What is in memory of it; and how much of that is its own data, and no file's pages, such as code."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    figures = {name: value.split()[0] for name, _, value in (line.partition(":") for line in lines) if value.strip()}
    return tuple(int(figures.get(name, 0)) / 1024 for name in ("VmRSS", "RssAnon"))


class Daemon:
    """One of hack/cluster's. Its id stays in run/NAME.pid, so that `hack/cluster down` ends it."""

    def __init__(self, cluster, name):
        self.cluster, self.name = pathlib.Path(cluster), name
        self.file = self.cluster / "run" / f"{name}.pid"
        self.pid, self.started = self.file.read_text().split()
        self.pid = int(self.pid)
        read = lambda what: pathlib.Path(f"/proc/{self.pid}/{what}").read_bytes().split(b"\0")[:-1]
        self.argv = read("cmdline")
        self.environment = dict(v.split(b"=", 1) for v in read("environ"))
        self.child = None
        self.by_itself = 0
        self.wanted = True
        self.lock = threading.RLock()

    def running(self):
        if self.child is not None:
            return self.child.poll() is None
        started, state = start_time(self.pid)
        return started == self.started and state != "Z"

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def start(self):
        with self.lock:  # never two of them: the other would be nobody's
            if self.running():
                return
            with open(self.cluster / "log" / f"{self.name}.log", "ab") as log:
                self.child = subprocess.Popen(
                    self.argv, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True)
            self.pid = self.child.pid
            self.started = start_time(self.pid)[0]
            self.file.write_text(f"{self.pid} {self.started}\n")
            self.wanted = True

    def kill(self):
        """Stays down until it is started."""
        with self.lock:
            self.wanted = False
            self.signal(signal.SIGKILL)
            while self.running():
                time.sleep(0.02)

    def look(self):
        """Starts it again where it has ended and nobody wanted that."""
        with self.lock:
            if self.wanted and not self.running():
                self.by_itself += 1
                self.start()


class Replica:
    """An operator. Each of its lives has a log of its own; exits: (how, code, log)."""

    def __init__(self, name, argv, out):
        self.name, self.argv, self.out = name, argv, pathlib.Path(out)
        self.lives, self.exits = 0, []
        self.child, self.caused, self.wanted, self.closed = None, None, False, False
        self.lock = threading.RLock()

    @property
    def log(self):
        return self.out / f"operator-{self.name}-{self.lives}.log"

    def start(self):
        with self.lock:
            if self.running() or self.closed:
                return
            self.lives += 1
            self.caused = None
            with open(self.log, "wb") as log:
                self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log,
                                              stderr=log, start_new_session=True)
            self.wanted = True

    def running(self):
        return self.child is not None and self.child.poll() is None

    def signal(self, number, cause=None):
        if self.running():
            self.caused = cause or self.caused
            os.kill(self.child.pid, number)

    def stop(self, seconds=15):
        """SIGTERM, then SIGKILL."""
        with self.lock:
            self.wanted = False
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM, "asked")
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill("did not stop")
            self.note()

    def kill(self, cause="killed"):
        with self.lock:
            self.wanted = False
            self.signal(signal.SIGKILL, cause)
            self.child.wait()
            self.note()

    def note(self):
        """Records how this life ended, once."""
        with self.lock:
            if self.child is None or self.child.poll() is None or len(self.exits) == self.lives:
                return
            self.exits.append((self.caused or "by itself", self.child.returncode, str(self.log)))

    def look(self):
        with self.lock:
            if self.wanted and not self.running():
                self.note()
                self.start()

    def holds(self, identity):
        """Whether the Lease's holder is this life of it: its process id is part of the identity."""
        return self.child is not None and f"_{self.child.pid}_" in identity
