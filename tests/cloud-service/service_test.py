#!/usr/bin/env python3
"""The contract, call by call, against the service with a list of machines."""
import os
import random
import socket
import ssl
import subprocess
import time
import unittest

from running import CONTRACT, REQUEST, TOKEN, Case, wait_until


class LeaseTest(Case):
    def test_a_lease_becomes_active_with_the_machine_and_is_released(self):
        self.assertEqual(self.service.put("a", pool="burst").status, 202)
        lease = self.service.wait("a", "Active")
        self.assertEqual(lease["nodes"], [{"providerID": "spillway-static://m1/a", "nodeName": "m1", "addresses": [], "state": "Running"}])
        self.assertEqual((lease["offerId"], lease["pricePerHour"], lease["pool"]), ("small", "0.10", "burst"))
        self.assertEqual(self.running(), [("m1", "a")])
        self.assertEqual(self.service.delete("a").status, 202)
        self.assertEqual(self.service.wait("a", "Released")["nodes"], [])
        self.assertEqual(self.running(), [])
        self.assertEqual(self.service.delete("a").status, 202)

    def test_the_same_put_again_starts_nothing_in_whatever_state(self):
        self.service.put("a")
        self.service.wait("a", "Active")
        self.assertEqual(self.service.put("a").status, 200)
        self.service.delete("a")
        self.assertEqual(self.service.put("a").status, 200)
        self.service.wait("a", "Released")
        answer = self.service.put("a")
        self.assertEqual((answer.status, answer.body["state"]), (200, "Released"))
        self.assertEqual(self.started(), ["a"])

    def test_another_order_of_keys_and_an_unknown_field_are_the_same_request(self):
        self.service.put("a", labels={"x": "1", "y": "2"})
        self.assertEqual(self.service.put("a", unknown=[1], labels={"y": "2", "x": "1"}).status, 200)

    def test_another_body_for_the_same_id_is_refused_and_changes_nothing(self):
        self.service.put("a")
        answer = self.service.put("a", resources={"cpu": "3"})
        self.assertEqual((answer.status, answer.error()), (409, ("InvalidRequest", "LeaseDiffers")))
        self.assertEqual(self.service.get("a").body["offerId"], "small")

    def test_an_unknown_lease_is_not_found_with_the_code_that_means_gone(self):
        for method in ("GET", "DELETE"):
            answer = self.service.call(method, "/v1/leases/none")
            self.assertEqual((answer.status, answer.error()), (404, ("InvalidRequest", "LeaseNotFound")))
        self.assertEqual(self.service.call("GET", "/v2/leases/none").error()[1], "NoSuchPath")

    def test_no_free_machine_is_a_lack_of_capacity_and_stores_nothing(self):
        for lease in ("a", "b"):
            self.service.put(lease, offerId="small")
        answer = self.service.put("c", offerId="small")
        self.assertEqual((answer.status, answer.error()), (409, ("InsufficientCapacity", "NoCapacity")))
        self.assertEqual(self.service.get("c").status, 404)

    def test_a_machine_is_free_again_once_it_is_stopped(self):
        for lease in ("a", "b"):
            self.service.put(lease, offerId="small")
        self.service.wait("a", "Active")
        self.service.delete("a")
        self.service.wait("a", "Released")
        self.assertEqual(self.service.put("c", offerId="small").status, 202)

    def test_what_no_machine_will_ever_satisfy_is_invalid_and_says_what_there_is(self):
        answer = self.service.put("a", resources={"cpu": "64"})
        self.assertEqual((answer.status, answer.error()), (422, ("InvalidRequest", "NothingFits")))
        self.assertIn("cpu 16", answer.body["error"]["message"])
        self.assertEqual(self.service.put("a", offerId="huge").error(), ("InvalidRequest", "NoSuchOffer"))

    def test_requirements_and_resources_choose_the_cheapest_that_serves(self):
        zone = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["b"]}
        self.assertEqual(self.service.put("a", requirements=[zone]).body["offerId"], "big")
        self.assertEqual(self.service.put("b", resources={"memory": "8589934592"}).body["offerId"], "small")

    def test_the_command_knows_lease_labels_taints_and_names(self):
        self.service.close()
        self.START = 'env | grep ^SPILLWAY_ | sort >"$DIR/env"'  # pylint: disable=invalid-name
        self.STATUS = "true"  # pylint: disable=invalid-name
        Case.setUp(self)
        taint = {"key": "spillway.dev/pool", "value": "burst", "effect": "NoSchedule"}
        self.service.put("a", labels={"spillway.dev/pool": "burst"}, taints=[taint, {"key": "own", "effect": "NoExecute"}], bootstrapRef="x")
        self.service.wait("a", "Active")
        told = dict(line.split("=", 1) for line in (self.service.dir / "env").read_text().splitlines())
        self.assertEqual(told["SPILLWAY_LABELS"], "spillway.dev/pool=burst")
        self.assertEqual(told["SPILLWAY_TAINTS"], "spillway.dev/pool=burst:NoSchedule,own=:NoExecute")
        self.assertEqual((told["SPILLWAY_LEASE"], told["SPILLWAY_NODE_NAME"], told["SPILLWAY_BOOTSTRAP"]), ("a", "m1", "x"))
        self.assertEqual(told["SPILLWAY_PROVIDER_ID"], "spillway-static://m1/a")

    def test_a_machine_that_its_status_calls_leaving_is_announced_with_time_and_reason(self):
        self.service.close()
        self.STATUS = 'cat "$DIR/says" 2>/dev/null; true'  # pylint: disable=invalid-name
        Case.setUp(self)
        self.service.put("a")
        self.service.wait("a", "Active")
        (self.service.dir / "says").write_text("looked\nleaving 2030-01-31T12:00:00Z maintenance of rack 4\n")
        until = time.monotonic() + 20
        while (lease := self.service.get("a").body)["nodes"][0]["state"] != "Leaving" and time.monotonic() < until:
            time.sleep(0.1)
        self.assertEqual((lease["state"], lease["nodes"][0]["leavesAt"]), ("Active", "2030-01-31T12:00:00Z"))
        self.assertEqual(lease["error"]["message"], "maintenance of rack 4")
        (self.service.dir / "says").unlink()
        time.sleep(1.5)
        self.assertEqual(self.service.get("a").body["nodes"][0]["state"], "Leaving", "it is not taken back")

    def test_a_machine_that_is_lost_makes_the_lease_fail_and_is_cleaned_up(self):
        self.service.put("a")
        self.service.wait("a", "Active")
        os.rmdir(self.service.dir / "runs.m1.a")
        lease = self.service.wait("a", "Failed")
        self.assertEqual((lease["error"]["code"], lease["nodes"]), ("MachineLost", []))


class UnknownStatusTest(Case):
    STATUS = "echo cannot reach it; exit 1"

    def test_a_machine_of_which_nothing_can_be_known_is_not_lost(self):
        self.service.put("a")
        lease = wait_until("it says so", lambda: "error" in (there := self.service.get("a").body) and there)
        self.assertEqual((lease["state"], lease["error"]["class"]), ("Active", "Transient"))
        self.assertIn("cannot reach it", lease["error"]["message"])


class ListTest(Case):
    MACHINES = [{"name": f"m{i}", "offer": "small", "resources": {"cpu": 4}} for i in range(9)]

    def pages(self, limit):
        after, ids = "", []
        while True:
            body = self.service.call("GET", f"/v1/leases?clientRef=tests&limit={limit}{after}").body
            ids.append([lease["id"] for lease in body["items"]])
            if "continue" not in body:
                return ids
            after = "&continue=" + body["continue"]

    def test_pages_hold_every_lease_of_the_client_once(self):
        for i in range(5):
            self.service.put(f"l{i}")
        self.service.put("x", clientRef="other")
        self.assertEqual(self.pages(2), [["l0", "l1"], ["l2", "l3"], ["l4"]])
        self.assertEqual(self.pages(5), [["l0", "l1", "l2", "l3", "l4"]])

    def test_what_is_released_is_not_listed_and_what_failed_is(self):
        self.service.order({"method": "PUT", "path": "/f$", "lease": {"class": "QuotaExceeded", "code": "Quota"}})
        for lease in ("a", "f"):
            self.service.put(lease)
        self.service.wait("f", "Failed")
        self.service.wait("a", "Active")
        self.service.delete("a")
        self.service.wait("a", "Released")
        self.assertEqual(self.pages(100), [["f"]])

    def test_a_client_that_nobody_knows_has_an_empty_list(self):
        self.assertEqual(self.service.call("GET", "/v1/leases?clientRef=nobody").body, {"items": []})


class OfferTest(Case):
    def offers(self, query=""):
        return [offer["id"] for offer in self.service.call("GET", "/v1/offers" + query).body["items"]]

    def test_offers_are_the_cheapest_first_and_filtered(self):
        self.assertEqual(self.offers(), ["small", "big"])
        self.assertEqual(self.offers("?cpu=5"), ["big"])
        self.assertEqual(self.offers("?memoryMiB=8193"), ["big"])
        self.assertEqual(self.offers("?gpu=1"), ["big"])
        self.assertEqual(self.offers("?zone=b"), ["big"])
        self.assertEqual(self.offers("?cpu=17"), [])

    def test_what_is_available_shrinks_with_each_lease(self):
        self.service.put("a")
        self.assertEqual([offer["available"] for offer in self.service.call("GET", "/v1/offers").body["items"]], [1, 1])


class QuotaTest(Case):
    CONFIG = {"quota": {"default": 1, "clients": {"rich": 2}}}

    def test_more_than_the_quota_is_refused_until_something_is_given_back(self):
        self.service.put("a")
        answer = self.service.put("b")
        self.assertEqual((answer.status, answer.error()), (403, ("QuotaExceeded", "Quota")))
        self.assertEqual(self.service.put("c", clientRef="rich").status, 202)
        self.service.delete("a")
        self.service.wait("a", "Released")
        self.assertEqual(self.service.put("b").status, 202)


class FailingStartTest(Case):
    START = 'echo first; echo "no luck with $SPILLWAY_LEASE"; case $SPILLWAY_LEASE in c*) exit "${SPILLWAY_LEASE#c}";; esac; sleep 60'
    STATUS = "true"

    def test_a_start_that_fails_is_told_with_its_last_line_and_by_its_exit_code(self):
        for code, error_class in ((1, "InsufficientCapacity"), (64, "InvalidRequest"), (73, "QuotaExceeded"), (77, "Unauthenticated")):
            self.service.put(f"c{code}")
            error = self.service.wait(f"c{code}", "Failed")["error"]
            self.assertEqual((error["class"], error["message"]), (error_class, f"no luck with c{code}"))

    def test_a_start_that_asks_for_another_try_says_why_and_is_tried_again(self):
        self.service.put("c75")
        lease = wait_until("the reason is told", lambda: "error" in (there := self.service.get("c75").body) and there)
        self.assertEqual((lease["state"], lease["error"]["class"], lease["error"]["message"]), ("Provisioning", "Transient", "no luck with c75"))

    def test_a_start_that_never_ends_is_ended_by_a_delete(self):
        self.service.put("a")
        wait_until("it is starting", lambda: self.service.get("a").body["state"] == "Provisioning")
        self.service.delete("a")
        self.service.wait("a", "Released")

    def test_a_start_that_never_ends_is_ended_by_the_deadline(self):
        self.service.put("a", provisionTimeoutSeconds=1)
        error = self.service.wait("a", "Failed")["error"]
        self.assertEqual((error["class"], error["code"]), ("InsufficientCapacity", "ProvisionTimeout"))
        self.assertIn("no luck with a", error["message"])

    def test_what_is_tried_again_is_given_up_at_the_deadline(self):
        self.service.put("c75", provisionTimeoutSeconds=1)
        error = self.service.wait("c75", "Failed")["error"]
        self.assertEqual(error["code"], "ProvisionTimeout")
        self.assertIn("no luck with c75", error["message"])

    def test_a_lease_can_be_ordered_to_stay_on_its_way(self):
        self.service.order({"method": "PUT", "lease": "stall"})
        self.service.put("a")
        wait_until("it is starting", lambda: self.service.get("a").body["state"] == "Provisioning")
        self.service.delete("a")
        self.service.wait("a", "Released")


class ExpiryTest(Case):
    def test_a_renewal_moves_the_end_of_all_leases_of_the_client(self):
        self.service.put("a", leaseSeconds=3600)
        self.service.put("b")
        answer = self.service.call("POST", "/v1/renewals", {"clientRef": "tests"})
        self.assertEqual(answer.body, {"renewed": 1})
        self.assertNotIn("expiresAt", self.service.get("b").body)
        self.assertIn("expiresAt", self.service.get("a").body)


class MalformedTest(Case):
    def test_what_is_no_request_is_refused_with_the_field_that_is_wrong(self):
        for body, status, word in ((b"{", 400, "JSON"), (b"[]", 400, "object"), (b'{"clientRef": 1, "resources": {"cpu": "1"}}', 400, "clientRef"),
                                   (b'{"clientRef": "a"}', 400, "resources"), (b'{"clientRef": "a", "resources": {}}', 422, "resources"),
                                   (b'{"clientRef": "a", "resources": {"cpu": "-1"}}', 422, "cpu"),
                                   (b'{"clientRef": "a\\n", "resources": {"cpu": "1"}}', 422, "clientRef"),
                                   (b'{"clientRef": "a", "resources": {"cpu": "1"}, "x": NaN}', 400, "NaN"),
                                   (b"[" * 100000, 400, "JSON"), (b'{"x": ' * 20 + b"1" + b"}" * 20, 400, "deep"), (b"\xff", 400, "JSON")):
            answer = self.service.send("PUT", "/v1/leases/a", body, {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
            self.assertEqual(answer.status, status, (body[:60], answer.body))
            self.assertIn(word, answer.body.decode())

    def test_bodies_and_lists_over_their_bounds_are_refused_whole(self):
        self.assertEqual(self.service.put("a", labels={f"k{i}": "" for i in range(129)}).status, 422)
        self.assertEqual(self.service.put("a", x="y" * (1 << 20)).status, 413)
        headers = {"Authorization": f"Bearer {TOKEN}", "Transfer-Encoding": "chunked", "Content-Type": "application/json"}
        self.assertEqual(self.service.send("PUT", "/v1/leases/a", b"0\r\n\r\n", headers).status, 411)
        self.assertEqual(self.service.call("PUT", "/v1/leases/a", REQUEST, headers={"Content-Type": "text/plain"}).status, 415)

    def test_malformed_ids_and_parameters_are_refused(self):
        for path in ("/v1/leases/" + "a" * 65, "/v1/leases/%0a", "/v1/leases/a%2Fb", "/v1/leases/-", "/v1/leases", "/v1/leases?clientRef=",
                     "/v1/leases?clientRef=a&limit=0", "/v1/leases?clientRef=a&limit=x", "/v1/offers?cpu=-1", "/v1/offers?zone=%20"):
            self.assertEqual(self.service.call("GET", path).status, 400, path)

    def test_other_methods_are_refused_with_those_that_there_are(self):
        answer = self.service.call("PATCH", "/v1/leases/a")
        self.assertEqual((answer.status, answer.headers["Allow"]), (405, "GET, PUT, DELETE"))


class RawTest(Case):
    def say(self, data, read=True):
        with socket.create_connection(("127.0.0.1", self.service.port), timeout=10) as connection:
            connection.sendall(data)
            if not read:
                return b""
            connection.shutdown(socket.SHUT_WR)
            said = b""
            try:
                while chunk := connection.recv(65536):
                    said += chunk
            except ConnectionResetError:
                pass
            return said

    def test_what_is_not_http_is_refused_or_closed_and_hurts_nobody(self):
        rng = random.Random(3)
        for data in (b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01",
                     b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n",
                     b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"GET / HTTP/1.1\r\na: " + b"b" * 70000 + b"\r\n\r\n",
                     b"PUT /v1/leases/a HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"PUT /v1/leases/a HTTP/1.1\r\nContent-Length: 50\r\n\r\nshort",
                     *(rng.randbytes(300) + b"\r\n\r\n" for _ in range(20))):
            said = self.say(data)
            self.assertFalse(said.startswith(b"HTTP/1.1 2"), said[:200])
        self.assertEqual(self.service.call("GET", "/v1/offers").status, 200)
        self.assertNotIn("Traceback", self.service.log())

    def test_two_requests_in_one_connection_are_answered_each(self):
        one = f"GET /v1/offers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        self.assertEqual(self.say(one + one).count(b"HTTP/1.1 200"), 2)

    def test_more_connections_than_are_served_are_closed_and_those_after_them_are_served(self):
        idle = [socket.create_connection(("127.0.0.1", self.service.port), timeout=10) for _ in range(200)]
        self.addCleanup(lambda: [each.close() for each in idle])
        for each in idle:
            each.close()

        def answered():
            try:
                return self.service.call("GET", "/v1/offers").status == 200
            except OSError:
                return False

        wait_until("it answers again", answered)


class AccessTest(Case):
    def test_no_token_or_a_wrong_one_is_unauthenticated(self):
        for value in (None, "Bearer wrong", "Basic " + TOKEN, "Bearer"):
            answer = self.service.call("GET", "/v1/offers", headers={"Authorization": value})
            self.assertEqual((answer.status, answer.error()[0]), (401, "Unauthenticated"))
            self.assertEqual(answer.headers["WWW-Authenticate"], "Bearer")

    def test_a_new_token_counts_at_once_and_an_unreadable_file_changes_nothing(self):
        self.service.token_file.write_text("another-token-for-tests\n")
        self.assertEqual(self.service.call("GET", "/v1/offers").status, 401)
        self.service.token = "another-token-for-tests"
        self.assertEqual(self.service.call("GET", "/v1/offers").status, 200)
        self.service.token_file.write_text("short\n")
        self.assertEqual(self.service.call("GET", "/v1/offers").status, 200)

    def test_a_token_for_one_client_may_not_act_for_another(self):
        self.service.put("a")
        self.service.token_file.write_text(f"{TOKEN} own\n")
        for answer in (self.service.put("b"), self.service.get("a"), self.service.delete("a"), self.service.call("GET", "/v1/leases?clientRef=tests"),
                       self.service.call("POST", "/v1/renewals", {"clientRef": "tests"})):
            self.assertEqual((answer.status, answer.error()[0]), (403, "Unauthenticated"))
        self.assertEqual(self.service.put("b", clientRef="own").status, 202)

    def test_too_many_calls_are_told_when_to_come_back(self):
        self.service.close()
        self.CONFIG = {"requestsPerSecond": 1}  # pylint: disable=invalid-name
        Case.setUp(self)
        answers = [self.service.call("GET", "/v1/offers") for _ in range(5)]
        late = [answer for answer in answers if answer.status == 429]
        self.assertTrue(late)
        self.assertEqual((late[0].headers["Retry-After"], late[0].error()), ("1", ("Transient", "TooManyRequests")))


class TlsTest(Case):
    def setUp(self):
        pass

    def certificates(self, at):
        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], cwd=at, check=True, capture_output=True)

        (at / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca", "-days", "2")
        for name in ("server", "client"):
            openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", f"{name}.crt",
                    "-extfile", "ext", "-days", "2")

    def test_a_client_certificate_stands_for_a_token(self):
        Case.setUp(self)
        self.service.kill()
        at = self.service.dir
        self.certificates(at)
        self.service.config["tls"] = {"certificate": str(at / "server.crt"), "key": str(at / "server.key")}
        self.service.config["auth"] |= {"clientCA": str(at / "ca.crt"), "clientNames": ["client"]}
        self.service.start()
        self.service.context = ssl.create_default_context(cafile=at / "ca.crt")
        self.assertEqual(self.service.call("GET", "/v1/offers").status, 200)
        self.assertEqual(self.service.call("GET", "/v1/offers", headers={"Authorization": None}).status, 401)
        self.service.context.load_cert_chain(at / "client.crt", at / "client.key")
        self.assertEqual(self.service.call("GET", "/v1/offers", headers={"Authorization": None}).status, 200)
        other = ssl.create_default_context(cafile=at / "ca.crt")
        other.load_cert_chain(at / "server.crt", at / "server.key")
        self.service.context = other
        self.assertEqual(self.service.call("GET", "/v1/offers", headers={"Authorization": None}).error(), ("Unauthenticated", "WrongName"))


class FaultTest(Case):
    def test_the_answer_can_be_lost_after_the_work_was_done(self):
        self.service.order({"method": "PUT", "path": "^/v1/leases/a", "times": 1, "drop": "after"})
        with self.assertRaises(OSError):
            self.service.put("a")
        self.service.wait("a", "Active")
        self.assertEqual(self.service.put("a").status, 200)
        self.service.order({"method": "PUT", "times": 1, "drop": "before"})
        with self.assertRaises(OSError):
            self.service.put("b")
        self.assertEqual(self.service.get("b").status, 404)

    def test_an_answer_can_be_late_busy_broken_or_nonsense(self):
        self.service.order({"times": 1, "answer": {"status": 429, "retryAfterSeconds": 7}}, {"times": 1, "answer": {"status": 500}},
                           {"times": 1, "nonsense": "<html>"})
        answer = self.service.call("GET", "/v1/offers")
        self.assertEqual((answer.status, answer.headers["Retry-After"]), (429, "7"))
        self.assertEqual(self.service.call("GET", "/v1/offers").status, 500)
        self.assertEqual(self.service.send("GET", "/v1/offers", None, {"Authorization": f"Bearer {TOKEN}"}).body, b"<html>")
        self.assertEqual(self.service.call("GET", "/v1/offers").status, 200)

    def test_a_lease_can_vanish_and_its_machine_with_it(self):
        self.service.put("a")
        self.service.wait("a", "Active")
        self.service.order({"times": 1, "forget": True})
        self.assertEqual(self.service.get("a").status, 404)
        self.assertEqual(self.running(), [])

    def test_a_machine_can_be_about_to_leave(self):
        self.service.put("a")
        self.service.wait("a", "Active")
        self.service.order({"times": 1, "lease": {"leavesIn": 60, "message": "spot notice"}})
        lease = self.service.get("a").body
        self.assertEqual(lease["nodes"][0]["state"], "Leaving")
        self.assertIn("leavesAt", lease["nodes"][0])
        self.assertEqual(lease["error"]["message"], "spot notice")

    def test_each_class_of_failure_can_be_ordered_for_a_lease(self):
        for error_class in CONTRACT.schema("Error")["properties"]["class"]["enum"]:
            self.service.order({"method": "PUT", "lease": {"class": error_class, "code": "Ordered", "message": "as ordered"}})
            self.service.put(f"l-{error_class}")
            error = self.service.wait(f"l-{error_class}", "Failed")["error"]
            self.assertEqual((error["class"], error["message"]), (error_class, "as ordered"))
            self.service.delete(f"l-{error_class}")
            self.service.wait(f"l-{error_class}", "Released")

    def test_without_the_flag_there_is_no_such_path(self):
        self.service.close()
        Case.setUp(self)
        self.service.kill()
        self.service.faults = False
        self.service.start()
        self.assertEqual(self.service.order().status, 404)


if __name__ == "__main__":
    unittest.main()
