#!/usr/bin/env python3
"""Tortures an operator on a real cluster; hack/torture starts it. Exit status 1: something is broken."""
import argparse
import pathlib
import signal
import sys
import time

import checks
import faults
import report
import tasks
from audit import Writes
from hostile import Hostile
from users import Users
from world import PRICE, World


def note(text):
    print(f"    {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def end_on_signal():
    """What was stopped goes on, and what was started ends, whoever ends us."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class Run:
    def __init__(self, options):
        self.options = options
        self.world = World(options)
        self.tasks = tasks.make(options.seed, options.tasks)
        self.faults = faults.schedule(options.seed, options.faults)
        self.users = Users(self.world.api, options.seed)
        self.hostile = Hostile(self.world.api)
        self.torturer = faults.Faults(self.world, self.faults, note)
        self.released_after = 0.0

    def go(self):
        begin = time.monotonic()
        self.world.start()
        note("the servers are ready")
        if self.options.hostile:
            self.hostile.run()
            note(f"{self.hostile.made} hostile objects are there; the API server itself refused "
                 f"{len(self.hostile.stubborn)}")
        self._torture()
        note("all faults are mended; waiting for the tasks")
        self._settle()
        self.seconds = time.monotonic() - begin

    def _torture(self):
        """The tasks come in waves, one before each fault; the last eighth of the faults has none."""
        waves = max(len(self.faults) * 7 // 8, 1)
        size = -(-len(self.tasks) // waves)
        if not self.faults:
            self.users.apply(self.tasks)
        self.torturer.run(lambda i: self.users.apply(self.tasks[i * size:(i + 1) * size]))

    def _settle(self):
        recorder = self.world.recorder
        left, since = None, time.monotonic()
        # As long as tasks end; after a fault waits of up to five minutes are in order (docs/behaviour.md).
        while time.monotonic() - since < self.options.patience:
            with recorder.lock:
                now = dict(recorder.now)
            rest = len(checks.unfinished(now, self.tasks)) + (0 if self.users.idle() else 1)
            if rest == 0:
                break
            if rest != left:
                left, since = rest, time.monotonic()
            time.sleep(0.5)
        self.hostile.end()
        begin = time.monotonic()
        while time.monotonic() - begin < self.options.patience:
            with recorder.lock:
                now = dict(recorder.now)
            if not checks.unreleased(now):
                break
            time.sleep(0.5)
        self.released_after = time.monotonic() - begin
        # The budgets' and pools' last words.
        time.sleep(12)

    def judge(self):
        recorder = self.world.recorder
        with recorder.lock:
            history, self.recorder_now = list(recorder.history), dict(recorder.now)
        now = self.recorder_now
        self.replay = checks.Replay(history)
        self.audit = Writes(pathlib.Path(self.options.cluster) / "log/audit.log")
        names = {(t.ns, t.name) for t in self.tasks}
        self.task_writes = {k: c for k, c in self.audit.done.items() if k in names}
        self.ends, ends = report.operator_ends(self.world.replicas)
        slow = [f"{seconds:.1f} s, and nothing else was in the way"
                for seconds, clean in report.takeovers(self.faults, history)
                if clean and seconds > report.PROMISED_TAKEOVER]
        return {
            "tasks lost, or ended otherwise than they must": checks.lost(now, self.tasks),
            "run twice at the same time": self.replay.twice,
            "run again though it must not": checks.more_than_once(self.replay, self.tasks),
            "bought twice": self.replay.bought,
            "purchases never released": checks.unreleased(now),
            "budgets that do not add up": checks.budgets(history, now, PRICE),
            "too many writes": checks.too_many_writes(self, history),
            "operators that died": ends,
            "a leader that was taken over too late": slow,
            "what this instrument could not do": self.torturer.failed + self.users.refused + [
                f"not recorded: {gap}" for gap in recorder.gaps],
        }


def main():
    parser = argparse.ArgumentParser()
    for name in ("cluster", "kubeconfig", "binary", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=int, default=360)
    parser.add_argument("--no-hostile", dest="hostile", action="store_false")
    options = parser.parse_args()
    sys.setrecursionlimit(20_000)  # hostile objects are deep
    end_on_signal()
    run = Run(options)
    try:
        run.go()
    finally:
        run.world.stop()
    broken = run.judge()
    report.show(report.collect(run), broken, run.world.out)
    sys.exit(1 if any(broken.values()) else 0)


if __name__ == "__main__":
    main()
