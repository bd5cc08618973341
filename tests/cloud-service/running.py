"""A cloud service under test: as a process, and every answer held against the contract."""
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVICE = ROOT / "hack" / "cloud-service"
sys.path.insert(0, str(SERVICE))
sys.dont_write_bytecode = True

from cloud_service.contract import Contract  # noqa: E402  pylint: disable=wrong-import-position

TOKEN = "a-token-for-the-tests"
CONTRACT = Contract()
REQUEST = {"clientRef": "tests", "resources": {"cpu": "2"}}


def wait_until(what, condition, seconds=60, pause=0.05):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if (found := condition()):
            return found
        time.sleep(pause)
    raise AssertionError(f"not within {seconds} s: {what}")


def operation_of(method, path):
    """What the contract says of a call; None if it does not name it."""
    path = path.partition("?")[0]
    found = CONTRACT.document["paths"].get(path) or CONTRACT.document["paths"].get("/v1/leases/{id}" if path.startswith("/v1/leases/") else "")
    return (found or {}).get(method.lower())


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def error(self):
        return self.body["error"]["class"], self.body["error"]["code"]


class Service:
    """hack/cloud-service/serve with a folder of its own."""

    def __init__(self, config, faults=True):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="spillway-cloud-service."))
        self.token_file = self.dir / "tokens"
        self.token_file.write_text(TOKEN + "\n")
        self.config = {"listen": "127.0.0.1:0", "stateDir": str(self.dir / "state"), "auth": {"tokenFile": str(self.token_file)},
                       "requestsPerSecond": 100000, "lookSeconds": 1, **config}
        self.faults, self.process, self.port, self.token, self.context = faults, None, 0, TOKEN, None

    def start(self):
        config, port_file = self.dir / "config.yaml", self.dir / "port"
        config.write_text(yaml.safe_dump(self.config))
        port_file.unlink(missing_ok=True)
        with open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                [sys.executable, SERVICE / "serve", config, "--port-file", port_file, *(["--test-faults"] if self.faults else [])],
                stdout=log, stderr=log)
        wait_until("the service listens", lambda: port_file.exists() or self.process.poll() is not None)
        if not port_file.exists():
            raise AssertionError((self.dir / "log").read_text())
        self.port = int(port_file.read_text())
        return self

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        return self.process.wait(30)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.kill(signal.SIGTERM)
        shutil.rmtree(self.dir, ignore_errors=True)

    def log(self):
        return (self.dir / "log").read_text()

    def send(self, method, path, data=None, headers=None):
        """As raw as it is given."""
        kind = http.client.HTTPSConnection if self.context else http.client.HTTPConnection
        more = {"context": self.context} if self.context else {}
        connection = kind("127.0.0.1", self.port, timeout=20, **more)
        try:
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except http.client.HTTPException as why:  # one that breaks off is none
            raise ConnectionError("no whole answer") from why
        finally:
            connection.close()

    def call(self, method, path, body=None, checked=True, headers=None):
        given = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"} | (headers or {})
        answer = self.send(method, path, None if body is None else json.dumps(body), {k: v for k, v in given.items() if v is not None})
        answer.body = json.loads(answer.body)
        if checked:
            self.check(method, path, answer)
        return answer

    @staticmethod
    def check(method, path, answer):
        operation = operation_of(method, path)
        if operation is None:
            return CONTRACT.check(CONTRACT.schema("ErrorBody"), answer.body, "the answer")
        described = operation["responses"].get(str(answer.status)) or operation["responses"]["default"]
        if "$ref" in described:
            described = CONTRACT.document["components"]["responses"][described["$ref"].rpartition("/")[2]]
        return CONTRACT.check(described["content"]["application/json"]["schema"], answer.body, f"{method} {path} {answer.status}")

    def put(self, lease, **more):
        return self.call("PUT", f"/v1/leases/{lease}", REQUEST | more)

    def get(self, lease):
        return self.call("GET", f"/v1/leases/{lease}")

    def delete(self, lease):
        return self.call("DELETE", f"/v1/leases/{lease}")

    def order(self, *rules):
        return self.call("PUT", "/test/faults", list(rules), checked=False)

    def wait(self, lease, state, seconds=60):
        """The lease in that state."""
        there = {}

        def is_there():
            there.update(self.get(lease).body)
            return there["state"] == state and self.get(lease).body

        try:
            return wait_until(f"{lease} is {state}", is_there, seconds)
        except AssertionError as why:
            raise AssertionError(f"{why}; it is {there}") from None


class Case(unittest.TestCase):
    """A service of static machines for each test; CONFIG and MACHINES may be overridden."""
    MACHINES = [{"name": "m1", "offer": "small", "resources": {"cpu": 4, "memory": "8Gi"}, "pricePerHour": "0.10"},
                {"name": "m2", "offer": "small", "resources": {"cpu": 4, "memory": "8Gi"}, "pricePerHour": "0.10"},
                {"name": "big", "resources": {"cpu": 16, "memory": "64Gi", "nvidia.com/gpu": 1}, "pricePerHour": "1.10",
                 "labels": {"topology.kubernetes.io/zone": "b"}}]
    # Each start and stop leaves a line; a machine that runs has a file.
    START = 'echo "$SPILLWAY_LEASE" >>"$DIR/started"; mkdir "$DIR/runs.$SPILLWAY_MACHINE.$SPILLWAY_LEASE" 2>/dev/null || true'
    STOP = 'rmdir "$DIR/runs.$SPILLWAY_MACHINE.$SPILLWAY_LEASE" 2>/dev/null || true'
    STATUS = '[ -d "$DIR/runs.$SPILLWAY_MACHINE.$SPILLWAY_LEASE" ] || exit 3'
    CONFIG = {}

    def setUp(self):
        self.service = Service({"driver": "static", **self.CONFIG})
        self.addCleanup(self.service.close)
        at = f"DIR='{self.service.dir}'; "
        self.service.config["static"] = {"machines": self.MACHINES, "start": ["sh", "-c", at + self.START], "stop": ["sh", "-c", at + self.STOP],
                                         "status": ["sh", "-c", at + self.STATUS], "startSeconds": 30}
        self.service.start()

    def running(self):
        """(machine, lease) of each that runs."""
        return sorted(tuple(name.split(".", 2)[1:]) for name in os.listdir(self.service.dir) if name.startswith("runs."))

    def started(self):
        path = self.service.dir / "started"
        return path.read_text().split() if path.exists() else []
