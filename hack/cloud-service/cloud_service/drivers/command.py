"""Runs a command for a bounded time, and never twice at once, not even after the service was killed while it ran."""
import collections
import os
import signal
import subprocess
import threading
import time

from . import Interrupted

MOST_LINES, MOST_LINE = 20, 4096
# Waits until its process is written down; a service that is killed before leaves nothing running.
GATE = ["/bin/sh", "-c", 'read -r _ || exit 125; exec "$@" </dev/null', "gate"]


def start_time(pid):
    """Tells a process from a later one with the same number; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except OSError:
        return None


def kill_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        pass


def group_lives(group):
    """Whether a process of the group is there that has not ended."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                state, _, its_group = file.read().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if its_group == str(group) and state != "Z":
            return True
    return False


def end_left_over(path):
    """Ends what a service that was killed has left running."""
    try:
        with open(path, encoding="utf-8") as file:
            pid, started = file.read().split()
    except (OSError, ValueError):
        return
    if start_time(int(pid)) == started:
        kill_group(int(pid))
        until = time.monotonic() + 5
        while group_lives(int(pid)) and time.monotonic() < until:
            time.sleep(0.01)
    os.unlink(path)


def write_durably(path, text):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)


def follow(stream, lines):
    """Keeps the last lines of an output of any length."""
    while chunk := stream.readline(MOST_LINE):
        if text := chunk.decode("utf-8", "replace").strip():
            lines.append(text)


def run(argv, environment, seconds, pid_file, wanted=lambda: True):
    """(exit code, last line of its output). The exit code is None if it took too long. It and what it has started in its process
    group are ended then, and when it is not wanted any more (Interrupted)."""
    end_left_over(pid_file)
    lines = collections.deque(maxlen=MOST_LINES)
    with subprocess.Popen(GATE + argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          start_new_session=True) as process:
        write_durably(pid_file, f"{process.pid} {start_time(process.pid)}")
        reader = threading.Thread(target=follow, args=(process.stdout, lines), daemon=True)
        reader.start()
        try:
            process.stdin.write(b"go\n")
            process.stdin.close()
        except OSError:
            pass
        code = _wait(process, time.monotonic() + seconds, wanted)
        # What it has left running in the background may keep the output open.
        reader.join(1)
        if reader.is_alive():
            kill_group(process.pid)
            reader.join(1)
    os.unlink(pid_file)
    if code == "unwanted":
        raise Interrupted
    return code, lines[-1] if lines else ""


def _wait(process, until, wanted):
    while True:
        try:
            return process.wait(0.2)
        except subprocess.TimeoutExpired:
            if wanted() and time.monotonic() < until:
                continue
        kill_group(process.pid)
        process.wait()
        return None if wanted() else "unwanted"
