# SPDX-License-Identifier: MIT
"""Run a scenario twice in the same empty folder, without pg64 and with it, and compare.

A scenario is a function of a Runner. Whatever its commands print, their exit status and the files
that it names must be the same byte for byte, and pg64 must have written statistics that say that
it was active: nothing is proved by a library that was not there.
"""
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "lib"))
import pg64test  # noqa: E402

FIXED = {"LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1",
         "PERL_HASH_SEED": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
         "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
         "GIT_COMMITTER_NAME": "C", "GIT_COMMITTER_EMAIL": "c@example.org",
         "GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}


class Runner:
    """Runs commands in one folder and keeps a record of all that can be seen of them."""

    def __init__(self, folder, env):
        self.folder = folder
        self.env = {**env, **FIXED, "HOME": folder, "TMPDIR": folder}
        self.record = []
        self.children = []

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(content)
        os.utime(self.path(name), (1700000000, 1700000000))

    def run(self, *words, feed=None, status=0, record=True, env=None, timeout=240):
        """One command; its exit status must be `status` (None: any, but twice the same)."""
        result = subprocess.run(
            words, cwd=self.folder, env={**self.env, **(env or {})}, timeout=timeout, check=False,
            input=feed.encode() if feed is not None else None,
            stdin=subprocess.DEVNULL if feed is None else None,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        name = " ".join(words)[:100]
        if record:
            self.record += [(f"{name}: output", result.stdout),
                            (f"{name}: standard error", result.stderr),
                            (f"{name}: exit status", str(result.returncode).encode())]
        if status is not None and result.returncode != status:
            raise Failure(f"`{name}` ended with {result.returncode}, not {status}:\n"
                          + (result.stderr or result.stdout).decode("utf-8", "replace")[-2000:])
        return result.stdout.decode("utf-8", "replace")

    def start(self, *words):
        """A server; ended by stop() or at the end of the scenario."""
        with open(self.path("server.log"), "ab") as log:
            child = subprocess.Popen(words, cwd=self.folder, env=self.env, stdout=log, stderr=log,
                                     stdin=subprocess.DEVNULL)
        self.children.append(child)
        return child

    def end_all(self):
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(20)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()

    def keep(self, label, value):
        """Something else that must be the same both times."""
        self.record.append((label, str(value).encode()))

    def file(self, name):
        with open(self.path(name), "rb") as file:
            self.record.append((f"file {name}", hashlib.sha256(file.read()).hexdigest().encode()))


class Failure(Exception):
    pass


def is_active(stats):
    """Does one object of PG64_STATS say that pg64 served this process?"""
    active = stats.get("active")
    if isinstance(active, dict):
        return any(active.values())
    return bool(active)


def once(scenario, folder, env):
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    runner = Runner(folder, env)
    try:
        scenario(runner)
    finally:
        runner.end_all()
    return runner.record


def first_difference(left, right):
    """What is not the same, with some lines around it."""
    for (name, old), (other, new) in zip(left, right):
        if name != other or old != new:
            old_lines, new_lines = old.split(b"\n"), new.split(b"\n")
            at = next((i for i, pair in enumerate(zip(old_lines, new_lines)) if pair[0] != pair[1]),
                      min(len(old_lines), len(new_lines)))
            show = [b"\n".join(lines[max(0, at - 2):at + 5]).decode("utf-8", "replace")[:1500]
                    for lines in (old_lines, new_lines)]
            return (f"{name} differs at line {at + 1}\n--- without pg64\n{show[0]}\n"
                    f"--- with pg64 ({other})\n{show[1]}")
    return f"{len(left)} observations without pg64, {len(right)} with it"


def need(*programs):
    """Skip the test when a program is not installed."""
    for program in programs:
        if not shutil.which(program):
            pg64test.skip(f"{program} is not installed")


def compare(scenario, **options):
    """The test: exits 0 or 1."""
    library = pg64test.library()
    with tempfile.TemporaryDirectory(prefix="pg64-compat.") as top:
        folder, stats = os.path.join(top, "w"), os.path.join(top, "stats")
        try:
            expected = once(scenario, folder, pg64test.clean_environment())
        except Failure as failure:
            pg64test.fail(f"without pg64: {failure}")
        try:
            found = once(scenario, folder,
                         pg64test.preload_environment(library, stats, **options))
        except Failure as failure:
            pg64test.fail(f"with pg64: {failure}")
        if found != expected:
            pg64test.fail(first_difference(expected, found))
        objects = pg64test.read_stats(stats)
    active = sum(is_active(stats) for stats in objects)
    if not active:
        pg64test.fail(f"pg64 was not active: {len(objects)} statistics written")
    print(f"{len(expected)} observations are the same; pg64 was active in {active} processes")
