#!/usr/bin/env python3
"""The service is killed in the middle of its work, again and again: no lease ever has two machines, and none is left over."""
import concurrent.futures
import os
import random
import time
import unittest

from running import Case, wait_until

ROUNDS = int(os.environ.get("SPILLWAY_CRASHES", "12"))


class CrashTest(Case):
    MACHINES = [{"name": f"m{i}", "offer": "small", "resources": {"cpu": 4}} for i in range(12)]
    # A command of the machine that still runs while another is started is a fault.
    ALONE = 'exec 9>>"$DIR/lock.$SPILLWAY_MACHINE"; flock -n 9 || echo "$0 $SPILLWAY_MACHINE" >>"$DIR/double"; sleep 0.1; '
    START = ALONE + Case.START + "; sleep 0.1"
    STOP = ALONE + Case.STOP

    def until_answered(self, ask):
        """What a client does: the same again until it is answered."""
        until = time.monotonic() + 120
        while True:
            try:
                return ask()
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def crash(self, rng):
        time.sleep(rng.uniform(0, 0.5))
        self.service.kill()
        self.service.start()

    def test_killed_in_the_middle_of_put_and_delete_no_lease_has_two_machines_and_none_is_left(self):
        rng = random.Random(7)
        kept = []
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            for number in range(ROUNDS):
                mine = [f"r{number}-{i}" for i in range(3)]
                gone = [kept.pop(rng.randrange(len(kept))) for _ in range(min(3, len(kept)))] if len(kept) > 3 else []
                calls = [clients.submit(self.until_answered, lambda each=each: self.service.put(each)) for each in mine]
                calls += [clients.submit(self.until_answered, lambda each=each: self.service.delete(each)) for each in gone]
                self.crash(rng)
                for call in calls:
                    self.assertIn(call.result().status, (200, 202, 409))
                kept += [lease for lease in mine if self.service.get(lease).status == 200]
                for lease in gone:
                    self.service.wait(lease, "Released")
        for lease in kept:
            self.service.wait(lease, "Active")
        self.assertFalse((self.service.dir / "double").exists(), "two commands at once for one machine")
        self.assertEqual(sorted(lease for _, lease in self.running()), sorted(kept))
        self.assertEqual(len({machine for machine, _ in self.running()}), len(kept))
        listed = self.service.call("GET", "/v1/leases?clientRef=tests&limit=500").body["items"]
        self.assertEqual(sorted(lease["id"] for lease in listed), sorted(kept))

    def test_what_was_answered_is_there_after_a_crash(self):
        self.assertEqual(self.service.put("a").status, 202)
        self.service.kill()
        self.service.start()
        self.assertEqual(self.service.put("a").status, 200)
        self.service.wait("a", "Active")
        self.service.delete("a")
        self.service.kill()
        self.service.start()
        self.service.wait("a", "Released")
        self.assertEqual(self.running(), [])

    def test_a_second_service_on_the_same_folder_is_refused(self):
        first, self.service.process = self.service.process, None
        with self.assertRaisesRegex(AssertionError, "another cloud service uses"):
            self.service.start()
        self.service.process = first


class LeftOverTest(Case):
    START = 'echo $$ >>"$DIR/pids"; sleep 30'

    def test_a_command_that_outlives_the_service_is_ended_before_the_next(self):
        self.service.put("a")
        pids = self.service.dir / "pids"
        wait_until("the command runs", lambda: pids.exists() and pids.read_text().strip())
        first = pids.read_text().split()[0]
        self.service.kill()
        self.assertTrue(os.path.exists(f"/proc/{first}"))
        self.service.start()
        wait_until("it runs again", lambda: len(pids.read_text().split()) == 2)
        with open(f"/proc/{first}/stat", encoding="utf-8") if os.path.exists(f"/proc/{first}") else open(os.devnull, encoding="utf-8") as file:
            self.assertIn(file.read().rpartition(")")[2].split()[:1], ([], ["Z"]))


if __name__ == "__main__":
    unittest.main()
