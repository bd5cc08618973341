#!/usr/bin/env python3
"""schemathesis, which makes up requests from openapi.yaml, against the running service: every answer is one that the document names."""
import subprocess
import unittest

from environments import environment
from running import SERVICE, TOKEN, Case

SCHEMATHESIS = environment("schemathesis") / "bin" / "schemathesis"
# A lease that was deleted can still be looked at. What is over a bound or what no machine satisfies is refused although it is of the right kind.
SETTINGS = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]
"""


class SchemathesisTest(Case):
    MACHINES = [{"name": f"m{i}", "offer": "small", "resources": {"cpu": 64, "memory": "1Ti"}} for i in range(500)]
    START = STOP = STATUS = "true"

    def run_against(self, *more):
        settings = self.service.dir / "schemathesis.toml"
        settings.write_text(SETTINGS)
        ran = subprocess.run(
            [SCHEMATHESIS, "--config-file", settings, "run", SERVICE / "openapi.yaml", "--url", f"http://127.0.0.1:{self.service.port}",
             "-H", f"Authorization: Bearer {TOKEN}", "--checks", "all", "--exclude-checks", "use_after_free", "--seed", "1",
             "--no-color", "--generation-database", ":memory:", *more],
            check=False, timeout=500, capture_output=True, text=True, cwd=self.service.dir)
        self.assertEqual(ran.returncode, 0, ran.stdout[-20000:] + ran.stderr[-2000:])
        return ran.stdout

    def test_every_answer_is_one_that_the_contract_names(self):
        said = self.run_against("--phases", "coverage,fuzzing,stateful", "--max-examples", "20")
        self.assertNotIn("Traceback", self.service.log())
        self.assertRegex(said, "[0-9]{3,} generated")


if __name__ == "__main__":
    unittest.main()
