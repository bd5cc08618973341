"""Who may call. Token file and certificates are read again when they change."""
import hmac
import os
import ssl

from .errors import Failure


class ReadAgain:
    """A file's content as made by parse, renewed when the file changes. A file that cannot be read leaves what was there."""

    def __init__(self, path, parse):
        self._path, self._parse, self._seen, self.value = path, parse, None, None
        self.get()

    def get(self):
        try:
            status = os.stat(self._path)
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen != self._seen:
                with open(self._path, encoding="utf-8") as file:
                    self.value = self._parse(file.read(1 << 20))
                self._seen = seen
        except (OSError, ValueError) as why:
            if self.value is None:
                raise SystemExit(f"cannot read {self._path}: {why}") from None
        return self.value


def parse_tokens(text):
    """A line: the token, and the clientRefs that it may act for; none: all."""
    tokens = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not tokens or any(len(token[0]) < 16 for token in tokens):
        raise ValueError("it must hold at least one token, each of at least 16 characters")
    return [(token[0].encode(), frozenset(token[1:])) for token in tokens]


class Access:
    def __init__(self, config):
        path = config.get("tokenFile")
        self._tokens = ReadAgain(path, parse_tokens) if path else None
        self._names = config.get("clientNames")

    def check(self, authorization, certificate):
        """The clientRefs that the caller may act for; empty: all."""
        kind, _, token = (authorization or "").partition(" ")
        if self._tokens is not None and kind.lower() == "bearer":
            # All are compared, so that the time tells nothing.
            allowed = [clients for each, clients in self._tokens.get()
                       if hmac.compare_digest(each, token.strip().encode("utf-8", "surrogateescape"))]
            if allowed:
                return allowed[0]
            raise Failure("Unauthenticated", "WrongToken", "this token is not accepted", 401)
        if certificate:
            names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
            if self._names is None or set(names) & set(self._names):
                return frozenset()
            raise Failure("Unauthenticated", "WrongName", f"no certificate for {', '.join(names)[:200]} is accepted", 403)
        raise Failure("Unauthenticated", "NoCredentials", "a bearer token or a client certificate is needed", 401)


def may_act_for(allowed, client):
    if allowed and client not in allowed:
        raise Failure("Unauthenticated", "NotYours", f"these credentials may not act for {client}", 403)


class Tls:
    def __init__(self, tls, auth):
        self._tls, self._auth, self._seen, self._context = tls, auth, None, None
        self.context()

    def _files(self):
        return [path for path in (self._tls["certificate"], self._tls["key"], self._auth.get("clientCA")) if path]

    def context(self):
        """For a new connection. While new files do not fit each other, the old ones stay."""
        try:
            seen = [os.stat(path).st_mtime_ns for path in self._files()]
            if seen != self._seen:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.minimum_version = ssl.TLSVersion.TLSv1_2
                context.load_cert_chain(self._tls["certificate"], self._tls["key"])
                if self._auth.get("clientCA"):
                    context.load_verify_locations(self._auth["clientCA"])
                    context.verify_mode = ssl.CERT_OPTIONAL if self._auth.get("tokenFile") else ssl.CERT_REQUIRED
                self._context, self._seen = context, seen
        except (OSError, ssl.SSLError) as why:
            if self._context is None:
                raise SystemExit(f"cannot use the certificate {self._tls['certificate']}: {why}") from None
        return self._context
