"""Writes JSON schemas for kubeconform from the API server's own OpenAPI, so that nothing is fetched.

usage: kubectl get --raw /openapi/v3/apis/apps/v1 | python3 schemas.py DIRECTORY

One file a kind, named as kubeconform asks for it (of the group only the first word); unknown fields are refused.
"""
import json
import pathlib
import sys


def localize(node):
    """References become local ones, and what has properties has no others."""
    if isinstance(node, list):
        return [localize(item) for item in node]
    if not isinstance(node, dict):
        return node
    out = {key: localize(value) for key, value in node.items()}
    if isinstance(out.get("$ref"), str):
        out["$ref"] = out["$ref"].replace("#/components/schemas/", "#/definitions/")
    if isinstance(out.get("properties"), dict) and out.get("type") == "object" and \
            not out.get("x-kubernetes-preserve-unknown-fields"):
        out.setdefault("additionalProperties", False)
    return out


def main():
    directory = pathlib.Path(sys.argv[1])
    definitions = localize(json.load(sys.stdin)["components"]["schemas"])
    for name, schema in definitions.items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            if kind["kind"].endswith(("List", "Options", "WatchEvent")) or kind["kind"] == "Status":
                continue
            file = "-".join(filter(None, (kind["kind"].lower(), kind["group"].split(".")[0], kind["version"]))) + ".json"
            (directory / file).write_text(json.dumps({"$ref": f"#/definitions/{name}", "definitions": definitions}))


if __name__ == "__main__":
    main()
