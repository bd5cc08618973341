"""Which offer a lease gets."""
import dataclasses
import re
from decimal import Decimal, InvalidOperation

from .errors import invalid, no_capacity

SUFFIXES = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1)}
SUFFIXES |= {suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", 1)}
SUFFIXES |= {suffix + "i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)}


def quantity(text):
    number, exponent, suffix = re.fullmatch(r"\+?([0-9.]+)(?:[eE]([+-]?[0-9]+))?([a-zA-Z]*)", text).groups()
    try:
        return Decimal(number).scaleb(int(exponent or 0)) * SUFFIXES[suffix]
    except (InvalidOperation, KeyError, OverflowError):
        raise invalid(f"{text} is not a quantity") from None


@dataclasses.dataclass
class Offer:
    id: str
    resources: dict
    labels: dict
    price: str | None = None
    available: int | None = None  # None: not known

    def body(self):
        body = {"id": self.id, "resources": self.resources, "labels": self.labels}
        if self.price is not None:
            body["pricePerHour"] = self.price
        if self.available is not None:
            body["available"] = self.available
        return body

    def amount(self, name):
        return quantity(self.resources.get(name, "0"))

    def gpus(self):
        return sum(self.amount(name) for name in self.resources if name.endswith("/gpu"))


def cheapest_first(offers):
    return sorted(offers, key=lambda offer: (Decimal(offer.price or "0"), offer.id))


def holds(requirement, labels):
    """As a node affinity reads it."""
    key, operator, values = requirement["key"], requirement["operator"], requirement.get("values", [])
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    try:
        have, bound = int(labels[key]), int(values[0])
    except (KeyError, ValueError, IndexError):
        return False
    return have > bound if operator == "Gt" else have < bound


def why_not(offer, request):
    """Why the offer does not serve the request; None if it does."""
    for name, wanted in request["resources"].items():
        if quantity(wanted) > offer.amount(name):
            return f"{offer.id} has {name} {offer.resources.get(name, '0')}, {wanted} is asked for"
    labels = {**offer.labels, **request.get("labels", {})}
    for requirement in request.get("requirements", []):
        if not holds(requirement, labels):
            what = " ".join([requirement["key"], requirement["operator"], ",".join(requirement.get("values", []))])
            return f"{offer.id} does not satisfy {what.strip()}"
    for key, value in request.get("labels", {}).items():
        if offer.labels.get(key, value) != value:
            return f"{offer.id} has the label {key}={offer.labels[key]}, {value} is asked for"
    return None


def choose(offers, request):
    """The cheapest offer that serves the request and is there. A Failure: there is none now, or never."""
    wanted = request.get("offerId")
    candidates = [offer for offer in cheapest_first(offers) if wanted in (None, offer.id)]
    if not candidates:
        raise invalid(f"there is no offer {wanted}" if wanted else "this service has no offers", "NoSuchOffer")
    reasons = {offer.id: why_not(offer, request) for offer in candidates}
    serving = [offer for offer in candidates if reasons[offer.id] is None]
    if not serving:
        raise invalid("no offer serves this: " + "; ".join(list(reasons.values())[:8]), "NothingFits")
    for offer in serving:
        if offer.available is None or offer.available > 0:
            return offer
    raise no_capacity("all machines are in use of: " + ", ".join(offer.id for offer in serving[:8]))
