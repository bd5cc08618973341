#!/usr/bin/env python3
"""The checks of hack/torture see what they are there for: each is shown a history that is broken, and one that is not."""
import collections
import pathlib
import sys
import tempfile
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "hack/torture.d"))
sys.dont_write_bytecode = True
import audit  # noqa: E402
import checks  # noqa: E402
import faults  # noqa: E402
import report  # noqa: E402
import tasks  # noqa: E402


class History:
    """Writes entries as the recorder does."""

    def __init__(self):
        self.entries, self.now = [], {}
        self.add("/registry/minions/n", 0, kind="Node", name="n", uid="node", ready=True, since=None)

    def add(self, key, when, **state):
        state = {"ns": "torture-0", "created": "2026-01-01T00:00:00Z", "labels": {}, "deleting": False,
                 "owner": "", "status": {}, "spec": {}, **state}
        self.entries.append([len(self.entries) + 1, when, key, state])
        self.now[key] = state

    def delete(self, key, when=0):
        self.entries.append([len(self.entries) + 1, when, key, None])
        self.now.pop(key)

    def pod(self, name, phase, when=0, node="n"):
        self.add(f"/registry/pods/torture-0/{name}", when, kind="Pod", name=name, uid=f"uid of {name}",
                 owner="task", phase=phase, node=node, created=f"2026-01-01T00:{when // 60:02}:{when % 60:02}Z")

    def task(self, name, phase, **more):
        self.add(f"/registry/spillway.dev/taskrequests/torture-0/{name}", 0, kind="TaskRequest", name=name,
                 uid="task", status={"phase": phase, **more})

    def request(self, name, phase):
        self.add(f"/registry/spillway.dev/scalerequests/{name}", 0, kind="ScaleRequest", name=name,
                 uid=f"uid of {name}", status={"phase": phase})

    def claim(self, request, uid, launched, **more):
        self.add("/registry/karpenter.sh/nodeclaims/spw-" + request, 0, kind="NodeClaim",
                 name="spw-" + request, uid=uid, labels={"spillway.dev/request": request}, launched=launched,
                 **{"ready": False, **more})

    def replay(self):
        return checks.Replay(self.entries)


def task(kind="local", **more):
    out = tasks.Task("torture-0", "t", kind, {"cpu": "1"}, {}, ["Succeeded"])
    vars(out).update(more)
    return out


class Checks(unittest.TestCase):
    def setUp(self):
        self.history = History()

    def test_a_task_that_has_not_ended_is_lost(self):
        self.history.task("t", "Running")
        self.assertEqual(len(checks.lost(self.history.now, [task()])), 1)
        self.history.task("t", "Succeeded")
        self.assertEqual(checks.lost(self.history.now, [task()]), [])

    def test_a_task_that_is_gone_without_its_user_is_lost(self):
        self.assertEqual(len(checks.lost({}, [task()])), 1)
        self.assertEqual(checks.lost({}, [task(deleted=True)]), [])

    def test_a_second_pod_beside_one_that_may_run_is_seen(self):
        self.history.pod("t-1", "Running")
        self.history.pod("t-2", "Pending")
        self.assertEqual(len(self.history.replay().twice), 1)

    def test_a_second_pod_after_the_end_of_the_first_is_none(self):
        self.history.pod("t-1", "Running")
        self.history.pod("t-1", "Failed")
        self.history.pod("t-2", "Running")
        self.history.delete("/registry/pods/torture-0/t-2")
        self.history.pod("t-3", "Running")
        self.assertEqual(self.history.replay().twice, [])

    def test_what_ran_on_a_node_that_is_gone_may_run_again(self):
        self.history.pod("t-1", "Running")
        self.history.delete("/registry/minions/n")
        self.history.pod("t-2", "Pending")
        self.assertEqual(self.history.replay().twice, [])

    def test_an_unready_node_counts_as_gone_after_a_minute_only(self):
        self.history.pod("t-1", "Running")
        self.history.add("/registry/minions/n", 10, kind="Node", name="n", uid="node", ready=False,
                         since="2026-01-01T00:00:10Z")
        self.history.pod("t-2", "Pending", when=40, node="m")
        self.assertEqual(len(self.history.replay().twice), 1)
        self.history.entries.pop()
        self.history.pod("t-2", "Pending", when=75, node="m")
        self.assertEqual(self.history.replay().twice, [])

    def test_what_must_not_run_again_is_seen_when_it_does(self):
        self.history.pod("t-1", "Failed")
        self.history.task("t", "Failed")
        self.assertEqual(checks.more_than_once(self.history.replay(), [task("once")]), [])
        self.history.pod("t-2", "Running")
        self.assertEqual(len(checks.more_than_once(self.history.replay(), [task("once")])), 1)

    def test_a_second_server_for_one_request_is_seen(self):
        self.history.claim("r", "first", launched=False)
        self.history.claim("r", "first", launched=True)
        self.history.delete("/registry/karpenter.sh/nodeclaims/spw-r")
        self.assertEqual(self.history.replay().bought, [])
        self.history.claim("r", "second", launched=False)
        self.assertEqual(len(self.history.replay().bought), 1)

    def test_a_second_claim_after_one_that_was_never_launched_is_none(self):
        self.history.claim("r", "first", launched=False)
        self.history.delete("/registry/karpenter.sh/nodeclaims/spw-r")
        self.history.claim("r", "second", launched=False)
        self.assertEqual(self.history.replay().bought, [])

    def test_two_servers_under_way_for_one_task_are_seen(self):
        for end, broken in (({}, 1), ({"ready": True}, 0), ({"deleting": True}, 0)):
            history = History()
            history.request("spw-u-1", "Provisioning")
            history.request("spw-u-2", "")
            history.claim("uid of spw-u-1", "first", launched=True, **end)
            history.claim("uid of spw-u-2", "second", launched=False)
            self.assertEqual(len(history.replay().bought), broken, end)

    def test_what_was_not_released_is_seen(self):
        self.history.request("spw-u-1", "Ready")
        self.history.claim("r", "uid", launched=True)
        self.history.add("/registry/spillway.dev/registeredservers/s", 0, kind="RegisteredServer", name="s",
                         uid="s", spec={"origin": "Cloud"})
        self.assertEqual(len(checks.unreleased(self.history.now)), 3)
        self.assertEqual(checks.unreleased(History().now), [])

    def test_a_budget_that_is_not_the_sum_of_its_tasks_is_seen(self):
        for spent, committed, broken in (("0.25", "0", 0), ("0.15", "0", 1), ("0.35", "0", 1), ("0.25", "0.1", 1)):
            history = History()
            for name, cost in (("a", "0.1"), ("b", "0.15")):
                history.add(f"/registry/spillway.dev/taskrequests/torture-warn/{name}", 0, kind="TaskRequest",
                            ns="torture-warn", name=name, uid=name, status={"cost": cost})
            history.add("/registry/spillway.dev/budgets/torture-warn/month", 0, kind="Budget", ns="torture-warn",
                        name="month", uid="budget", status={"spent": spent, "committed": committed})
            self.assertEqual(len(checks.budgets(history.entries, history.now, 0.4)), broken, (spent, committed))

    def test_writes_beyond_what_a_task_explains_are_seen(self):
        self.history.task("t", "Succeeded")
        self.history.pod("t-1", "Succeeded")
        for writes, broken in ((24, 0), (25, 1)):
            run = types.SimpleNamespace(task_writes={("torture-0", "t"): collections.Counter(patch=writes)})
            self.assertEqual(len(checks.too_many_writes(run, self.history.entries)), broken)


class Instruments(unittest.TestCase):
    def test_the_same_seed_means_the_same_faults_and_tasks(self):
        kinds = lambda seed: [(f.kind, f.gap, f.seconds) for f in faults.schedule(seed, 60)]
        self.assertEqual(kinds(3), kinds(3))
        self.assertNotEqual(kinds(3), kinds(4))
        bodies = lambda seed: [(t.body, t.action) for t in tasks.make(seed, 100)]
        self.assertEqual(bodies(3), bodies(3))

    def test_forty_faults_are_of_every_kind(self):
        self.assertEqual({f.kind for f in faults.schedule(1, 40)}, set(faults.FIRST) | set(faults.REST))

    def test_writes_are_counted_by_task_and_torn_lines_are_passed_over(self):
        line = ('{"verb":"%s","user":{"username":"' + audit.OPERATOR + '"},"objectRef":{"resource":"%s",'
                '"namespace":"torture-0","name":"%s"},"responseStatus":{"code":%d}}\n')
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(line % ("create", "pods", "a-b-12", 201) + line % ("patch", "taskrequests", "a-b", 200) +
                       line % ("create", "events", "a-b.17-1", 201) + line % ("create", "pods", "a-b-13", 403) +
                       '{"verb":"cre')
            file.flush()
            writes = audit.Writes(file.name)
        self.assertEqual(sum(writes.done[("torture-0", "a-b")].values()), 3)
        self.assertEqual(sum(writes.refused[("torture-0", "a-b")].values()), 1)
        self.assertEqual(writes.torn, 1)

    def test_an_operator_that_dies_by_itself_is_seen(self):
        for cause, code, text, broken in (
                ("killed", -9, "", 0), ("asked", 0, "", 0), ("by itself", 1, "lost the leader election Lease", 0),
                ("by itself", 1, "", 1), ("by itself", -11, "", 1), ("killed", -9, "terminate called", 1)):
            with tempfile.NamedTemporaryFile("w") as log:
                log.write(text)
                log.flush()
                replica = types.SimpleNamespace(name="a", exits=[(cause, code, log.name)])
                self.assertEqual(len(report.operator_ends([replica])[1]), broken, (cause, code, text))


if __name__ == "__main__":
    unittest.main()
