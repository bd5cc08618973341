#!/usr/bin/env python3
"""Runs Argo CD's scripts for our kinds against recorded objects, as that project's own test does.

Reads health_test.yaml and actions/action_test.yaml below gitops/argocd, runs each script in Lua 5.1, whose
dialect Argo CD's interpreter has, and compares. Every phase that a CRD allows must have a recorded object.
"""
import json
import pathlib
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = ROOT / "gitops" / "argocd" / "resource_customizations" / "spillway.dev"
# Prints a value as JSON; a table with [1] is a list.
PRINT = """
local function out(v)
  if type(v) == "table" then
    local parts = {}
    if v[1] ~= nil then
      for _, x in ipairs(v) do parts[#parts + 1] = out(x) end
      return "[" .. table.concat(parts, ",") .. "]"
    end
    for k, x in pairs(v) do parts[#parts + 1] = string.format("%q", k) .. ":" .. out(x) end
    return "{" .. table.concat(parts, ",") .. "}"
  end
  if type(v) == "string" then
    return '"' .. v:gsub('[%c"\\\\]', function(c) return string.format("\\\\u%04x", c:byte()) end) .. '"'
  end
  return tostring(v)
end
"""


def lua(value):
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, list):
        return "{" + ",".join(lua(item) for item in value) + "}"
    if isinstance(value, dict):
        return "{" + ",".join(f"[{lua(key)}]={lua(item)}" for key, item in value.items()) + "}"
    return '"' + "".join(f"\\{byte:03d}" for byte in str(value).encode()) + '"'


def run(script, obj):
    chunk = f"{PRINT}\nobj = {lua(obj)}\nio.write(out((function()\n{script.read_text()}\nend)()))"
    done = subprocess.run(["lua5.1", "-"], input=chunk, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{script}: {done.stderr}")
    return json.loads(done.stdout)


class Plain(yaml.SafeLoader):
    """Dates stay text, as they are in JSON."""


Plain.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)


def load(path):
    return yaml.load(path.read_text(), Loader=Plain)


def prune(value):
    """Without what Lua cannot tell from nothing: null, and empty lists and maps."""
    if isinstance(value, dict):
        return {key: prune(item) for key, item in value.items() if item not in (None, [], {})}
    return [prune(item) for item in value] if isinstance(value, list) else value


class Test:
    def __init__(self):
        self.passed = self.failed = 0

    def equal(self, what, got, wanted):
        if prune(got) == prune(wanted):
            self.passed += 1
            return
        self.failed += 1
        print(f"{what}:\n  got    {json.dumps(got, sort_keys=True)}\n  wanted {json.dumps(wanted, sort_keys=True)}")


def health(test, kind):
    phases = set()
    for case in load(kind / "health_test.yaml")["tests"]:
        obj = load(kind / case["inputPath"])
        phases.add((obj.get("status") or {}).get("phase"))
        test.equal(f"{kind.name} {case['inputPath']}", run(kind / "health.lua", obj), case["healthStatus"])
    crd = load(ROOT / "crds" / f"{kind.name.lower()}s.yaml")
    status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    known = set(status.get("phase", {}).get("enum", []))
    test.equal(f"{kind.name}: phases without a recorded object", sorted(known - phases), [])


def actions(test, kind):
    folder = kind / "actions"
    cases = load(folder / "action_test.yaml")
    for case in cases["discoveryTests"]:
        found = run(folder / "discovery.lua", load(folder / case["inputPath"]))
        found = [{"name": name, **action} for name, action in sorted(found.items())]
        test.equal(f"{kind.name} actions of {case['inputPath']}", found, case["result"])
    for case in cases["actionTests"]:
        test.equal(f"{kind.name} {case['action']}", run(folder / case["action"] / "action.lua", load(folder / case["inputPath"])),
                   load(folder / case["expectedOutputPath"]))


def main():
    test = Test()
    for kind in sorted(BASE.iterdir()):
        health(test, kind)
        if (kind / "actions").is_dir():
            actions(test, kind)
    print(f"{test.passed} passed, {test.failed} failed")
    sys.exit(1 if test.failed else 0)


if __name__ == "__main__":
    main()
