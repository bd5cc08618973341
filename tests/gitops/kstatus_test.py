#!/usr/bin/env python3
"""What kstatus, the library by which Flux and Helm 4 wait, makes of recorded objects of every phase.

A pipeline that waits for a task must not go on before the task's end, must not wait for ever for what needs a
person, and must not take an object for done that the operator has not seen.
"""
import pathlib
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = ROOT / "gitops" / "argocd" / "resource_customizations" / "spillway.dev"
WANTED = {
    "TaskRequest": {"new": "InProgress", "pending": "InProgress", "scaling": "InProgress", "assigned": "InProgress",
                    "running": "InProgress", "succeeded": "Current", "failed": "Failed", "cancelled": "Failed",
                    "suspended": "Failed"},
    "RegisteredServer": {"new": "InProgress", "ready": "Current", "overloaded": "Current", "cordoned": "Current",
                         "notready": "InProgress"},
    "ServerPool": {"new": "InProgress", "ready": "Current", "held": "Current"},
    "ScaleRequest": {"requested": "InProgress", "provisioning": "InProgress", "ready": "Current",
                     "releasing": "InProgress", "released": "Current", "failed": "Failed"},
    "Budget": {"new": "InProgress", "ready": "Current"},
}


def computed():
    tool = subprocess.run([ROOT / "hack" / "cluster", "kstatus"], check=True, capture_output=True, text=True).stdout.strip()
    files = sorted(BASE.glob("*/testdata/*.yaml"))
    lines = subprocess.run([tool, *files], check=True, capture_output=True, text=True).stdout.splitlines()
    found = {}
    for line in lines:
        path, status = line.split(" ")[:2]
        found.setdefault(pathlib.Path(path).parts[-3], {})[pathlib.Path(path).stem] = status
    return found


def main():
    failed = 0
    found = computed()
    for kind, phases in WANTED.items():
        if found[kind] != phases:
            failed += 1
            print(f"{kind}:\n  got    {found[kind]}\n  wanted {phases}")
        crd = yaml.safe_load((ROOT / "crds" / f"{kind.lower()}s.yaml").read_text())
        status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
        if status.get("default") != {"observedGeneration": -1}:
            failed += 1
            print(f"{kind}: the CRD gives a new object no status")
    print(f"{2 * len(WANTED) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
