#!/usr/bin/env python3
"""The real Nova (API, conductor, scheduler, compute with a hypervisor that pretends, placement) on a port of the loopback, with as
much of Keystone as issues tokens. Run by the Python of a virtual environment that has it: see environments.py.

    serve_nova.py PORT_FILE     until its standard input is closed

Users: worker/secret. X-Test-Admin: yes with a token makes the call as an administrator. POST /test/revoke: no token is valid any more.
"""
import os
import sys

os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "true"
os.environ.setdefault("OS_STDOUT_CAPTURE", "0")

# pylint: disable=wrong-import-position,import-error
import faulthandler  # noqa: E402
import json  # noqa: E402
import signal  # noqa: E402
import threading  # noqa: E402
import uuid  # noqa: E402
import warnings  # noqa: E402
from socketserver import ThreadingMixIn  # noqa: E402
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server  # noqa: E402

from nova.tests.functional.integrated_helpers import _IntegratedTestBase  # noqa: E402


class Quiet(WSGIRequestHandler):
    def log_message(self, *_args):  # pylint: disable=arguments-differ
        pass


class Keystone:
    """Token in, identity out; and a catalog that names this server as the only endpoint."""

    def __init__(self):
        self.tokens, self.port = set(), 0

    def issue(self, environ, start_response):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        user = json.loads(environ["wsgi.input"].read(length))["auth"]["identity"].get("password", {}).get("user", {})
        if (user.get("name"), user.get("password")) != ("worker", "secret"):
            return answer(start_response, "401 Unauthorized", {"error": {"message": "The request you have made requires authentication."}})
        token = uuid.uuid4().hex
        self.tokens.add(token)
        endpoints = [{"interface": "public", "region": "one", "url": f"http://127.0.0.1:{self.port}/v2.1"}]
        body = {"token": {"expires_at": "2099-01-01T00:00:00.000000Z", "catalog": [{"type": "compute", "endpoints": endpoints}]}}
        return answer(start_response, "201 Created", body, [("X-Subject-Token", token)])


def answer(start_response, status, body, headers=()):
    start_response(status, [("Content-Type", "application/json"), *headers])
    return [json.dumps(body).encode()]


def behind(keystone, nova, project):
    """The application: Keystone at /v3, Nova at /v2.1."""
    lock = threading.Lock()

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/v3/auth/tokens":
            return keystone.issue(environ, start_response)
        if environ.get("HTTP_X_AUTH_TOKEN") not in keystone.tokens:
            return answer(start_response, "401 Unauthorized", {"error": {"message": "The request you have made requires authentication."}})
        if path == "/test/revoke":
            keystone.tokens.clear()
            return answer(start_response, "200 OK", {})
        admin = environ.get("HTTP_X_TEST_ADMIN") == "yes"
        environ |= {"HTTP_X_AUTH_USER": "admin" if admin else "worker", "HTTP_X_USER_ID": "admin" if admin else "worker",
                    "HTTP_X_AUTH_PROJECT_ID": project, "HTTP_X_ROLES": "reader,member,admin" if admin else "reader,member"}
        with lock:
            return list(nova(environ, start_response))

    return application


class Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class ServeNova(_IntegratedTestBase):
    def runTest(self):
        # Nova's own tests make errors of them; what is served is what the libraries of today do.
        faulthandler.register(signal.SIGUSR1)
        warnings.simplefilter("ignore")
        keystone = Keystone()
        with make_server("127.0.0.1", 0, behind(keystone, self.api_fixture.app(), self.api.project_id), Threaded, Quiet) as server:
            keystone.port = server.server_port
            threading.Thread(target=server.serve_forever, daemon=True).start()
            with open(sys.argv[1] + ".new", "w", encoding="utf-8") as file:
                file.write(str(server.server_port))
            os.replace(sys.argv[1] + ".new", sys.argv[1])
            sys.stdin.read()
            # Without the minute that Nova takes to stop.
            os._exit(0)


if __name__ == "__main__":
    outcome = ServeNova().run()
    for _, details in [*outcome.errors, *outcome.failures] if outcome else []:
        print(details, file=sys.stderr)
