"""Checks what comes from outside against openapi.yaml itself, so that the two cannot differ."""
import json
import pathlib
import re

import yaml

from .errors import invalid

MOST_BODY = 1 << 20
MOST_DEPTH = 16
DOCUMENT = pathlib.Path(__file__).resolve().parent.parent / "openapi.yaml"
KINDS = {"object": dict, "array": list, "string": str, "boolean": bool}


def _refuse_constant(name):
    raise ValueError(f"{name} is not JSON")


def depth_of(value):
    deepest, todo = 0, [(value, 1)]
    while todo:
        each, depth = todo.pop()
        deepest = max(deepest, depth)
        if isinstance(each, (dict, list)):
            todo.extend((child, depth + 1) for child in (each.values() if isinstance(each, dict) else each))
    return deepest


def parse_json(data):
    """What the bytes say; a Failure if they are not JSON, or nested too deep."""
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as why:
        raise invalid(f"the body is not JSON: {why}", "NotJson", 400) from None
    if depth_of(value) > MOST_DEPTH:
        raise invalid(f"the body is nested more than {MOST_DEPTH} deep", "NotJson", 400)
    return value


def canonical(value):
    """Equal for equal JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


class Contract:
    def __init__(self, path=DOCUMENT):
        with open(path, encoding="utf-8") as file:
            self.document = yaml.safe_load(file)

    def _resolve(self, reference):
        found = self.document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        return found

    def schema(self, name):
        return self.document["components"]["schemas"][name]

    def body_of(self, path, method):
        return self.document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]

    def parameters_of(self, path):
        return {each["name"]: each for each in self.document["paths"][path]["get"].get("parameters", [])}

    def check(self, schema, value, where="the body"):
        """The value with only what the contract names. A Failure says what is wrong, where."""
        if "$ref" in schema:
            value = self.check(self._resolve(schema["$ref"]), value, where)
        self._check_kind(schema, value, where)
        if isinstance(value, str):
            self._check_text(schema, value, where)
        elif isinstance(value, dict):
            return self._check_object(schema, value, where)
        elif isinstance(value, list):
            return self._check_list(schema, value, where)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._check_number(schema, value, where)
        return value

    @staticmethod
    def _check_kind(schema, value, where):
        kind = schema.get("type")
        if kind is None:
            return
        if kind in ("integer", "number"):
            right = isinstance(value, (int, float)) and not isinstance(value, bool)
            right = right and (kind == "number" or isinstance(value, int) or value.is_integer())
        else:
            right = isinstance(value, KINDS[kind])
        if not right:
            raise invalid(f"{where} must be of type {kind}", status=400)

    @staticmethod
    def _check_text(schema, value, where):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1 << 20):
            raise invalid(f"{where} must have {schema.get('minLength', 0)} to {schema['maxLength']} characters, has {len(value)}")
        pattern = schema.get("pattern")
        # The contract's $ is the very end, Python's may stand before a last newline.
        if pattern and not re.fullmatch(pattern.removeprefix("^").removesuffix("$"), value):
            raise invalid(f"{where} must match {pattern}")
        if "enum" in schema and value not in schema["enum"]:
            raise invalid(f"{where} must be one of {', '.join(schema['enum'])}")

    @staticmethod
    def _check_number(schema, value, where):
        low, high = schema.get("minimum"), schema.get("maximum")
        if (low is not None and value < low) or (high is not None and value > high):
            raise invalid(f"{where} must be at least {low} and at most {high}")
        return int(value) if schema.get("type") == "integer" else value

    def _check_list(self, schema, value, where):
        if len(value) > schema.get("maxItems", len(value)):
            raise invalid(f"{where} may have at most {schema['maxItems']} elements, has {len(value)}")
        if "items" not in schema:
            return value
        return [self.check(schema["items"], each, f"{where}[{i}]") for i, each in enumerate(value)]

    def _check_object(self, schema, value, where):
        if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)):
            bounds = f"{schema.get('minProperties', 0)} to {schema.get('maxProperties', 'any number of')}"
            raise invalid(f"{where} must have {bounds} members, has {len(value)}")
        for key in schema.get("required", []):
            if key not in value:
                raise invalid(f"{where} lacks {key}", status=400)
        properties, more = schema.get("properties"), schema.get("additionalProperties")
        if properties is None and more is None:
            return value
        kept = {}
        for key, each in value.items():
            if properties and key in properties:
                kept[key] = self.check(properties[key], each, f"{where}: {key}")
            elif isinstance(more, dict):
                self.check(schema.get("propertyNames", {}), key, f"{where}: a name")
                kept[key] = self.check(more, each, f"{where}: {key}")
        return kept
