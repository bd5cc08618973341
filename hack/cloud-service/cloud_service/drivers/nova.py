"""Servers of OpenStack Nova.

Nova itself makes a second server when a request is repeated, so: a server is looked for, by name and metadata, before one is asked
for; that one was asked for is on disk before it is; after an answer that was lost nothing is asked for until what was asked must
have become visible; and should there be two after all, the younger is deleted."""
import base64
import hashlib
import re
import time

from ..config import known, need, number, text_map
from ..errors import Failure, invalid, transient
from ..offers import Offer, cheapest_first, choose
from . import Driver, Machine
from .openstack import Answer, OpenStack

RUNNING = {"ACTIVE", "REBOOT", "HARD_REBOOT", "MIGRATING", "PASSWORD", "RESIZE", "VERIFY_RESIZE", "REVERT_RESIZE"}
STARTING = {"BUILD", "REBUILD"}
GONE = {"DELETED", "SOFT_DELETED"}
# A server that was asked for is in Nova's lists after that, or never.
SETTLE_SECONDS = 60
MOST_USER_DATA = 65535
MOST_PAGES, PAGE = 20, 500
PLACEHOLDER = re.compile("@(NODE_NAME|LABELS|TAINTS|LEASE|CLIENT|POOL)@")


def server_name(lease_id):
    """Also the Node's name."""
    name = re.sub("[^a-z0-9.-]", "-", lease_id.lower())
    return "spw-" + name + ("" if name == lease_id else "-" + hashlib.sha256(lease_id.encode()).hexdigest()[:8])


def user_data(template, offer, lease):
    labels = {**offer.labels, **lease.request.get("labels", {})}
    values = {"NODE_NAME": server_name(lease.id), "LEASE": lease.id, "CLIENT": lease.client, "POOL": lease.request.get("pool", ""),
              "LABELS": ",".join(f"{key}={value}" for key, value in labels.items()),
              "TAINTS": ",".join(f"{each['key']}={each.get('value', '')}:{each['effect']}" for each in lease.request.get("taints", []))}
    data = base64.b64encode(PLACEHOLDER.sub(lambda match: values[match[1]], template).encode()).decode()
    if len(data) > MOST_USER_DATA:
        raise invalid(f"the user data has {len(data)} bytes with these labels and taints; Nova takes {MOST_USER_DATA}", "UserDataTooLarge")
    return data


class Nova(Driver):
    def __init__(self, config, clock=time.time):
        known(config, {"auth", "service", "offers", "image", "networks", "keyName", "securityGroups", "availabilityZone", "bootstraps",
                       "providerID", "settleSeconds"}, "nova")
        self._api, self._clock = OpenStack(need(config, "auth", dict, "nova")), clock
        # Two services in one project must not delete each other's servers.
        self._service = config.get("service", "spillway")
        self._settle = number(config, "settleSeconds", SETTLE_SECONDS, "nova", 3600)
        self._provider_id = config.get("providerID", "openstack:///{server}")
        self._common = {"imageRef": need(config, "image", str, "nova"), "networks": config.get("networks", "auto")}
        for ours, theirs in (("keyName", "key_name"), ("availabilityZone", "availability_zone")):
            if ours in config:
                self._common[theirs] = config[ours]
        if "securityGroups" in config:
            self._common["security_groups"] = [{"name": name} for name in config["securityGroups"]]
        self._offers, self._flavors = {}, {}
        for entry in need(config, "offers", list, "nova"):
            known(entry, {"id", "flavor", "resources", "labels", "pricePerHour"}, "an offer")
            name = need(entry, "id", str, "an offer")
            self._offers[name] = Offer(name, text_map(entry, "resources", name), text_map(entry, "labels", name),
                                       str(entry["pricePerHour"]) if "pricePerHour" in entry else None)
            self._flavors[name] = str(entry.get("flavor", name))
        self._templates = {}
        for name, path in need(config, "bootstraps", dict, "nova").items():
            try:
                with open(path, encoding="utf-8") as file:
                    self._templates[name] = file.read(MOST_USER_DATA)
            except OSError as why:
                raise SystemExit(f"nova: cannot read the template of bootstrapRef {name}: {why}") from None

    def bootstraps(self):
        return self._templates

    def offers(self, taken=frozenset()):
        return cheapest_first(self._offers.values())

    def take(self, request, taken):
        return choose(self.offers(), request), None

    # --- what Nova has

    def _list(self, name):
        """Servers whose name matches."""
        found, marker = [], ""
        for _ in range(MOST_PAGES):
            query = {"name": name, "limit": str(PAGE), **({"marker": marker} if marker else {})}
            page = self._api.call("GET", "/servers/detail", query=query).expect(200).body.get("servers", [])
            found += [server for server in page if self._is_ours(server)]
            if len(page) < PAGE:
                return found
            marker = page[-1]["id"]
        raise transient(f"Nova has more than {MOST_PAGES * PAGE} servers called {name}")

    def _is_ours(self, server):
        there = server.get("status") not in GONE and server.get("OS-EXT-STS:task_state") != "deleting"
        return there and server.get("metadata", {}).get("spillway-service") == self._service

    def _of(self, lease):
        """The lease's servers, the one to keep first. Just after it was made a server may be missing in a list."""
        found = [server for server in self._list(f"^{re.escape(server_name(lease.id))}$")
                 if server["metadata"].get("spillway-lease") == lease.id]
        known_id = lease.data.get("server")
        if known_id and all(server["id"] != known_id for server in found):
            answer = self._api.call("GET", f"/servers/{known_id}")
            if answer.status != 404:
                server = answer.expect(200).body["server"]
                found += [server] if self._is_ours(server) else []
        return sorted(found, key=lambda server: (server["id"] != known_id, server["created"], server["id"]))

    def _delete(self, server):
        answer = self._api.call("DELETE", f"/servers/{server['id']}")
        if answer.status != 404:
            answer.expect(204)

    def _machine(self, server):
        addresses = [each["addr"] for network in server.get("addresses", {}).values() for each in network]
        return Machine(self._provider_id.format(server=server["id"], lease=server["metadata"]["spillway-lease"]), server["name"],
                       server["status"] in RUNNING, addresses[:16])

    # --- the calls

    def start(self, work):
        servers = self._of(work.lease)
        for double in servers[1:]:
            self._delete(double)
        if not servers:
            return self._ask(work)
        server = servers[0]
        if work.lease.data.get("server") != server["id"]:
            work.remember(server=server["id"])
        if server["status"] == "ERROR":
            raise fault_of(server)
        if server["status"] not in RUNNING | STARTING:
            raise Failure("InsufficientCapacity", "MachineStopped", f"server {server['id']} is {server['status']}")
        return [self._machine(server)]

    def _ask(self, work):
        lease = work.lease
        if lease.data.get("server"):
            raise Failure("InsufficientCapacity", "MachineLost", f"server {lease.data['server']} is gone")
        if self._unsettled(lease):
            return []
        body = self._body(lease)
        work.remember(asked=self._clock())
        answer = self._api.call("POST", "/servers", body, ambiguous=True)
        if answer.status in (429, 413, 401):
            work.remember(asked=None)  # nothing was done
        if answer.status != 202:
            raise failure_of(answer)
        work.remember(server=answer.body["server"]["id"])
        return []

    def _unsettled(self, lease):
        """It was asked for one, and nobody knows whether that has made one."""
        asked = lease.data.get("asked")
        return asked is not None and not lease.data.get("server") and self._clock() < asked + self._settle

    def _body(self, lease):
        offer = self._offers.get(lease.offer)
        template = self._templates.get(lease.request.get("bootstrapRef", "default"))
        if offer is None or template is None:
            raise invalid("the offer or the bootstrapRef is not in the configuration any more", "ConfigurationChanged")
        # No labels here: metadata keys may not hold a slash.
        return {"server": {**self._common, "name": server_name(lease.id), "flavorRef": self._flavor(offer.id),
                           "user_data": user_data(template, offer, lease),
                           "metadata": {"spillway-lease": lease.id, "spillway-client": lease.client, "spillway-service": self._service}}}

    def _flavor(self, offer):
        """Its id; the configuration may give its name."""
        wanted = self._flavors[offer]
        flavors = self._api.call("GET", "/flavors").expect(200).body.get("flavors", [])
        named = [flavor["id"] for flavor in flavors if flavor.get("name") == wanted]
        return named[0] if len(named) == 1 and all(flavor["id"] != wanted for flavor in flavors) else wanted

    def status(self, work):
        servers = self._of(work.lease)
        for double in servers[1:]:
            self._delete(double)
        if servers and servers[0]["status"] == "ERROR":
            raise transient(fault_of(servers[0]).message, "ServerError")  # may be an action that failed; it may still run
        return [self._machine(server) for server in servers[:1] if server["status"] in RUNNING]

    def stop(self, work):
        servers = self._of(work.lease)
        for server in servers:
            self._delete(server)
        return not servers and not self._unsettled(work.lease) and self._really_gone(work.lease)

    def _really_gone(self, lease):
        """A server that is being deleted still has a machine."""
        server = lease.data.get("server")
        return server is None or self._api.call("GET", f"/servers/{server}").is_gone()

    def sweep(self, is_over):
        for server in self._list("^spw-"):
            if is_over(server["metadata"].get("spillway-lease", "")):
                self._delete(server)


def fault_of(server):
    """Why a server could not be made."""
    message = server.get("fault", {}).get("message", "") or "Nova gives no reason"
    if "quota" in message.lower():
        return Failure("QuotaExceeded", "Quota", message)
    code = "NoCapacity" if "No valid host" in message else "ServerError"
    return Failure("InsufficientCapacity", code, message)


def failure_of(answer: Answer):
    """What an answer to the request for a server means."""
    message = answer.message()
    if answer.status == 403 and "quota" in message.lower():
        return Failure("QuotaExceeded", "Quota", message)
    if answer.status in (400, 404, 422):
        return invalid(message, "NovaRefused")
    if answer.status == 409 and "No valid host" in message:
        return Failure("InsufficientCapacity", "NoCapacity", message)
    return answer.failure()
