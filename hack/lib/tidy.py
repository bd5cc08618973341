#!/usr/bin/env python3
"""clang-tidy over operator/, up to seven files of a folder at a time, as many at once as there are cores.

Most of its time goes into the headers, so to read ten files together takes little longer than to read one. What was found
to be fine is remembered by its content in ~/.cache/spillway/tidy, for other checkouts as well, and read again once it, a header
or the configuration has changed.

usage: tidy.py [--fix]
"""
import concurrent.futures
import functools
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parent.parent.parent
FLAGS = ["-std=c++20", f"-I{ROOT}", "-DGTEST_HAS_PTHREAD=1", "-Wall", "-Wextra"]
TOGETHER = 7
KEPT_SECONDS = 30 * 24 * 3600


def alone():
    """Files that cannot be read together with others of their folder, as the build has them."""
    text = (ROOT / "cmake" / "compile_time.cmake").read_text()
    return re.search(r"set\(compiled_alone\s+([^)]*)\)", text).group(1).split()


def groups():
    folders, loners = {}, alone()
    for file in sorted((ROOT / "operator").rglob("*.cc")):
        if any(str(file).endswith("/" + loner) for loner in loners):
            yield [file]
        else:
            folders.setdefault(file.parent, []).append(file)
    for files in folders.values():
        count = -(-len(files) // TOGETHER)
        size = -(-len(files) // count)
        for at in range(0, len(files), size):
            yield files[at:at + size]


@functools.cache
def included(file):
    """The file and every header of ours that it reads, directly or not."""
    found, todo = {file}, [file]
    while todo:
        for name in re.findall(r'^#include "([^"]+)"', todo.pop().read_text(), re.MULTILINE):
            header = ROOT / name
            if header not in found and header.exists():
                found.add(header)
                todo.append(header)
    return found


def fingerprint(files, version):
    digest = hashlib.sha256(version + " ".join(FLAGS[2:]).encode())
    for file in sorted({ROOT / ".clang-tidy"}.union(*map(included, files))):
        digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:32]


def tidy(files, mark, fix):
    unit = ROOT / "build" / "tidy" / (mark.name + ".cc")
    unit.write_text("".join(f'#include "{file}"\n' for file in files))
    run = subprocess.run(["clang-tidy", "--quiet", f"--config-file={ROOT / '.clang-tidy'}",
                          *(["--fix"] if fix else []), str(unit), "--", *FLAGS],
                         capture_output=True, text=True, check=False)
    unit.unlink()
    if run.returncode == 0:
        mark.touch()
    return "" if run.returncode == 0 else run.stdout or run.stderr


def main():
    fix = "--fix" in sys.argv[1:]
    marks = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "spillway" / "tidy"
    marks.mkdir(parents=True, exist_ok=True)
    (ROOT / "build" / "tidy").mkdir(parents=True, exist_ok=True)
    version = subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout
    todo = [(files, marks / fingerprint(files, version)) for files in groups()]
    for mark in marks.iterdir():
        if mark.stat().st_mtime < time.time() - KEPT_SECONDS:
            mark.unlink(missing_ok=True)
    for _, mark in todo:
        if mark.exists():
            mark.touch()
    todo = [(files, mark) for files, mark in todo if not mark.exists()]
    todo.sort(key=lambda each: -sum(file.stat().st_size for file in each[0]))
    failed = False
    # Fixes one after the other: two files may want to change the same header.
    with concurrent.futures.ThreadPoolExecutor(1 if fix else os.cpu_count()) as pool:
        for found in pool.map(lambda each: tidy(*each, fix), todo):
            if found:
                failed = True
                print(found, end="")
    sys.exit(1 if failed else 0)


main()
