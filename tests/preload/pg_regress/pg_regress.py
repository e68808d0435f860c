#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PostgreSQL's own regression suite on a server under pg64.

usage: pg_regress.py [--baseline] [--schedule NAME]
Needs what scripts/fetch-pg-regress puts into the cache. Everything must pass. Where a test fails,
the suite is run without pg64 as well, and only what fails there in the very same way is forgiven.
--baseline: without pg64, to look.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "lib"))
import pg64test  # noqa: E402
from postgres import Cluster, PostgresError  # noqa: E402

SETTINGS = {"fsync": "off", "shared_buffers": "256MB", "max_prepared_transactions": 2}
TIMEOUT_S = 1500


def suite_folder():
    """Where scripts/fetch-pg-regress keeps the suite; skips when it cannot be had."""
    said = subprocess.run([os.path.join(pg64test.ROOT, "scripts", "fetch-pg-regress")],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if said.returncode:
        last = said.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
        pg64test.skip(last)
    return said.stdout.decode().strip()


def parse(output):
    """({test: passed}, number of tests)."""
    found = re.findall(r"^(?:test |     |\+ )(\S+)\s+\.\.\. (ok|FAILED|failed)", output,
                       flags=re.M)
    found += [(name, "ok" if word == "ok" else "FAILED") for word, name in re.findall(
        r"^(ok|not ok) \d+\s+[-+] (\S+)", output, flags=re.M)]  # PostgreSQL 16 and later
    return {name: word == "ok" for name, word in found}


class Run:
    """One pass of the schedule: what failed, and what these tests printed."""

    def __init__(self, suite, schedule, top, env):
        self.folder = tempfile.mkdtemp(dir=top)
        self.cluster = cluster = Cluster(self.folder, self._bindir(suite))
        self.seconds = time.monotonic()
        self.work = os.path.join(self.folder, "regress")
        shutil.copytree(os.path.join(suite, "regress"), self.work)
        self._libraries(suite)
        try:
            cluster.init(SETTINGS)
            cluster.start(env)
            self.log = self._regress(schedule)
            cluster.psql("SELECT 1;")
        finally:
            cluster.stop()
        self.seconds = time.monotonic() - self.seconds
        self.tests = parse(self.log)
        self.failed = sorted(name for name, passed in self.tests.items() if not passed)

    def _bindir(self, suite):
        """The installed server, or the one that came with the suite, where its user can read it."""
        own = os.path.join(suite, "server")
        if not os.path.isdir(own):
            return None
        server = os.path.join(self.folder, "server")
        shutil.copytree(own, server, symlinks=True)
        with open(os.path.join(suite, "release"), encoding="ascii") as file:
            return os.path.join(server, "usr/lib/postgresql", file.read().strip(), "bin")

    def _libraries(self, suite):
        lib = os.path.join(os.path.dirname(self.cluster.bindir), "lib")
        for path in (os.path.join(suite, "regress.so"), os.path.join(lib, "autoinc.so"),
                     os.path.join(lib, "refint.so")):
            shutil.copy(path, self.work)
        if self.cluster.account:
            for folder, _, names in os.walk(self.work):
                for name in [folder, *(os.path.join(folder, name) for name in names)]:
                    os.chown(name, self.cluster.account["user"], self.cluster.account["group"])

    def _regress(self, schedule):
        cluster = self.cluster
        program = os.path.join(cluster.bindir, "..", "lib/pgxs/src/test/regress/pg_regress")
        words = [program, f"--inputdir={self.work}", f"--outputdir={self.work}",
                 f"--bindir={cluster.bindir}", f"--dlpath={self.work}", f"--host={cluster.socket}",
                 "--port=5432", "--user=postgres", "--max-concurrent-tests=20",
                 f"--schedule={self.work}/{schedule}"]
        with cluster.popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
            try:
                return child.communicate(timeout=TIMEOUT_S)[0].decode("utf-8", "replace")
            except BaseException:
                child.kill()
                raise

    def result(self, name):
        try:
            with open(os.path.join(self.work, "results", f"{name}.out"), "rb") as file:
                return file.read()
        except OSError:
            return None

    def differences(self):
        try:
            path = os.path.join(self.work, "regression.diffs")
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()[:8000]
        except OSError:
            return self.log[-3000:]


def judge(run, baseline):
    """Failures that are pg64's: [] is what we want."""
    return [name for name in run.failed
            if baseline.tests.get(name) or baseline.result(name) != run.result(name)]


def main(argv):
    schedule = argv[argv.index("--schedule") + 1] if "--schedule" in argv else "parallel_schedule"
    suite = suite_folder()
    with tempfile.TemporaryDirectory(prefix="pg64-regress.") as top:
        os.chmod(top, 0o755)
        env, stats = {}, os.path.join(top, "stats")
        if "--baseline" not in argv:
            library = os.path.join(top, "libpg64.so")
            shutil.copy(pg64test.library(), library)
            os.chmod(library, 0o755)
            os.close(os.open(stats, os.O_CREAT | os.O_WRONLY))
            os.chmod(stats, 0o666)
            env = {"LD_PRELOAD": library, "PG64_STATS": stats, "PG64_STATS_FORMAT": "json"}
        try:
            run = Run(suite, schedule, top, env)
        except PostgresError as error:
            pg64test.fail(str(error))
        active = sum(item.get("active", {}).get("malloc", False)
                     for item in pg64test.read_stats(stats))
        print(f"{len(run.tests)} tests, {len(run.failed)} failed, in {run.seconds:.0f} s; "
              f"pg64 was active in {active} processes")
        if len(run.tests) < 100 and schedule == "parallel_schedule":
            pg64test.fail(f"only {len(run.tests)} tests ran:\n{run.log[-3000:]}")
        if env and not active:
            pg64test.fail("pg64 was not active")
        if not run.failed:
            return
        if not env:
            pg64test.fail(f"{' '.join(run.failed)}\n{run.differences()}")
        baseline = Run(suite, schedule, top, {})
        print(f"without pg64: {len(baseline.failed)} failed: {' '.join(baseline.failed)}")
        wrong = judge(run, baseline)
        if wrong:
            pg64test.fail(f"{' '.join(wrong)}\n{run.differences()}")
        print(f"{len(run.failed)} tests fail in the same way without pg64")


if __name__ == "__main__":
    main(sys.argv)
