#!/usr/bin/env python3
"""Asks a Prometheus every query of a Grafana dashboard, as Grafana would: each must parse and have data.

usage: tests/dashboard/queries.py DASHBOARD URL
"""
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

# What Grafana puts in: the variables of the dashboard, and the range of a rate.
VARIABLES = {"$__rate_interval": "1m", "$job": ".+"}
PATIENCE = 60  # seconds
# Until a rate over several scrapes says something.
SCRAPES = 6


def ask(url, path, **parameters):
    with urllib.request.urlopen(f"{url}{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
        return json.load(answer)["data"]


def await_scrapes(url):
    for _ in range(PATIENCE):
        try:
            found = ask(url, "/api/v1/query", query="count_over_time(up{job=\"spillway\"}[5m])")["result"]
            if found and float(found[0]["value"][1]) >= SCRAPES:
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(1)
    sys.exit("Prometheus has not scraped the metrics")


def queries(dashboard):
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            yield panel["title"], target, expression


def problem(url, target, expression):
    if "$" in expression:
        return "has a variable that is not of the dashboard"
    try:
        result = ask(url, "/api/v1/query", query=expression)["result"]
    except urllib.error.HTTPError as error:
        return json.load(error).get("error", str(error))
    if not result:
        return "has no data"
    if all(each["value"][1] == "NaN" for each in result):
        return "is no number"
    legend = target["legendFormat"]
    for label in [part.split("}}")[0] for part in legend.split("{{")[1:]]:
        # One that is empty everywhere is no label to Prometheus.
        grouped = any(label in re.split(r"[,\s]+", group) for group in re.findall(r"by \(([^)]*)\)", expression))
        if not grouped and not any(label in each["metric"] for each in result):
            return f"has no label {label}, which its legend names"
    return None


def main():
    dashboard, url = json.load(open(sys.argv[1])), sys.argv[2]
    await_scrapes(url)
    failed = passed = 0
    for title, target, expression in queries(dashboard):
        what = problem(url, target, expression)
        passed, failed = passed + (not what), failed + bool(what)
        if what:
            print(f"{title}: {what}: {expression}")
    down = [each for each in ask(url, "/api/v1/targets")["activeTargets"] if each["health"] != "up"]
    for each in down:
        failed += 1
        print(f"not scraped: {each['lastError']}")
    for group in ask(url, "/api/v1/rules")["groups"]:
        for rule in group["rules"]:
            passed, failed = passed + (rule["health"] == "ok"), failed + (rule["health"] != "ok")
            if rule["health"] != "ok":
                print(f"rule {rule['name']}: {rule.get('lastError', rule['health'])}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
