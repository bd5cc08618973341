#!/usr/bin/env python3
"""Includes point one way: between the folders of operator/, and between the rooms of its core.

Prints each include that does not, and fails. With --self-test, fails where a planted one is not found.
"""
import pathlib
import re
import sys

# Which folders a folder may include, beside itself.
FOLDERS = {
    "base": set(),
    "api": {"base"},
    "core": {"base", "api"},
    "kube": {"base"},
    "cloud": {"base", "api", "kube"},
    "runtime": {"base", "api", "core", "kube", "cloud"},
}
# The same for the rooms of the core. What lies beside them is for all ("floor").
ROOMS = {
    "floor": set(),
    "servers": {"floor"},
    "budgets": {"floor"},
    "scheduling": {"floor", "servers", "budgets", "world"},
    "provisioning": {"floor", "servers", "budgets", "scheduling", "world"},
    "tasks": {"floor", "servers", "budgets", "scheduling", "world"},
    "explain": {"floor", "servers", "budgets", "scheduling", "provisioning", "tasks", "world"},
}
# These compose the rooms, and may include all of them. Only world.h is for the rooms to include.
TOP = {"core", "dispatch", "world"}


def room_of(path):
    """Of a path in operator/core, such as tasks/tasks.h."""
    head, _, rest = path.partition("/")
    if rest:
        return head
    stem = head.split(".")[0]
    return stem if stem in TOP else "floor"


def wrong(path, included):
    """Whether a file may not include another; both are paths in operator/."""
    folder, _, rest = path.partition("/")
    other, _, other_rest = included.partition("/")
    if not rest:
        return False  # main.cc
    if folder != other:
        return other not in FOLDERS.get(folder, set())
    if folder != "core" or room_of(rest) in TOP:
        return False
    room, other_room = room_of(rest), room_of(other_rest)
    return room != other_room and other_room not in ROOMS.get(room, set())


INCLUDE = re.compile(r'#include "operator/([^"]+)"')


def self_test():
    planted = [
        ("base/time.h", "api/meta.h"),
        ("api/meta.h", "core/events.h"),
        ("kube/watcher.cc", "api/meta.h"),
        ("core/context.h", "core/world.h"),
        ("core/events.h", "core/tasks/state.h"),
        ("core/servers/state.h", "core/scheduling/shape.h"),
        ("core/budgets/budgets.h", "core/world.h"),
        ("core/scheduling/placer.cc", "core/tasks/status.h"),
        ("core/scheduling/placer.cc", "core/dispatch.h"),
        ("core/provisioning/purchases.cc", "core/tasks/tasks.h"),
        ("core/tasks/tasks.cc", "core/explain/explain.h"),
        ("core/tasks/tasks.cc", "core/provisioning/scaling.h"),
        ("core/newroom/new.h", "core/events.h"),
    ]
    right = [
        ("base/time.h", "base/result.h"),
        ("core/core.cc", "core/explain/explain.h"),
        ("core/scheduling/placer.cc", "core/servers/load.h"),
        ("core/tasks/tasks.cc", "core/world.h"),
        ("core/tasks/tasks.cc", "base/time.h"),
        ("runtime/loop.cc", "core/core.h"),
        ("main.cc", "runtime/loop.h"),
    ]
    return [f"not found: {a} includes {b}" for a, b in planted if not wrong(a, b)] + [
        f"wrongly refused: {a} includes {b}" for a, b in right if wrong(a, b)]


def main():
    found = self_test()
    if "--self-test" not in sys.argv[1:]:
        for path in sorted(pathlib.Path("operator").rglob("*.[hc]*")):
            name = path.as_posix().removeprefix("operator/")
            for number, line in enumerate(path.read_text().splitlines(), 1):
                include = INCLUDE.match(line)
                if include and wrong(name, include[1]):
                    found.append(f"{path}:{number}: may not include operator/{include[1]}")
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)


main()
