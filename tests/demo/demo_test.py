#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scripts/demo in its quick form: the table it prints, and that nothing is left behind, be it run
to its end, interrupted or terminated."""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import knobs  # noqa: E402
import pg64test  # noqa: E402
from postgres import find_bindir  # noqa: E402

DEMO = os.path.join(pg64test.ROOT, "scripts", "demo.py")
COVERAGE = 0.95
# Each signal at another moment: while data is loaded, and while a server is at work.
CUTS = ((signal.SIGINT, r"loading pgbench", 0.7), (signal.SIGTERM, r"creating a private", 0.1),
        (signal.SIGINT, r"round 1 of 1", 1.5))


def settled_knobs():
    """The knobs when no other test has set them for itself."""
    try:
        with knobs.Knobs({}):
            return knobs.state()
    except (knobs.Unavailable, OSError):  # not root: nobody sets any
        return knobs.state()


def check_coverage(out):
    """Where the demo could have 64 KiB pages and see them: nearly all of the memory is on them."""
    if os.geteuid() != 0 or knobs.read("hugepages-64kB/shmem_enabled") is None:
        print("coverage not checked: it takes root and a kernel with 64 KiB shared memory")
        return
    for row in ("shared buffers on 64 KiB pages", "sorting backend's memory on 64 KiB pages"):
        found = re.search(rf"^{re.escape(row)} +[\d.]+ +([\d.]+)", out, flags=re.M)
        if not found or float(found.group(1)) < COVERAGE:
            pg64test.fail(f"{row}: not {COVERAGE} in:\n{out}")


def start(folder, *words):
    env = {**pg64test.clean_environment(), "TMPDIR": folder}
    return subprocess.Popen(
        [sys.executable, DEMO, "--quick", "--library", pg64test.library(), *words], env=env,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def left_behind(folder, before):
    """What a run did not clean up: files, processes, kernel settings."""
    found = [f"file {name}" for name in os.listdir(folder)]
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                where = os.readlink(f"/proc/{entry}/cwd")
            except OSError:
                continue
            if where.startswith(folder):
                found.append(f"process {entry} in {where}")
    after = settled_knobs()
    found += [f"{name} = {after[name]}, was {value}" for name, value in before.items()
              if after[name] != value]
    return found


def whole_run(folder):
    table = os.path.join(folder, "table.md")
    child = start(folder, "--markdown", table)
    out, err = child.communicate(timeout=200)
    if child.returncode:
        pg64test.fail(f"the demo ended with {child.returncode}:\n{err[-3000:]}")
    for row in ("prewarm of shared buffers", "select-only", "large sort", "hash join", "PSS",
                "shared buffers on 64 KiB pages", "sorting backend's memory on 64 KiB"):
        if row not in out:
            pg64test.fail(f"no row named {row!r} in:\n{out}")
    check_coverage(out)
    with open(table, encoding="utf-8") as file:
        text = file.read()
    if not re.search(r"^\|---\|---:\|---:\|---:\|$", text, flags=re.M):
        pg64test.fail(f"no table in the markdown file:\n{text}")
    os.unlink(table)
    print(out)


def cut_short(folder, number, pattern, delay_s):
    child = start(folder)
    lines = []
    for line in child.stderr:
        lines.append(line)
        if re.search(pattern, line):
            break
    else:
        pg64test.fail(f"the demo never said {pattern!r}: {''.join(lines)}")
    time.sleep(delay_s)
    child.send_signal(number)
    try:
        child.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        child.kill()
        pg64test.fail(f"the demo went on after {signal.Signals(number).name} for a minute")
    if child.returncode != 128 + number:
        pg64test.fail(f"exit status {child.returncode} after {signal.Signals(number).name}")


def main():
    if not find_bindir():
        pg64test.skip("no PostgreSQL server is installed")
    with tempfile.TemporaryDirectory(prefix="pg64-demo-test.") as folder:
        os.chmod(folder, 0o755)
        before = settled_knobs()
        cases = [("run to its end", lambda: whole_run(folder))]
        cases += [(f"{signal.Signals(cut[0]).name} at '{cut[1]}'",
                   lambda cut=cut: cut_short(folder, *cut)) for cut in CUTS]
        for name, case in cases:
            case()
            found = left_behind(folder, before)
            if found:
                pg64test.fail(f"{name}: left behind: {', '.join(found)}")
            print(f"{name}: nothing is left behind")


if __name__ == "__main__":
    main()
