"""HTTP around the calls."""
import http.server
import json
import re
import socket
import sys
import threading
import time
import traceback
import urllib.parse

from .access import may_act_for
from .contract import MOST_BODY, Contract, parse_json
from .errors import Failure, bounded, invalid, transient

MOST_CONNECTIONS = 128
IDLE_SECONDS = 60
MOST_DRAINED = 8 << 20
MOST_ITEMS_BYTES = 3 << 20  # of the 4 MiB that an answer may have


class RateLimit:
    """So many calls in a second, as many at once."""

    def __init__(self, per_second):
        self._rate, self._left, self._at, self._lock = per_second, per_second, time.monotonic(), threading.Lock()

    def check(self):
        with self._lock:
            now = time.monotonic()
            self._left = min(self._rate, self._left + (now - self._at) * self._rate)
            self._at = now
            if self._left < 1:
                raise transient("too many calls", "TooManyRequests", 429, 1)
            self._left -= 1


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, service, access, tls=None, faults=None, per_second=200):
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.service, self.access, self.tls, self.faults = service, access, tls, faults
        self.contract, self.rate = Contract(), RateLimit(per_second)
        self._connections = threading.Semaphore(MOST_CONNECTIONS)
        super().__init__(address, Handler)

    def server_bind(self):
        # Without the look-up of its own name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]

    def process_request(self, request, client_address):
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):
        try:
            request.settimeout(IDLE_SECONDS)
            if self.tls is not None:
                request.settimeout(10)
                request = self.tls.context().wrap_socket(request, server_side=True)
                request.settimeout(IDLE_SECONDS)
            super().process_request_thread(request, client_address)
        except OSError:
            self.shutdown_request(request)
        finally:
            self._connections.release()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()


class Call:
    """One request as it came."""

    def __init__(self, handler):
        split = urllib.parse.urlsplit(handler.path)
        self.method, self.raw_path = handler.command, split.path
        self.path = tuple(urllib.parse.unquote(each, errors="replace") for each in split.path.split("/")[1:])
        try:
            self.query = dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True, max_num_fields=50, errors="replace"))
        except ValueError:
            raise invalid("too many parameters", status=400) from None
        self.content_type = handler.headers.get("Content-Type", "")
        self.body, self.allowed = None, frozenset()

    def lease_id(self):
        return self.path[2] if len(self.path) == 3 and self.path[:2] == ("v1", "leases") else None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "spillway-cloud-service", ""
    disable_nagle_algorithm = True

    def __getattr__(self, name):
        # Every method gets an answer in the contract's form.
        if name.startswith("do_"):
            return self._handle
        raise AttributeError(name)

    def send_error(self, code, message=None, explain=None):  # of what is not HTTP at all
        self.close_connection = True
        self._answer(code, {"error": invalid(message or "not HTTP as it is understood here", "NotHttp", code).body()})

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass

    def _handle(self):
        began, faults = time.monotonic(), self.server.faults
        rule, status = {}, 500
        try:
            call = Call(self)
            self._read_body(call)
            certificate = self.connection.getpeercert() if self.server.tls else None
            call.allowed = self.server.access.check(self.headers.get("Authorization"), certificate)
            if faults is not None and call.path == ("test", "faults"):
                status, body = self._set_faults(call)
            else:
                self.server.rate.check()
                if faults is not None:
                    rule = faults.take(call.method, call.raw_path)
                    faults.before(rule, call.lease_id())
                status, body = 0, None
                if rule.get("drop") != "before":
                    status, body = route(self.server, call)
        except Failure as why:
            status, body = why.status or 500, {"error": why.body()}
        except OSError:
            raise
        except Exception:  # pylint: disable=broad-exception-caught
            traceback.print_exc()
            status, body = 500, {"error": transient("an error in this service; see its log", "Internal").body()}
        if "drop" in rule:
            status, self.close_connection = 0, True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif "nonsense" in rule:
            self._send(200, rule["nonsense"].encode(), {})
        else:
            self._answer(status, body)
        print(f"{self.command} {bounded(self.path, 300)} {status} {(time.monotonic() - began) * 1000:.0f}ms", file=sys.stderr, flush=True)

    def _read_body(self, call):
        """Read whole before anything else, so that the connection can be used again; what is not read closes it."""
        length = self.headers.get("Content-Length", "0")
        refused = None
        if "Transfer-Encoding" in self.headers:
            refused = invalid("a body must come with its Content-Length", "LengthRequired", 411)
        elif not re.fullmatch("[0-9]{1,18}", length):
            refused = invalid("Content-Length must be a number", status=400)
        elif int(length) > MOST_BODY:
            refused = invalid(f"a body has at most {MOST_BODY} bytes", "TooLarge", 413)
        if refused is not None:
            self.close_connection = True
            self._drain(min(int(length), MOST_DRAINED) if length.isdigit() else 0)
            raise refused
        call.body = self.rfile.read(int(length))
        if len(call.body) < int(length):
            raise ConnectionResetError

    def _drain(self, left):
        """Who still sends does not read the answer."""
        while left > 0 and (chunk := self.rfile.read(min(left, 65536))):
            left -= len(chunk)

    def _set_faults(self, call):
        if call.method == "PUT":
            self.server.faults.set(parse_json(call.body))
        return 200, self.server.faults.rules()

    def _answer(self, status, body):
        headers = {}
        error = body.get("error", {}) if isinstance(body, dict) else {}
        if "retryAfterSeconds" in error:
            headers["Retry-After"] = str(error["retryAfterSeconds"])
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if status == 405:
            headers["Allow"] = error["message"].rpartition(": ")[2]
        self._send(status, json.dumps(body).encode(), headers)

    def _send(self, status, data, headers):
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


# --- the calls

def route(server, call):
    """(status, body)"""
    if call.path == ("v1", "offers"):
        found = {"GET": list_offers}
    elif call.path == ("v1", "leases"):
        found = {"GET": list_leases}
    elif call.path == ("v1", "renewals"):
        found = {"POST": renew}
    elif call.lease_id() is not None:
        found = {"GET": get_lease, "PUT": put_lease, "DELETE": delete_lease}
    else:
        raise invalid(f"there is nothing at {call.raw_path[:200]}", "NoSuchPath", 404)
    if call.method not in found:
        raise invalid(f"methods here: {', '.join(found)}", "MethodNotAllowed", 405)
    if call.lease_id() is not None:
        _parameter(server.contract, {"$ref": "#/components/schemas/LeaseId"}, call.lease_id(), "the id")
    return found[call.method](server, call)


def _parameter(contract, schema, value, where):
    """All that is wrong with a parameter is 400."""
    try:
        return contract.check(schema, value, where)
    except Failure as why:
        raise invalid(why.message, status=400) from None


def parameters(server, call):
    out = {}
    for name, parameter in server.contract.parameters_of("/" + "/".join(call.path)).items():
        schema, value = parameter["schema"], call.query.get(name)
        if value is None:
            if parameter.get("required"):
                raise invalid(f"the parameter {name} is missing", status=400)
            if "default" in schema:
                out[name] = schema["default"]
            continue
        if schema.get("type") == "integer":
            if not re.fullmatch("-?[0-9]{1,18}", value):
                raise invalid(f"{name} must be an integer", status=400)
            value = int(value)
        out[name] = _parameter(server.contract, schema, value, name)
    return out


def read(server, call, path, method):
    """The body, checked."""
    kind = call.content_type.partition(";")[0].strip().lower()
    if kind != "application/json":
        raise invalid("the body must be application/json", "NotJson", 415)
    return server.contract.check(server.contract.body_of(path, method), parse_json(call.body))


def fitting(items):
    """The first of them, at least one, that an answer has room for."""
    left, kept = MOST_ITEMS_BYTES, []
    for item in items:
        left -= len(json.dumps(item)) + 2
        if left < 0 and kept:
            break
        kept.append(item)
    return kept


def list_offers(server, call):
    given = parameters(server, call)
    return 200, {"items": fitting(server.service.offers(given, given.get("zone")))}


def list_leases(server, call):
    given = parameters(server, call)
    may_act_for(call.allowed, given["clientRef"])
    leases, more = server.service.page(given["clientRef"], given.get("continue", ""), given["limit"])
    items = fitting([lease.body() for lease in leases])
    body = {"items": items}
    if more or len(items) < len(leases):
        body["continue"] = items[-1]["id"]
    return 200, body


def renew(server, call):
    client = read(server, call, "/v1/renewals", "post")["clientRef"]
    may_act_for(call.allowed, client)
    return 200, {"renewed": server.service.renew(client)}


def put_lease(server, call):
    request = read(server, call, "/v1/leases/{id}", "put")
    may_act_for(call.allowed, request["clientRef"])
    lease, new = server.service.put(call.lease_id(), request)
    return 202 if new else 200, lease.body()


def get_lease(server, call):
    lease = server.service.get(call.lease_id())
    may_act_for(call.allowed, lease.client)
    return 200, lease.body()


def delete_lease(server, call):
    may_act_for(call.allowed, server.service.get(call.lease_id()).client)
    return 202, server.service.delete(call.lease_id()).body()
