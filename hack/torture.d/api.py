"""The API server, as a user with every right sees it: requests that outlive its restarts."""
import http.client
import json
import pathlib
import ssl
import threading
import time

MERGE = "application/merge-patch+json"
GROUP = "/apis/spillway.dev/v1alpha1"


class Refused(Exception):
    """The API server's final word on a request."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


class Api:
    """Safe for threads: each has its own connection. cluster: the directory of hack/cluster."""

    def __init__(self, cluster):
        cluster = pathlib.Path(cluster)
        self.port = int((cluster / "port-base").read_text()) + 2
        self.tls = ssl.create_default_context(cafile=str(cluster / "pki/ca.crt"))
        self.tls.load_cert_chain(str(cluster / "pki/admin.crt"), str(cluster / "pki/admin.key"))
        self.local = threading.local()

    def once(self, method, path, body=None, kind="application/json", timeout=10):
        """(code, object); OSError or HTTPException where there is no answer."""
        connection = getattr(self.local, "connection", None)
        if connection is None:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls)
            self.local.connection = connection
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        try:
            text = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": kind})
            answer = connection.getresponse()
            data = answer.read()
        except BaseException:
            connection.close()
            self.local.connection = None
            raise
        try:
            return answer.status, json.loads(data)
        except ValueError:
            return answer.status, {"message": data[:500].decode(errors="replace")}

    def call(self, method, path, body=None, kind="application/json", seconds=600, timeout=10):
        """Asks until there is an answer that counts. Refused for one of 4xx."""
        deadline = time.monotonic() + seconds
        wait = 0.2
        while True:
            try:
                code, answer = self.once(method, path, body, kind, timeout)
                if code < 400:
                    return answer
                # 403 and 401: an API server that is starting does not know its roles yet.
                if code not in (401, 403, 429) and code < 500:
                    raise Refused(code, answer.get("message", ""))
                last = f"{code}: {answer.get('message', '')}"
            except (OSError, http.client.HTTPException) as error:
                last = repr(error)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} {path}: {last}")
            time.sleep(wait)
            wait = min(wait * 1.5, 2)

    def get(self, path):
        """null where it is not there."""
        try:
            return self.call("GET", path)
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def create(self, path, body):
        """True if it is there then. An answer that was lost makes the next try a 409."""
        try:
            self.call("POST", path, body)
        except Refused as refused:
            if refused.code != 409:
                raise
        return True

    def patch(self, path, body):
        """False where it is not there."""
        try:
            self.call("PATCH", path, body, MERGE)
            return True
        except Refused as refused:
            if refused.code == 404:
                return False
            raise

    def delete(self, path):
        try:
            self.call("DELETE", path)
            return True
        except Refused as refused:
            if refused.code == 404:
                return False
            raise

    def alive(self):
        try:
            return self.once("GET", "/readyz", timeout=3)[0] == 200
        except (OSError, http.client.HTTPException):
            return False


def task_path(ns, name=""):
    return f"{GROUP}/namespaces/{ns}/taskrequests" + (f"/{name}" if name else "")
