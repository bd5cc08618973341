#!/usr/bin/env python3
"""The Nova driver against the real Nova (see serve_nova.py)."""
import base64
import http.client
import json
import pathlib
import subprocess
import time
import unittest

from environments import environment
from running import Service, wait_until

PYTHON = environment("nova") / "bin" / "python"
IMAGE = "155d900f-4e14-4e4c-a73d-069cbf4541e6"  # of Nova's stand-in for Glance
TEMPLATE = "#cloud-config\nhostname: @NODE_NAME@\nkubelet: --node-labels=@LABELS@ --register-with-taints=@TAINTS@\n"


class Cloud:
    """Nova, and an administrator's view of it."""

    def __init__(self, folder):
        port_file = pathlib.Path(folder) / "nova-port"
        with open(pathlib.Path(folder) / "nova-log", "wb") as log:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                [PYTHON, pathlib.Path(__file__).parent / "serve_nova.py", port_file], stdin=subprocess.PIPE, stdout=log, stderr=log)
        wait_until("Nova is there", lambda: port_file.exists() or self.process.poll() is not None, 120)
        if not port_file.exists():
            raise AssertionError((pathlib.Path(folder) / "nova-log").read_text()[-5000:])
        self.port, self.token = int(port_file.read_text()), ""
        self.log_in()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def log_in(self):
        user = {"name": "worker", "password": "secret"}
        identity = {"methods": ["password"], "password": {"user": user}}
        self.token = self.call("POST", "/v3/auth/tokens", {"auth": {"identity": identity}}, raw=True).getheader("X-Subject-Token")

    def call(self, method, path, body=None, raw=False):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"X-Auth-Token": self.token, "X-Test-Admin": "yes", "Content-Type": "application/json",
                       "OpenStack-API-Version": "compute 2.47"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
            return response if raw else json.loads(text or "{}")
        finally:
            connection.close()

    def servers(self, lease=None):
        found = self.call("GET", "/v2.1/servers/detail?all_tenants=1")["servers"]
        return [server for server in found if lease in (None, server["metadata"].get("spillway-lease"))]

    def quota(self, **limits):
        project = "6f70656e737461636b20342065766572"
        self.call("PUT", f"/v2.1/os-quota-sets/{project}", {"quota_set": {"force": True, **limits}})

    def make(self, name, lease):
        """A server as the driver would have made it, whose answer was lost."""
        server = {"name": name, "imageRef": IMAGE, "flavorRef": "1", "networks": "none",
                  "metadata": {"spillway-lease": lease, "spillway-service": "spillway"}}
        return self.call("POST", "/v2.1/servers", {"server": server})["server"]["id"]


class NovaTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service({"driver": "nova", "lookSeconds": 5})
        cls.addClassCleanup(cls.service.close)
        cls.cloud = Cloud(cls.service.dir)
        cls.addClassCleanup(cls.cloud.close)
        # More than any hypervisor has.
        cls.cloud.call("POST", "/v2.1/flavors", {"flavor": {"id": "huge", "name": "m1.huge", "ram": 512, "vcpus": 100000, "disk": 1}})
        (cls.service.dir / "template").write_text(TEMPLATE)
        (cls.service.dir / "password").write_text("secret\n")
        resources = {"cpu": "900m", "memory": "400Mi"}
        auth = {"url": f"http://127.0.0.1:{cls.cloud.port}/v3", "userName": "worker", "project": "p",
                "passwordFile": str(cls.service.dir / "password")}
        offers = [{"id": name, "flavor": flavor, "resources": resources, "pricePerHour": price}
                  for name, flavor, price in (("tiny", "m1.tiny", "0.01"), ("huge", "huge", "0.50"), ("unknown", "m9", "0.60"))]
        cls.service.config["nova"] = {"auth": auth, "image": IMAGE, "networks": "none", "offers": offers, "settleSeconds": 3,
                                      "bootstraps": {"default": str(cls.service.dir / "template")}}
        cls.service.start()

    def setUp(self):
        self.cloud.log_in()
        self.cloud.quota(cores=-1, instances=-1, ram=-1)
        self.service.order()

    def put(self, lease, **more):
        self.addCleanup(self.service.delete, lease)
        return self.service.put(lease, resources={"cpu": "500m"}, **more)

    def test_a_server_is_made_with_labels_and_taints_and_deleted(self):
        taint = {"key": "spillway.dev/pool", "value": "burst", "effect": "NoSchedule"}
        self.assertEqual(self.put("a", labels={"spillway.dev/pool": "burst"}, taints=[taint]).status, 202)
        lease = self.service.wait("a", "Active")
        server, = self.cloud.servers("a")
        self.assertEqual((lease["nodes"][0]["providerID"], lease["nodes"][0]["nodeName"]), (f"openstack:///{server['id']}", "spw-a"))
        told = base64.b64decode(server["OS-EXT-SRV-ATTR:user_data"]).decode()
        self.assertIn("hostname: spw-a\nkubelet: --node-labels=spillway.dev/pool=burst "
                      "--register-with-taints=spillway.dev/pool=burst:NoSchedule", told)
        self.service.delete("a")
        self.service.wait("a", "Released")
        self.assertEqual(self.cloud.servers("a"), [])

    def test_an_unknown_flavor_is_an_invalid_request(self):
        self.put("flavor", offerId="unknown")
        error = self.service.wait("flavor", "Failed")["error"]
        self.assertEqual(error["class"], "InvalidRequest")
        self.assertIn("m9", error["message"])

    def test_over_quota_is_no_fault_of_credentials(self):
        self.cloud.quota(cores=0)
        self.put("quota")
        error = self.service.wait("quota", "Failed")["error"]
        self.assertEqual(error["class"], "QuotaExceeded")
        self.assertIn("Quota exceeded", error["message"])

    def test_no_valid_host_is_a_lack_of_capacity_and_leaves_nothing(self):
        self.put("big", offerId="huge")
        error = self.service.wait("big", "Failed")["error"]
        self.assertEqual(error["class"], "InsufficientCapacity")
        self.assertIn("No valid host", error["message"])
        wait_until("the server in error is deleted", lambda: not self.cloud.servers("big"), 60, 0.5)

    def test_a_server_whose_answer_was_lost_is_found_and_of_two_the_younger_is_deleted(self):
        first = self.cloud.make("spw-lost", "lost")
        time.sleep(1.1)
        self.cloud.make("spw-lost", "lost")
        self.put("lost")
        lease = self.service.wait("lost", "Active")
        self.assertEqual(lease["nodes"][0]["providerID"], f"openstack:///{first}")
        wait_until("one is left", lambda: [server["id"] for server in self.cloud.servers("lost")] == [first], 60, 0.5)

    def test_a_server_of_the_same_name_that_is_not_ours_is_left_alone(self):
        stranger = self.cloud.make("spw-own", "another")
        self.put("own")
        self.service.wait("own", "Active")
        self.service.delete("own")
        self.service.wait("own", "Released")
        self.assertEqual([server["id"] for server in self.cloud.servers("another")], [stranger])

    def test_what_appears_after_its_lease_was_released_is_deleted(self):
        self.put("late")
        self.service.delete("late")
        self.service.wait("late", "Released")
        self.cloud.make("spw-late", "late")
        stranger = self.cloud.make("spw-unknown", "unknown")
        self.service.kill()
        self.service.start()  # it sweeps at its start, and every minute
        wait_until("it is deleted", lambda: not self.cloud.servers("late"), 60, 0.5)
        self.assertEqual([server["id"] for server in self.cloud.servers("unknown")], [stranger])

    def test_a_token_that_is_no_longer_valid_is_renewed(self):
        self.cloud.call("POST", "/test/revoke")
        self.put("revoked")
        self.service.wait("revoked", "Active")

    def test_a_server_that_was_deleted_by_hand_makes_the_lease_fail_and_is_not_replaced(self):
        self.put("hand")
        self.service.wait("hand", "Active")
        server, = self.cloud.servers("hand")
        self.cloud.call("DELETE", f"/v2.1/servers/{server['id']}")
        self.assertEqual(self.service.wait("hand", "Failed")["error"]["code"], "MachineLost")
        self.assertEqual(self.cloud.servers("hand"), [])

    def test_killed_around_the_request_to_nova_there_is_one_server(self):
        for number in range(3):
            self.put(f"kill{number}")
            time.sleep(0.05 + 0.2 * number)
            self.service.kill()
            self.service.start()
        for number in range(3):
            self.service.wait(f"kill{number}", "Active")
            self.assertEqual(len(self.cloud.servers(f"kill{number}")), 1)
            self.service.delete(f"kill{number}")
        for number in range(3):
            self.service.wait(f"kill{number}", "Released")
        self.assertEqual([server for server in self.cloud.servers() if server["name"].startswith("spw-kill")], [])


if __name__ == "__main__":
    unittest.main()
