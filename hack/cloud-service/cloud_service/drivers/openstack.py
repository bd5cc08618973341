"""Calls to an OpenStack service with a token of Keystone, or to a fixed endpoint with a token from a file."""
import dataclasses
import http.client
import json
import ssl
import threading
import urllib.parse

from ..config import known, need
from ..errors import Failure, bounded, transient

TIMEOUT_SECONDS = 30
MOST_ANSWER = 16 << 20
VERSION = "compute 2.47"


@dataclasses.dataclass
class Answer:
    status: int  # 0: there was none
    body: dict
    headers: dict

    def expect(self, *statuses):
        if self.status not in statuses:
            raise self.failure()
        return self

    def message(self):
        for part in self.body.values():
            if isinstance(part, dict) and "message" in part:
                return bounded(part["message"])
        return f"OpenStack answered {self.status or 'nothing'}"

    def is_gone(self):
        """Of a server that was looked for by its id."""
        if self.status == 404:
            return True
        return self.expect(200).body["server"].get("status") in ("DELETED", "SOFT_DELETED")

    def failure(self):
        if self.status in (401, 403):
            return Failure("Unauthenticated", "CloudCredentials", self.message())
        after = self.headers.get("retry-after", "")
        return transient(self.message(), "OpenStack", retry_after=int(after) if after.isdigit() else None)


def send(method, url, headers, body, context):
    """An Answer, of status 0 if there was none that can be read."""
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    more = {"context": context} if parts.scheme == "https" else {}
    connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS, **more)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, parts.path + ("?" + parts.query if parts.query else ""), data,
                           {"Content-Type": "application/json", "Accept": "application/json", **headers})
        response = connection.getresponse()
        text = response.read(MOST_ANSWER)
        parsed = json.loads(text) if text else {}
        if not isinstance(parsed, dict):
            raise ValueError("not a JSON object")
        return Answer(response.status, parsed, {key.lower(): value for key, value in response.getheaders()})
    except (OSError, http.client.HTTPException, ValueError) as why:
        return Answer(0, {"error": {"message": f"{method} {url}: {why}"}}, {})
    finally:
        connection.close()


class OpenStack:
    KEYS = {"url", "userName", "userDomain", "passwordFile", "project", "projectDomain", "applicationCredentialID", "secretFile", "endpoint",
            "tokenFile", "region", "interface", "caFile"}

    def __init__(self, auth):
        known(auth, self.KEYS, "nova: auth")
        self._auth, self._lock, self._token, self._endpoint = auth, threading.Lock(), None, auth.get("endpoint")
        self._context = ssl.create_default_context(cafile=auth.get("caFile"))
        if "tokenFile" in auth:
            need(auth, "endpoint", str, "nova: auth with a tokenFile")
        else:
            need(auth, "url", str, "nova: auth")
            need(auth, "secretFile" if "applicationCredentialID" in auth else "passwordFile", str, "nova: auth")

    def _secret(self, key):
        try:
            with open(self._auth[key], encoding="utf-8") as file:
                return file.read(65536).strip()
        except OSError as why:
            raise transient(f"cannot read {self._auth[key]}: {why}") from None

    def _identity(self):
        if "applicationCredentialID" in self._auth:
            credential = {"id": self._auth["applicationCredentialID"], "secret": self._secret("secretFile")}
            return {"identity": {"methods": ["application_credential"], "application_credential": credential}}
        user = {"name": need(self._auth, "userName", str, "nova: auth"), "password": self._secret("passwordFile"),
                "domain": {"id": self._auth.get("userDomain", "default")}}
        project = {"name": need(self._auth, "project", str, "nova: auth"), "domain": {"id": self._auth.get("projectDomain", "default")}}
        return {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"project": project}}

    def _log_in(self, refused):
        """A token that is not the refused one."""
        with self._lock:
            if "tokenFile" in self._auth:
                self._token = self._secret("tokenFile")
            elif self._token is None or self._token == refused:
                self._token = None
                answer = send("POST", self._auth["url"].rstrip("/") + "/auth/tokens", {}, {"auth": self._identity()}, self._context)
                token = answer.expect(201).headers.get("x-subject-token")
                self._endpoint = self._auth.get("endpoint") or self._find(answer.body.get("token", {}).get("catalog", []))
                self._token = token
            return self._token

    def _find(self, catalog):
        interface, region = self._auth.get("interface", "public"), self._auth.get("region")
        for service in catalog:
            for endpoint in service.get("endpoints", []) if service.get("type") == "compute" else []:
                if endpoint.get("interface") == interface and region in (None, endpoint.get("region")):
                    return endpoint["url"]
        raise Failure("InvalidRequest", "NoEndpoint", f"Keystone's catalog has no compute endpoint ({interface}, region {region or 'any'})")

    def call(self, method, path, body=None, query=None, ambiguous=False):
        """An Answer; no answer is one of status 0 if ambiguous, else a Failure."""
        token = self._token or self._log_in(None)
        for last in (False, True):
            url = self._endpoint.rstrip("/") + path + ("?" + urllib.parse.urlencode(query) if query else "")
            answer = send(method, url, {"X-Auth-Token": token, "OpenStack-API-Version": VERSION}, body, self._context)
            if answer.status != 401 or last:
                break
            token = self._log_in(token)
        if answer.status == 0 and not ambiguous:
            raise answer.failure()
        return answer
