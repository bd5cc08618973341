"""Puts the figures of hack/bench into one report: Markdown, JSON and a plot.

usage: report.py DIR COMMIT    reads DIR/*.jsonl, writes DIR/report.{md,json,svg}
"""

import json
import os
import platform
import sys

GOALS = {
    "decisions": "at least 500,000 decisions/s at 10,000 servers and 20 shapes, flat in the waiting tasks",
    "bound": "bound/s at least that of kube-scheduler in the same run",
    "ceiling": "finished/s at least 0.8 of what the raw rates allow for the task's writes",
    "latency": "p99 created -> bound under 50 ms at 20 tasks/s",
    "writes": "under 3 writes per task",
    "memory": "under 300 MB with 10,000 servers and 100,000 tasks",
    "idle": "no CPU when idle",
    "burst": "p99 created -> engine's object created under 50 ms",
}


def read(folder):
    parts = {}
    for part in ("core", "cluster", "scale", "burst"):
        path = os.path.join(folder, part + ".jsonl")
        if os.path.exists(path):
            with open(path) as lines:
                parts[part] = [json.loads(line) for line in lines if line.strip()]
    return parts


def machine():
    with open("/proc/cpuinfo") as info:
        model = next((l.split(":")[1].strip() for l in info if l.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": model, "cores": os.cpu_count(), "memory_gib": round(memory, 1),
            "kernel": platform.release()}


def values(part, what, key):
    return [row[key] for row in part if row["what"].startswith(what) and row.get(key) is not None]


def mean(numbers):
    return sum(numbers) / len(numbers) if numbers else None


def ratios(parts):
    """Each goal with its measured figure: (name, measured, limit, met)."""
    out = []

    def add(name, value, limit, at_most=False):
        if value is None:
            return
        met = value <= limit if at_most else value >= limit
        out.append({"goal": GOALS[name], "measured": round(value, 3), "limit": limit, "met": met})

    core, cluster = parts.get("core", []), parts.get("cluster", [])
    scale, burst = parts.get("scale", []), parts.get("burst", [])
    at_goal = values(core, "BM_Decide/servers:10000/shapes:20/", "per_second")
    # Of the medians of three, the slowest.
    add("decisions", min(at_goal) if at_goal else None, 500_000)
    steady = [r for r in cluster if "20 tasks/s" in r["what"]]
    full = [r for r in cluster if "20 tasks/s" not in r["what"]]
    bound = mean(values(full, "Spillway: created -> bound", "per_second"))
    scheduler = mean(values(full, "kube-scheduler", "per_second"))
    if bound and scheduler:
        add("bound", bound / scheduler, 1)
    create, pod = mean(values(full, "raw create of a TaskRequest", "per_second")), mean(
        values(full, "raw create of a pod", "per_second"))
    patch = mean(values(full, "raw patch", "per_second"))
    finished = mean(values(full, "Spillway: created -> finished", "per_second"))
    statuses = mean([r["writes_per_task"] for r in full if "taskrequests/status" in r["what"]])
    if all((create, pod, patch, finished, statuses)):
        add("ceiling", finished * (1 / create + 1 / pod + statuses / patch), 0.8)
        add("writes", 1 + statuses, 3, at_most=True)
    p99 = values(steady, "Spillway: created -> bound", "p99_ms")
    add("latency", p99[0] if p99 else None, 50, at_most=True)
    memory = [r["rss_mib"] for r in scale if "memory" in r["what"]]
    add("memory", max(memory) * 1.048576 if memory else None, 300, at_most=True)
    idle = [r["cpu_seconds"] / 30 for r in scale if r["what"].startswith("30 idle seconds")]
    add("idle", idle[0] if idle else None, 0.02, at_most=True)
    # A cloud's object is made in the way of two creations; a lease is looked for every 20 ms.
    for engine in sorted({r["what"] for r in burst if r["what"].endswith(" created")}):
        p99 = values(burst, engine, "p99_ms")
        add("burst", max(p99) if p99 else None, 50, at_most=True)
        out[-1]["goal"] = engine.removeprefix("burst: ") + ", p99 under 50 ms"
    return out


def markdown(report):
    lines = ["# hack/bench", "", f"Commit {report['commit']}, " + ", ".join(
        f"{k} {v}" for k, v in report["machine"].items()) + ".", ""]
    lines += ["| goal | measured | limit | met |", "|---|---|---|---|"]
    for row in report["goals"]:
        lines.append(f"| {row['goal']} | {row['measured']:,} | {row['limit']:,} | "
                     f"{'yes' if row['met'] else 'no'} |")
    for part, rows in report["figures"].items():
        keys = []
        for row in rows:
            keys += [k for k in row if k not in keys and row[k] is not None]
        lines += ["", f"## {part}", "", "| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
        for row in rows:
            cells = [row.get(k) for k in keys]
            lines.append("| " + " | ".join(
                "" if c is None else f"{c:,.2f}" if isinstance(c, float) else str(c)
                for c in cells) + " |")
    return "\n".join(lines) + "\n"


def plot(goals):
    """Each goal as a bar: how much of the limit, with the limit as a line."""
    width, row, left = 900, 34, 470
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{row * len(goals) + 40}" '
           'font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{row * len(goals) + 40}" fill="white"/>']
    for i, goal in enumerate(goals):
        share = min(goal["measured"] / goal["limit"], 2)
        y = 12 + i * row
        color = "#3a7d44" if goal["met"] else "#b23a48"
        out.append(f'<text x="8" y="{y + 15}">{goal["goal"].replace("&", "&amp;").replace("<", "&lt;")[:76]}</text>')
        out.append(f'<rect x="{left}" y="{y}" width="{share * 190:.0f}" height="20" fill="{color}"/>')
        out.append(f'<text x="{left + 4}" y="{y + 15}" fill="white">{goal["measured"]:,}</text>')
    bottom = 12 + len(goals) * row
    out.append(f'<line x1="{left + 190}" y1="6" x2="{left + 190}" y2="{bottom}" stroke="black" stroke-dasharray="4"/>')
    out.append(f'<text x="{left + 160}" y="{bottom + 16}">the limit</text></svg>')
    return "\n".join(out) + "\n"


def main():
    folder, commit = sys.argv[1:3]
    parts = read(folder)
    report = {"commit": commit, "machine": machine(), "goals": ratios(parts), "figures": parts}
    for name, text in (("report.json", json.dumps(report, indent=1) + "\n"),
                       ("report.md", markdown(report)), ("report.svg", plot(report["goals"]))):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    print(markdown(report).split("\n## ")[0])


main()
