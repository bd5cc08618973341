#!/usr/bin/env python3
"""The parts of the cloud service by themselves."""
import json
import os
import pathlib
import tempfile
import time
import unittest

from running import CONTRACT, wait_until
from cloud_service.config import read
from cloud_service.contract import canonical, depth_of, parse_json
from cloud_service.drivers import Driver, Interrupted, Machine
from cloud_service.drivers.command import run
from cloud_service.drivers.nova import Nova, failure_of, fault_of, server_name, user_data
from cloud_service.drivers.openstack import Answer
from cloud_service.drivers.static import Static, announced
from cloud_service.errors import Failure, bounded
from cloud_service.http import fitting
from cloud_service.offers import Offer, choose, holds, quantity
from cloud_service.service import Service
from cloud_service.store import Lease, Store


def lease(name, **more):
    return Lease(name, "tests", {"clientRef": "tests", "resources": {"cpu": "1"}}, time.time(), time.time() + 60, **more)


class OfferTest(unittest.TestCase):
    def test_quantities_are_those_of_kubernetes(self):
        for text, value in (("500m", 0.5), ("2", 2), ("1Ki", 1024), ("1k", 1000), ("1e3", 1000), ("1E", 10 ** 18), (".5", 0.5), ("+1.", 1)):
            self.assertEqual(float(quantity(text)), value, text)

    def test_requirements_are_read_as_in_a_node_affinity(self):
        labels = {"zone": "a", "generation": "5"}
        for key, operator, values, wanted in (("zone", "In", ["a", "b"], True), ("zone", "NotIn", ["a"], False), ("none", "NotIn", ["a"], True),
                                              ("none", "In", ["a"], False), ("zone", "Exists", [], True), ("none", "DoesNotExist", [], True),
                                              ("generation", "Gt", ["4"], True), ("generation", "Lt", ["5"], False), ("zone", "Gt", ["1"], False),
                                              ("none", "Gt", ["1"], False), ("generation", "Gt", [], False)):
            self.assertEqual(holds({"key": key, "operator": operator, "values": values}, labels), wanted, (key, operator, values))

    def test_an_offer_whose_label_contradicts_a_wanted_one_does_not_serve(self):
        offers = [Offer("a", {"cpu": "4"}, {"zone": "a"})]
        with self.assertRaises(Failure):
            choose(offers, {"resources": {"cpu": "1"}, "labels": {"zone": "b"}})

    def test_the_cheapest_that_is_free_is_taken_and_none_free_is_a_lack_of_capacity(self):
        offers = [Offer("dear", {"cpu": "4"}, {}, "2", 1), Offer("cheap", {"cpu": "4"}, {}, "1", 0)]
        self.assertEqual(choose(offers, {"resources": {"cpu": "1"}}).id, "dear")
        with self.assertRaises(Failure) as raised:
            choose(offers, {"resources": {"cpu": "1"}, "offerId": "cheap"})
        self.assertEqual(raised.exception.error_class, "InsufficientCapacity")


class ContractTest(unittest.TestCase):
    def check(self, value):
        return CONTRACT.check(CONTRACT.schema("LeaseRequest"), value)

    def test_what_the_contract_does_not_name_is_dropped(self):
        self.assertEqual(self.check({"clientRef": "a", "resources": {"cpu": "1"}, "new": 1}), {"clientRef": "a", "resources": {"cpu": "1"}})

    def test_a_number_that_is_whole_is_an_integer_and_true_is_none(self):
        base = {"clientRef": "a", "resources": {"cpu": "1"}}
        self.assertEqual(self.check(base | {"leaseSeconds": 60.0})["leaseSeconds"], 60)
        for value in (True, 1.5, "1", None):
            with self.assertRaises(Failure):
                self.check(base | {"leaseSeconds": value})

    def test_equal_json_is_equal_and_depth_is_counted(self):
        self.assertEqual(canonical({"a": 1, "b": [1, 2]}), canonical({"b": [1, 2], "a": 1}))
        self.assertNotEqual(canonical([1, 2]), canonical([2, 1]))
        self.assertEqual(depth_of({"a": [{}]}), 3)
        for data in (b"[" * 50 + b"]" * 50, b"NaN", b'"\xff"', b""):
            with self.assertRaises(Failure):
                parse_json(data)

    def test_foreign_text_is_one_bounded_printable_line(self):
        self.assertEqual(bounded("a\x1b[0m\nb\0" + "c" * 5000)[:9], "a [0m b c")
        self.assertEqual(len(bounded("c" * 5000)), 1024)


class PageTest(unittest.TestCase):
    def test_a_page_has_at_least_one_and_no_more_than_an_answer_may_have(self):
        error = Failure("InsufficientCapacity", "X", "\U0001f600" * 1024).body()
        page = fitting([lease(f"l{i:03}", state="Failed", error=error).body() for i in range(500)])
        self.assertLess(len(json.dumps(page)), 4 << 20)
        self.assertTrue(0 < len(page) < 500)
        self.assertEqual(fitting([{"id": "x" * (5 << 20)}, {}]), [{"id": "x" * (5 << 20)}])
        self.assertEqual(fitting([]), [])


class StoreTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.store = Store(folder.name, most=6)
        self.addCleanup(self.store.close)

    def test_a_lease_is_read_as_it_was_written(self):
        written = lease("a", offer="o", price="1", machine="m", node={"x": 1}, error={"y": 2}, expires=5.0, data={"z": 3})
        self.store.put(written)
        self.assertEqual(self.store.get("a"), written)

    def test_a_machine_is_never_in_two_leases(self):
        self.store.put(lease("a", machine="m"))
        with self.assertRaises(Exception):
            with self.store.transaction():
                self.store.put(lease("b"))
                self.store._db.execute("UPDATE leases SET machine = 'm' WHERE id = 'b'")  # pylint: disable=protected-access
        self.assertIsNone(self.store.get("b"))

    def test_a_transaction_that_fails_leaves_nothing(self):
        with self.assertRaises(ValueError):
            with self.store.transaction():
                self.store.put(lease("a"))
                raise ValueError
        self.assertIsNone(self.store.get("a"))

    def test_what_ended_is_forgotten_after_a_time_and_when_there_is_too_much(self):
        for i in range(5):
            self.store.put(lease(f"r{i}", state="Released", ended=100.0 + i))
        self.store.put(lease("f", state="Failed", cleaned=True, ended=50.0))
        self.assertTrue(self.store.full())
        self.store.forget_ended(101, 10)
        self.assertEqual([each for each in ("r0", "r1", "r2", "r3", "r4", "f") if self.store.get(each)], ["r2", "r3", "r4", "f"])
        self.store.forget_ended(101, 60)
        self.assertIsNone(self.store.get("f"))

    def test_a_failed_lease_counts_until_nothing_of_it_is_left(self):
        self.store.put(lease("a", state="Failed"))
        self.assertEqual(self.store.count("tests"), 1)
        self.store.put(lease("a", state="Failed", cleaned=True))
        self.assertEqual(self.store.count("tests"), 0)


class Instant(Driver):
    """Machines that are there at once."""

    def take(self, request, taken):
        return Offer("o", {"cpu": "4"}, {}), None

    def start(self, work):
        return [Machine("id:" + work.lease.id, "n", True)]

    status = start

    def stop(self, work):
        return True

    def sweep(self, is_over):
        pass


class ExpiryTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.store = Store(folder.name)
        self.addCleanup(self.store.close)
        self.now = 10000.0
        self.service = self.make()

    def make(self):
        service = Service(self.store, Instant(), clock=lambda: self.now)
        self.addCleanup(service.stop)
        return service

    def pass_time(self, seconds):
        """As the loop sees it, in steps; then what was begun is finished."""
        for _ in range(seconds // 10):
            self.now += 10
            self.service.once()

    def wait(self, state):
        def there():
            self.service.once()
            return self.store.get("a").state == state

        wait_until(f"it is {state}", there)

    def lend(self, seconds):
        self.service.once()
        self.service.put("a", {"clientRef": "tests", "resources": {"cpu": "1"}, "leaseSeconds": seconds})
        self.wait("Active")

    def test_a_lease_that_is_not_renewed_is_released_and_says_so(self):
        self.lend(100)
        self.pass_time(90)
        self.assertEqual(self.store.get("a").state, "Active")
        self.pass_time(20)
        self.wait("Released")
        self.assertEqual(self.store.get("a").error["code"], "Expired")

    def test_a_renewal_of_the_client_and_the_same_put_again_keep_it(self):
        self.lend(100)
        for _ in range(3):
            self.pass_time(90)
            self.assertEqual(self.service.renew("tests"), 1)
            self.pass_time(90)
            self.service.put("a", {"clientRef": "tests", "resources": {"cpu": "1"}, "leaseSeconds": 100})
        self.assertEqual(self.store.get("a").state, "Active")
        self.assertEqual(self.service.renew("another"), 0)

    def test_less_than_a_minute_is_read_as_a_minute(self):
        self.lend(1)
        self.assertEqual(self.store.get("a").expires, self.now + 60)

    def test_time_in_which_the_service_was_down_does_not_count(self):
        self.lend(100)
        self.now += 5000
        self.service = self.make()
        self.service.once()
        self.assertEqual((self.store.get("a").state, self.store.get("a").expires), ("Active", self.now + 100))

    def test_a_clock_that_is_set_ends_no_lease(self):
        self.lend(100)
        self.now += 5000
        self.service.once()
        self.assertEqual(self.store.get("a").state, "Active")


class CommandTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.pid = os.path.join(folder.name, "pid")
        self.at = pathlib.Path(folder.name)

    def run_sh(self, script, seconds=10, wanted=lambda: True):
        return run(["sh", "-c", script], {"PATH": os.environ["PATH"], "AT": str(self.at)}, seconds, self.pid, wanted)

    def test_exit_code_and_the_last_line_of_either_output_are_told(self):
        self.assertEqual(self.run_sh("echo a; echo b >&2; exit 3"), (3, "b"))
        self.assertFalse(os.path.exists(self.pid))

    def test_output_of_any_length_is_bounded(self):
        code, line = self.run_sh("head -c 3000000 /dev/zero | tr '\\0' x")
        self.assertEqual(code, 0)
        self.assertLessEqual(len(line), 4096)

    def test_one_that_takes_too_long_is_ended_with_all_that_it_started(self):
        began = time.monotonic()
        code, _ = self.run_sh("(sleep 5; touch $AT/late) & sleep 50", 0.5)
        self.assertIsNone(code)
        self.assertLess(time.monotonic() - began, 4)
        time.sleep(0.2)
        self.assertFalse((self.at / "late").exists())

    def test_one_that_is_not_wanted_any_more_is_ended(self):
        with self.assertRaises(Interrupted):
            self.run_sh("sleep 50", wanted=lambda: False)

    def test_something_in_the_background_that_keeps_the_output_does_not_hold_it_up(self):
        began = time.monotonic()
        self.assertEqual(self.run_sh("sleep 50 & echo done")[0], 0)
        self.assertLess(time.monotonic() - began, 5)


class StaticTest(unittest.TestCase):
    def test_what_is_wrong_in_the_configuration_is_said(self):
        good = {"name": "m", "resources": {"cpu": 1}, "start": ["true"], "stop": ["true"]}
        unlike = [good | {"offer": "o"}, good | {"name": "n", "offer": "o", "labels": {"a": 1}}]
        for machines, word in (([], "1 to"), ([good, good], "two machines"), ([good | {"name": "a b"}], "63"), (unlike, "differ"),
                               ([good | {"nodeName": "n"}, good | {"name": "n"}], "same node name"),
                               ([good | {"cost": 1}], "unknown: cost"), ([good | {"start": "true"}], "list")):
            with self.assertRaises(SystemExit) as raised, tempfile.TemporaryDirectory() as folder:
                Static({"machines": machines}, folder)
            self.assertIn(word, str(raised.exception))


    def test_what_a_status_says_of_the_end_of_a_machine(self):
        for line, why, at in (("", None, None), ("leaves today", None, None), ("leaving", "the machine is about to be taken away", None),
                              ("leaving spot notice", "spot notice", None), ("leaving 1970-01-01T00:01:00Z", "the machine is about to be taken away", 60),
                              ("leaving 1970-01-01T00:01:00Z rack 4", "rack 4", 60), ("leaving 1970-13-01T00:01:00Z x", "x", None)):
            machine = announced(Machine("p", "n", True), line)
            self.assertEqual((machine.leaving, machine.leaves_at), (why, at), line)
            self.assertEqual(machine.body()["state"], "Running" if why is None else "Leaving")
            self.assertEqual("leavesAt" in machine.body(), at is not None)


class ConfigurationTest(unittest.TestCase):
    GOOD = {"listen": "127.0.0.1:0", "stateDir": "/s", "auth": {"tokenFile": "/t"}, "driver": "static", "static": {}}

    def test_what_is_wrong_is_said_in_a_sentence(self):
        for change, word in (({"listen": "8443"}, "ADDRESS:PORT"), ({"listen": "0.0.0.0:1"}, "without tls"), ({"auth": {}}, "tokenFile"),
                             ({"driver": "nova"}, "driver"), ({"lookSeconds": "x"}, "lookSeconds"), ({"requestsPerSecond": 0}, "above 0"),
                             ({"quota": {"default": "many"}}, "many"), ({"quota": {"clients": {"a": -1}}}, "-1"), ({"more": 1}, "unknown: more"),
                             ({"auth": {"clientCA": "/c"}}, "needs tls"), ({"stateDir": 1}, "stateDir")):
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file, self.assertRaises(SystemExit) as raised:
                json.dump(self.GOOD | change, file)
                file.flush()
                read(file.name)
            self.assertIn(word, str(raised.exception))


class NovaTest(unittest.TestCase):
    def test_answers_of_nova_are_of_the_five_classes(self):
        for status, message, wanted in ((400, "Flavor 9 could not be found.", "InvalidRequest"), (403, "Quota exceeded for cores", "QuotaExceeded"),
                                        (403, "Policy doesn't allow it", "Unauthenticated"), (401, "", "Unauthenticated"), (429, "", "Transient"),
                                        (413, "", "Transient"), (500, "", "Transient"), (0, "", "Transient"), (404, "no image", "InvalidRequest"),
                                        (409, "No valid host was found", "InsufficientCapacity"), (409, "other", "Transient")):
            self.assertEqual(failure_of(Answer(status, {"x": {"message": message}}, {})).error_class, wanted, (status, message))

    def test_faults_of_servers_are_of_the_five_classes(self):
        for message, wanted in (("No valid host was found. ", "InsufficientCapacity"), ("Quota exceeded", "QuotaExceeded"),
                                ("", "InsufficientCapacity")):
            self.assertEqual(fault_of({"fault": {"message": message}}).error_class, wanted)

    def test_when_to_come_back_is_passed_on(self):
        self.assertEqual(failure_of(Answer(429, {}, {"retry-after": "17"})).retry_after, 17)

    def test_names_of_servers_are_names_of_nodes_and_differ(self):
        self.assertEqual(server_name("0b8bb1a4-5d2c"), "spw-0b8bb1a4-5d2c")
        self.assertNotEqual(server_name("A"), server_name("a"))
        self.assertRegex(server_name("A_b"), "^[a-z0-9.-]+$")

    def test_user_data_that_nova_does_not_take_is_an_invalid_request(self):
        with self.assertRaises(Failure) as raised:
            user_data("x" * 60000, Offer("o", {}, {}), lease("a"))
        self.assertEqual(raised.exception.error_class, "InvalidRequest")

    def test_after_a_lost_answer_nothing_is_asked_for_until_it_must_be_visible(self):
        with tempfile.NamedTemporaryFile("w") as file:
            config = {"auth": {"endpoint": "http://127.0.0.1:1", "tokenFile": file.name}, "image": "i", "offers": [{"id": "o"}],
                      "bootstraps": {"default": file.name}, "settleSeconds": 60}
            now = [1000.0]
            nova = Nova(config, lambda: now[0])
            lost = lease("a", data={"asked": 1000.0})
            self.assertTrue(nova._unsettled(lost))  # pylint: disable=protected-access
            now[0] = 1061.0
            self.assertFalse(nova._unsettled(lost))  # pylint: disable=protected-access


if __name__ == "__main__":
    unittest.main()
