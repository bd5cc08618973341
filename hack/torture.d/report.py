"""What happened, as a table and as JSON; and what the replicas' ends and logs say."""
import collections
import json
import pathlib
import re
import signal

from checks import key_of, phase_of, seconds

BAD = re.compile(r"terminate called|what\(\):|Sanitizer|runtime error:|Assertion|panic|"
                 r"stack smashing|double free|corrupted|\"msg\":\"[^\"]*an exception")
PROMISED_TAKEOVER = 17.0  # the lease's duration and two seconds
CLEAN_AROUND = ("apiserver", "etcd", "network", "operator")


def operator_ends(replicas):
    """(counts by how a life ended, what is broken). Losing the Lease ends a process by design."""
    counts, broken = collections.Counter(), []
    for replica in replicas:
        for cause, code, log in replica.exits:
            text = pathlib.Path(log).read_text(encoding="utf-8", errors="replace")
            # A signal that could not be survived is ours; a process that was only stopped lives on.
            lease = code == 1 and "lost the leader election Lease" in text
            if cause == "killed" and code == -signal.SIGKILL:
                counts["killed by a fault"] += 1
            elif cause == "asked" and code in (0, 1):
                counts["ended as asked" if code == 0 else "ended as asked, after ten seconds"] += 1
            elif lease:
                counts["gave up: the Lease was lost"] += 1
            else:
                broken.append(f"operator {replica.name} ended by itself: code {code}, {log}")
            found = BAD.search(text)
            if found:
                broken.append(f"operator {replica.name} says '{found.group()}': {log}")
    return counts, broken


def takeovers(faults, history):
    """[(seconds, whether nothing else was in the way)] of each leader that was killed."""
    leases = sorted((e for e in history if e[2].endswith("/spillway-system/spillway.dev") and e[3]),
                    key=lambda e: e[0])
    out = []
    for fault in faults:
        if fault.kind != "operator kill leader" or not getattr(fault, "holder", ""):
            continue
        for _, when, _, state in leases:
            holder = state["spec"].get("holderIdentity") or fault.holder
            if when > fault.at and holder != fault.holder:
                took = seconds(state["spec"]["acquireTime"])
                clean = all(other is fault or other.at is None or other.at > took or
                            (other.mended or took) < fault.at - 5
                            for other in faults if other.target in CLEAN_AROUND)
                out.append((took - fault.at, clean))
                break
    return out


def percentile(values, share):
    values = sorted(values)
    return values[min(int(len(values) * share), len(values) - 1)] if values else 0


def rss(samples):
    """(median of the first, of the last tenth, most), in MiB, of whichever replica is larger then."""
    by_time = collections.defaultdict(float)
    for when, _, _, value, _ in samples:
        by_time[round(when)] = max(by_time[round(when)], value)
    values = [v for _, v in sorted(by_time.items())]
    if not values:
        return 0, 0, 0
    tenth = max(len(values) // 10, 1)
    return percentile(values[:tenth], 0.5), percentile(values[-tenth:], 0.5), max(values)


def collect(run):
    """The figures of a run, as a flat dictionary in the order of the table."""
    world, tasks, now = run.world, run.tasks, run.recorder_now
    faults = collections.Counter(f.kind for f in run.faults if f.mended)
    phases = collections.Counter(phase_of(now.get(key_of(t), {})) or "deleted" for t in tasks)
    status = lambda t: now.get(key_of(t), {}).get("status", {})
    attempts = collections.Counter(status(t).get("assignment", {}).get("attempt", 0) for t in tasks)
    losses = sum(status(t).get("losses", 0) for t in tasks)
    requests = collections.Counter(phase_of(s) for s in now.values() if s["kind"] == "ScaleRequest"
                                   and "hostile" not in s["name"])
    totals = [sum(c.values()) for c in run.task_writes.values()]
    times = takeovers(run.faults, world.recorder.history)
    clean = [t for t, c in times if c]
    first, last, most = rss(world.samples)
    return {
        "seed": run.options.seed, "tasks": len(tasks), "nodes": run.options.nodes,
        "seconds": round(run.seconds), "faults": sum(faults.values()),
        "faults by kind": dict(sorted(faults.items())),
        "tasks by kind": dict(collections.Counter(t.kind for t in tasks).most_common()),
        "users did": dict(sorted(run.users.actions.items())),
        "tasks by phase": dict(phases.most_common()),
        "last attempt of a task": dict(sorted(attempts.items())),
        "attempts lost (last row)": losses,
        "ScaleRequests by phase": dict(requests.most_common()),
        "ScaleRequests, NodeClaims ever": [len(run.replay.requests), len(run.replay.claims)],
        "seconds until all was released": round(run.released_after, 1),
        "hostile objects": run.hostile.made if run.hostile else 0,
        "writes per task: median, p99, most": [percentile(totals, 0.5), percentile(totals, 0.99),
                                               max(totals, default=0)],
        "writes of tasks": dict(sum(run.task_writes.values(), collections.Counter()).most_common()),
        "writes refused or failed": dict(sum(run.audit.refused.values(),
                                             collections.Counter()).most_common()),
        "other writes": dict(run.audit.others.most_common(12)),
        "takeover of a killed leader, s: median, most (all)": [
            round(percentile([t for t, _ in times], q), 1) for q in (0.5, 1)] + [len(times)],
        "the same, nothing else in the way": [
            round(percentile(clean, q), 1) for q in (0.5, 1)] + [len(clean)],
        "ends of operators": dict(run.ends),
        "other processes that ended by themselves": {
            d.name: d.by_itself for d in world.daemons.values() if d.by_itself},
        "kwok started again by this instrument": world.kwok.again,
        "operator RSS, MiB: start, end, most": [round(first), round(last), round(most)],
    }


def text(value):
    if isinstance(value, dict):
        return ", ".join(f"{k or '(none)'}: {v}" for k, v in value.items()) or "none"
    if isinstance(value, list):
        return " / ".join(str(v) for v in value)
    return str(value)


def show(figures, broken, out):
    lines = [f"| {name} | {text(value)} |" for name, value in figures.items()]
    table = "\n".join(["| what | figure |", "|---|---|", *lines])
    verdict = [f"BROKEN ({len(found)}): {name}" + "".join(f"\n    {each}" for each in found[:20])
               for name, found in broken.items() if found]
    print(table)
    print("\n".join(verdict) if verdict else "nothing is broken")
    (out / "report.md").write_text(table + "\n")
    (out / "report.json").write_text(json.dumps({"figures": figures, "broken": broken}, indent=1))
