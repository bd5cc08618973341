#!/usr/bin/env python3
"""The cloud service lends real nodes: the example configuration, on the cluster of hack/test ($SPILLWAY_TEST_DIR).

Where no node can be started the test is skipped (exit status 77).
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "hack/cloud-service/examples"
CLUSTER = os.environ.get("SPILLWAY_TEST_DIR") or sys.exit("run this by hack/test")
TOKEN = "a-token-of-this-test"
TAINT = {"key": "spillway.dev/pool", "value": "lease-test", "effect": "NoSchedule"}
REQUEST = {"clientRef": "lease-test", "resources": {"cpu": "1"}, "labels": {"spillway.dev/pool": "lease-test"}, "taints": [TAINT]}
POD = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lease-test"},
    "spec": {"restartPolicy": "Never", "tolerations": [{"key": TAINT["key"], "operator": "Exists"}],
             "containers": [{"name": "task", "image": "docker.io/local/busybox:1", "imagePullPolicy": "Never",
                             "command": ["sh", "-c", "echo ran on a lease; exit 5"]}]},
}


def cluster_tool(*arguments):
    return subprocess.run([ROOT / "hack/cluster", *arguments, "--dir", CLUSTER], capture_output=True, text=True, timeout=180)


def kubectl(*arguments, given=None):
    command = [ENVIRONMENT["SPILLWAY_TEST_KUBECTL"], *arguments]
    return subprocess.run(command, env=ENVIRONMENT, input=given, capture_output=True, text=True, timeout=60)


def environment():
    lines = cluster_tool("env").stdout.replace("export ", "").splitlines()
    values = dict(line.split("=", 1) for line in lines)
    path = values["PATH"].replace("$PATH", os.environ["PATH"])
    kubectl_path = path.split(":", 1)[0] + "/kubectl"
    return {**os.environ, "KUBECONFIG": values["KUBECONFIG"], "PATH": path, "SPILLWAY_TEST_KUBECTL": kubectl_path}


ENVIRONMENT = environment()


class Service:
    def __init__(self, work):
        self.work = work
        (work / "tokens").write_text(TOKEN + "\n")
        config = yaml.safe_load((EXAMPLES / "cluster-nodes.yaml").read_text())
        del config["tls"]
        config.update(listen="127.0.0.1:0", stateDir=str(work / "state"), auth={"tokenFile": str(work / "tokens")})
        for verb in ("start", "status", "stop"):
            script, word = config["static"][verb]
            config["static"][verb] = [str(ROOT / script), word, "--dir", CLUSTER]
        for number, machine in enumerate(config["static"]["machines"]):
            machine["name"] = f"lease-test-{number}"
        (work / "config.yaml").write_text(yaml.safe_dump(config))
        self.start()

    def start(self):
        (self.work / "port").unlink(missing_ok=True)
        command = [ROOT / "hack/cloud-service/serve", self.work / "config.yaml", "--port-file", self.work / "port"]
        with open(self.work / "log", "ab") as log:
            self.process = subprocess.Popen(command, env=ENVIRONMENT, stdout=log, stderr=log)
        within(20, "the service listens", (self.work / "port").exists)
        self.url = "http://127.0.0.1:" + (self.work / "port").read_text()

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(60)

    def call(self, method, lease, body=None):
        request = urllib.request.Request(f"{self.url}/v1/leases/{lease}", json.dumps(body).encode() if body else None, method=method,
                                         headers={"Authorization": "Bearer " + TOKEN, "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def reaches(self, lease, state, seconds=120):
        last = {}

        def there():
            last.update(self.call("GET", lease))
            return last["state"] == state
        within(seconds, f"{lease} is {state}, not {last}", there)
        return last


def within(seconds, what, holds):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.2)


def nodes():
    return {each["metadata"]["name"]: each for each in json.loads(kubectl("get", "nodes", "-o", "json").stdout)["items"]
            if each["metadata"]["name"].startswith("lease-test-")}


def machines():
    return sorted(each.name for each in (pathlib.Path(CLUSTER) / "nodes").glob("lease-test-*"))


class LeaseTest(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.service = Service(self.work)
        self.addCleanup(self.clean)

    def clean(self):
        kubectl("delete", "pod", POD["metadata"]["name"], "--force", "--grace-period=0", "--ignore-not-found")
        self.service.end()
        for name in machines():
            cluster_tool("node", "remove", name)

    def test_a_lease_is_a_node_that_runs_what_it_is_given_and_is_gone_when_it_is_deleted(self):
        begin = time.monotonic()
        self.service.call("PUT", "life", REQUEST)
        lent = self.service.reaches("life", "Active")["nodes"][0]
        print(f"    from the PUT to Active: {time.monotonic() - begin:.1f} s", file=sys.stderr)
        node = nodes()[lent["nodeName"]]
        self.assertEqual(node["spec"]["providerID"], lent["providerID"])
        self.assertEqual(node["metadata"]["labels"]["spillway.dev/pool"], "lease-test")
        self.assertIn(TAINT, node["spec"]["taints"])
        pod = json.loads(json.dumps(POD))
        pod["spec"]["nodeName"] = lent["nodeName"]
        kubectl("create", "-f", "-", given=json.dumps(pod))
        kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "--timeout=60s", "pod/lease-test")
        status = json.loads(kubectl("get", "pod", "lease-test", "-o", "json").stdout)["status"]
        self.assertEqual(status["containerStatuses"][0]["state"]["terminated"]["exitCode"], 5)
        self.assertEqual(kubectl("logs", "lease-test").stdout, "ran on a lease\n")
        begin = time.monotonic()
        self.service.call("DELETE", "life")
        self.service.reaches("life", "Released")
        print(f"    from the DELETE to Released: {time.monotonic() - begin:.1f} s", file=sys.stderr)
        self.assertEqual((nodes(), machines()), ({}, []))

    def test_nothing_is_left_of_a_lease_that_is_deleted_while_its_node_boots(self):
        self.service.call("PUT", "short", REQUEST)
        within(60, "the node boots", machines)
        self.service.call("DELETE", "short")
        self.service.reaches("short", "Released")
        self.assertEqual((nodes(), machines()), ({}, []))

    def test_a_service_that_is_killed_while_a_node_boots_has_one_node_in_the_end(self):
        self.service.call("PUT", "killed", REQUEST)
        within(60, "the node boots", machines)
        self.service.end(signal.SIGKILL)
        self.service.start()
        lent = self.service.reaches("killed", "Active")["nodes"][0]
        self.assertEqual(machines(), [lent["nodeName"]])
        self.assertEqual(nodes()[lent["nodeName"]]["spec"]["providerID"], lent["providerID"])

    def test_a_lease_whose_machine_died_fails_and_is_cleared_away(self):
        self.service.call("PUT", "died", REQUEST)
        name = self.service.reaches("died", "Active")["nodes"][0]["nodeName"]
        process = (pathlib.Path(CLUSTER) / f"run/node-{name}.pid").read_text().split()[0]
        os.kill(int(process), signal.SIGKILL)
        error = self.service.reaches("died", "Failed")["error"]
        self.assertEqual((error["class"], error["code"]), ("InsufficientCapacity", "MachineLost"))
        within(60, "nothing is left of it", lambda: not machines() and not nodes())


if __name__ == "__main__":
    check = cluster_tool("node", "check")
    if check.returncode == 3:
        print(check.stderr.strip())
        sys.exit(77)
    unittest.main(verbosity=2)
