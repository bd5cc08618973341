#!/usr/bin/env python3
"""The chart's configuration for kube-state-metrics against the CRDs: every path exists and is of a kind that it reads."""
import pathlib
import sys

import yaml

ROOT = pathlib.Path(__file__).parent.parent.parent
METADATA = {"name": "string", "namespace": "string", "uid": "string", "creationTimestamp": "date-time"}
# Text that it reads as a number: times, quantities and amounts, True and False.
NUMBERS = {"integer", "number", "boolean", "string"}


def schemas():
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        crd = yaml.safe_load(path.read_text())
        version = crd["spec"]["versions"][0]
        yield (crd["spec"]["group"], version["name"], crd["spec"]["names"]["kind"]), version["schema"]["openAPIV3Schema"]


def at(schema, path):
    """The schema of the path; None if there is none."""
    if path and path[0] == "metadata":
        return {"type": "string"} if len(path) == 2 and path[1] in METADATA else None
    for step in path:
        schema = schema.get("properties", {}).get(step)
        if schema is None:
            return None
    return schema


def elements(schema):
    """What one metric is made from: an element of a list, a value of a map, or the thing itself."""
    if schema.get("type") == "array":
        return schema["items"]
    more = schema.get("additionalProperties")
    return more if isinstance(more, dict) else schema


def problems_of(schema, metric):
    kind = metric["each"]["type"]
    each = metric["each"][kind[0].lower() + kind[1:]]
    place = at(schema, each.get("path", []))
    if place is None:
        yield f"there is no {'.'.join(each['path'])}"
        return
    element = schema if kind == "Info" and "path" not in each else elements(place)
    for label, path in each.get("labelsFromPath", {}).items():
        if at(element, path) is None:
            yield f"label {label}: there is no {'.'.join(path)}"
    if kind == "StateSet" and each["list"] != place.get("enum"):
        yield f"lists {each['list']}, and the CRD {place.get('enum')}"
    if kind == "Gauge":
        value = at(element, each.get("valueFrom", []))
        if value is None or value.get("type", "string") not in NUMBERS:
            yield "the value is no number"
        is_map = place.get("type") == "object"
        if is_map != ("labelFromKey" in each):
            yield "labelFromKey is for maps, and only for them"


def problems(known, resource):
    gvk = resource["groupVersionKind"]
    schema = known.get((gvk["group"], gvk["version"], gvk["kind"]))
    if schema is None:
        yield f"there is no kind {gvk}"
        return
    for label, path in resource["labelsFromPath"].items():
        if at(schema, path) is None:
            yield f"{gvk['kind']}: label {label}: there is no {'.'.join(path)}"
    for metric in resource["metrics"]:
        for problem in problems_of(schema, metric):
            yield f"{gvk['kind']}: {metric['name']}: {problem}"


def main():
    config = yaml.safe_load((ROOT / "charts/spillway/files/kube-state-metrics.yaml").read_text())
    known = dict(schemas())
    resources = config["spec"]["resources"]
    found = [each for resource in resources for each in problems(known, resource)]
    told = {resource["groupVersionKind"]["kind"] for resource in resources}
    found += [f"kind {kind} is not told" for _, _, kind in known if kind not in told]
    names = [f"{r['metricNamePrefix']}_{m['name']}" for r in resources for m in r["metrics"]]
    found += [f"{name} is there twice" for name in set(names) if names.count(name) > 1]
    # The operator's own metrics may be scraped by the same Prometheus.
    own = (ROOT / "docs" / "metrics.md").read_text()
    found += [f"{name} is a metric of the operator" for name in names if f"`{name}`" in own]
    print("\n".join(found + [f"{len(names) - len(found)} passed, {len(found)} failed"]))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
