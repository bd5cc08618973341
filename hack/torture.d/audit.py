"""The operator's writes, from the API server's audit log."""
import collections
import json
import re

OPERATOR = "system:serviceaccount:spillway-system:spillway"


class Writes:
    """done, refused: {(namespace, task): {what: count}}; others: {what: count} of other objects."""

    def __init__(self, file):
        self.done = collections.defaultdict(collections.Counter)
        self.refused = collections.defaultdict(collections.Counter)
        self.others = collections.Counter()
        self.torn = 0
        with open(file, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    self._take(json.loads(line))
                except (ValueError, KeyError):
                    self.torn += 1  # the API server was killed while it wrote it

    def _take(self, entry):
        if entry["user"]["username"] != OPERATOR:
            return
        ref = entry.get("objectRef", {})
        code = entry.get("responseStatus", {}).get("code", 0)
        what = ref.get("resource", "?") + ("/" + ref["subresource"] if "subresource" in ref else "")
        what = f"{entry['verb']} {what}"
        task = task_of(ref)
        if task is None:
            self.others[what] += code < 400
        else:
            (self.done if code < 400 else self.refused)[task][what] += 1


def task_of(ref):
    ns, name = ref.get("namespace", ""), ref.get("name", "")
    if not ns.startswith("torture"):
        return None
    if ref["resource"] == "taskrequests":
        return ns, name
    if ref["resource"] == "pods":
        return ns, re.sub(r"-\d+$", "", name)
    if ref["resource"] == "events":
        return ns, name.partition(".")[0]
    return None
