"""The configuration: YAML, read once at the start. What is wrong in it ends the program with a sentence."""
import yaml

KEYS = {"listen", "tls", "auth", "stateDir", "quota", "driver", "static", "nova", "rememberSeconds", "requestsPerSecond", "lookSeconds"}


def known(entry, keys, where):
    if not isinstance(entry, dict):
        raise SystemExit(f"{where} must be a map")
    if unknown := set(entry) - keys:
        raise SystemExit(f"{where}: unknown: {', '.join(sorted(map(str, unknown)))}; known: {', '.join(sorted(keys))}")


def need(entry, key, kind, where, default=None):
    value = entry.get(key, default)
    if value is None:
        raise SystemExit(f"{where} lacks {key}")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise SystemExit(f"{where}: {key} must be of type {kind.__name__}")
    return value


def number(entry, key, default, where, most=31536000):
    """Positive."""
    value = entry.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
        raise SystemExit(f"{where}: {key} must be a number above 0, at most {most}")
    return value


def text_map(entry, key, where):
    """Quotes are easily forgotten: {cpu: 8}."""
    return {str(name): str(value) for name, value in need(entry, key, dict, where, {}).items()}


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            config = yaml.safe_load(file)
    except (OSError, yaml.YAMLError) as why:
        raise SystemExit(f"cannot read the configuration {path}: {why}") from None
    known(config, KEYS, "the configuration")
    for key, kind in (("listen", str), ("auth", dict), ("stateDir", str), ("driver", str)):
        need(config, key, kind, "the configuration")
    for key in ("rememberSeconds", "requestsPerSecond", "lookSeconds"):
        number(config, key, 1, "the configuration")
    host, _, port = config["listen"].rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise SystemExit("the configuration: listen must be ADDRESS:PORT")
    if config["driver"] not in ("static", "nova") or config["driver"] not in config:
        raise SystemExit("the configuration: driver must be static or nova, and there must be a part of that name")
    known(config["auth"], {"tokenFile", "clientCA", "clientNames"}, "auth")
    if not config["auth"].get("tokenFile") and not config["auth"].get("clientCA"):
        raise SystemExit("auth: needs a tokenFile, a clientCA, or both")
    known(config.get("quota", {}), {"default", "clients"}, "quota")
    quota = config.get("quota", {})
    for most in [quota.get("default", 0), *need(quota, "clients", dict, "quota", {}).values()]:
        if isinstance(most, bool) or not isinstance(most, int) or most < 0:
            raise SystemExit(f"quota: {most} is not a number of machines")
    if "tls" in config:
        known(config["tls"], {"certificate", "key"}, "tls")
    elif host.strip("[]") not in ("127.0.0.1", "::1", "localhost"):
        raise SystemExit("the configuration: without tls only an address of the loopback is listened on")
    elif config["auth"].get("clientCA"):
        raise SystemExit("auth: clientCA needs tls")
    return config
