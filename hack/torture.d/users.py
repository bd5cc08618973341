"""What the users do: they apply their tasks, and some change their minds."""
import heapq
import random
import threading
import time

from api import task_path


class Users:
    """A few threads that carry out what is due. refused: what the API server would not take."""

    def __init__(self, api, seed, threads=6):
        self.api = api
        self.dice = random.Random(f"users {seed}")
        self.due, self.count, self.busy = [], 0, 0
        self.changed = threading.Condition()
        self.refused, self.actions = [], {}
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def at(self, when, work, *arguments):
        with self.changed:
            self.count += 1
            heapq.heappush(self.due, (when, self.count, work, arguments))
            self.changed.notify()

    def apply(self, tasks):
        for task in tasks:
            self.at(time.monotonic(), self._create, task)

    def idle(self):
        with self.changed:
            return not self.due and not self.busy

    def _next(self):
        with self.changed:
            while True:
                now = time.monotonic()
                if self.due and self.due[0][0] <= now:
                    self.busy += 1
                    return heapq.heappop(self.due)
                self.changed.wait(min(self.due[0][0] - now, 1) if self.due else 1)

    def _work(self):
        while True:
            _, _, work, arguments = self._next()
            try:
                work(*arguments)
            except Exception as error:
                self.refused.append(f"{work.__name__} {arguments[0].name}: {error!r}")
            with self.changed:
                self.busy -= 1

    def _create(self, task):
        self.api.create(task_path(task.ns), task.body)
        task.made += 1
        if task.made == 1 and task.action:
            self.at(time.monotonic() + task.after, self._act, task)

    def _act(self, task):
        path = task_path(task.ns, task.name)
        with self.changed:
            self.actions[task.action] = self.actions.get(task.action, 0) + 1
            later = self.dice.uniform(0.5, 12)
        if task.action == "cancel":
            self.api.patch(path, {"spec": {"cancel": True}})
        elif task.action == "suspend":
            self.api.patch(path, {"spec": {"suspend": True}})
            self.at(time.monotonic() + later, self._resume, task)
        elif task.action == "delete":
            task.deleted = True
            self.api.delete(path)
        elif task.action == "again":
            self.api.delete(path)
            while self.api.get(path) is not None:
                time.sleep(0.2)
            self.at(time.monotonic() + later / 6, self._create, task)

    def _resume(self, task):
        self.api.patch(task_path(task.ns, task.name), {"spec": {"suspend": False}})
