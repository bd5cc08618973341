#!/usr/bin/env python3
"""Tasks come and go for a while; the operator's memory must stay as it is. hack/torture --churn starts it."""
import argparse
import random
import sys
import time

import checks
import report
import tasks
from api import task_path
from torture import end_on_signal, note
from world import World

RATE = 4  # tasks a second
GROWTH, LEAST = 1.10, 4  # a tenth, and four MiB: less is noise


def run(options):
    world = World(options)
    dice = random.Random(f"churn {options.seed}")
    end = time.monotonic() + options.minutes * 60
    made, failed, last = 0, [], []
    try:
        world.start()
        while time.monotonic() < end:
            begin = time.monotonic()
            for task in tasks.one(dice, made):
                made += 1
                task.body["spec"]["ttlSecondsAfterFinished"] = dice.randint(1, 30)
                world.api.create(task_path(task.ns), task.body)
                if task.action == "cancel":
                    world.api.patch(task_path(task.ns, task.name), {"spec": {"cancel": True}})
                last = (last + [task])[-2000:]
            if made % 500 < 2:
                note(f"{made} tasks, {[(r.name, round(rss)) for r, (rss, _) in world.memory()]} MiB")
            time.sleep(max(0, 1 / RATE - (time.monotonic() - begin)))
        # All of them end, and are deleted by their time to live.
        deadline = time.monotonic() + options.patience
        left = [1]
        while left and time.monotonic() < deadline:
            time.sleep(1)
            with world.recorder.lock:
                left = [k for k, s in world.recorder.now.items() if s["kind"] == "TaskRequest"]
        failed += [f"{key} is still there" for key in left]
        leader = world.leading()
    finally:
        world.stop()
    sizes = [each for _, name, life, *each in world.samples if (name, life) == (leader.name, leader.lives)]
    values, data = zip(*sizes)
    quarter = max(len(values) // 4, 1)
    before, after = (sorted(part)[len(part) // 2] for part in (values[quarter:2 * quarter] or values, values[-quarter:]))
    if after > before * GROWTH and after > before + LEAST:
        failed.append(f"the operator's memory has grown from {before:.1f} to {after:.1f} MiB")
    ends, broken = report.operator_ends(world.replicas)
    if sum(ends.values()) != 2:
        failed.append(f"the operators were to live through it: {dict(ends)}")
    with world.recorder.lock:
        replay = checks.Replay(world.recorder.history)
    figures = {"minutes": options.minutes, "tasks": made, "nodes": options.nodes,
               "ScaleRequests, NodeClaims ever": [len(replay.requests), len(replay.claims)],
               "leader's RSS, MiB: by eighths of the time": eighths(values),
               "what of that is data (RssAnon), MiB": eighths(data),
               "RSS, MiB: second quarter, last quarter, most": [round(before, 1), round(after, 1), round(max(values), 1)]}
    found = {"what must not be": failed + broken, "run twice at the same time": replay.twice,
             "bought twice": replay.bought}
    report.show(figures, found, world.out)
    return 1 if any(found.values()) else 0


def eighths(values):
    """The median of each eighth of the time."""
    size = max(len(values) // 8, 1)
    parts = [values[i:i + size] for i in range(0, len(values) - size + 1, size)][:8]
    return [round(sorted(part)[len(part) // 2], 1) for part in parts]


def main():
    parser = argparse.ArgumentParser()
    for name in ("cluster", "kubeconfig", "binary", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=int, default=300)
    end_on_signal()
    sys.exit(run(parser.parse_known_args()[0]))


if __name__ == "__main__":
    main()
