# SPDX-License-Identifier: MIT
"""The runtime on the patched kernel, every THP knob of sysfs at `never`, as an unprivileged user:
the backend is `patched`, and nearly all of the heap, of shared memory and of PostgreSQL is on
64 KiB pages. Outside of a guest this boots one and runs itself there.
"""
import contextlib
import os
import subprocess
import sys
import tempfile

from kernel import Skip, case, check, knobs_to_never, main_in_guest, pg64test
from preload import LIBRARY, NOBODY, for_anybody, program
import pages

sys.path.insert(0, os.path.join(pg64test.ROOT, "scripts"))
MIN_COVERAGE = 0.98
MIB = 1 << 20
FILL_BYTES = 64 * MIB


@contextlib.contextmanager
def public_copies():
    """(library, command, hold, folder) that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="pg64-") as folder:
        os.chmod(folder, 0o755)
        places = []
        for name, path in (("preload", LIBRARY), ("tools", os.environ.get("PG64_TOOL", "")),
                           ("tests", program("hold"))):
            place = os.path.join(folder, "build", name)
            os.makedirs(place)
            places += for_anybody(place, path) if path else [None]
        os.chmod(os.path.join(folder, "build"), 0o755)
        yield (*places, folder)


@contextlib.contextmanager
def holder(kind, fork=False):
    """A process of user nobody that holds filled memory, with the library preloaded."""
    with public_copies() as (library, _, hold, folder):
        words = [*NOBODY, "env", f"LD_PRELOAD={library}", hold, kind, str(FILL_BYTES // MIB)]
        with subprocess.Popen(words + (["fork"] if fork else []), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, env=pg64test.clean_environment(),
                              cwd=folder, text=True) as child:
            try:
                check(child.stdout.readline() == "ready\n", f"{kind}: the program ended")
                yield child
            finally:
                child.kill()


def covered(pid, wanted):
    """Coverage of the regions of 1 MiB and more that `wanted` chooses; at least the minimum."""
    ranges = [(region.start, region.end) for region in pages.regions(pid)
              if wanted(region) and region.size >= MIB]
    found = pages.coverage(pid, ranges)
    check(found.known and found.resident >= FILL_BYTES * 0.9,
          f"{found.resident >> 20} MiB are resident in {len(ranges)} regions")
    check(found.ratio >= MIN_COVERAGE, f"coverage {found}, not {MIN_COVERAGE}")
    return f"{found} of {found.resident >> 20} MiB"


def private(region):
    return region.private_anonymous


def shared(region):
    return region.shared_anonymous


@case
def backend_is_patched():
    knobs_to_never()
    with public_copies() as (library, _, hold, _):
        said = subprocess.run([*NOBODY, hold, "probe", library], stdout=subprocess.PIPE, text=True,
                              env=pg64test.clean_environment(), check=True, timeout=120).stdout
    found = dict(line.split()[:2] for line in said.splitlines())
    check(found == dict.fromkeys(pg64test.KINDS, "patched"), said)


@case
def command_says_so():
    with public_copies() as (_, tool, hold, _):
        if not tool:
            raise Skip("no command in this build")
        options = {"env": pg64test.clean_environment(), "stdin": subprocess.DEVNULL,
                   "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True,
                   "check": False, "timeout": 200}
        said = subprocess.run([tool, "run", "--backend=patched", "--require=98", "--", hold,
                               "heap", str(FILL_BYTES // MIB)], **options)
        check(said.returncode == 0, f"pg64 run --require=98: {said.returncode} {said.stderr}")
        said = subprocess.run([*NOBODY, tool, "doctor"], **options)
        check("patched" in said.stdout, said.stdout + said.stderr)


@case
def heap():
    with holder("heap") as child:
        return covered(child.pid, private)


@case
def private_mapping():
    with holder("private") as child:
        return covered(child.pid, private)


@case
def shared_mapping():
    with holder("shared") as child:
        return covered(child.pid, shared)


def after_fork(kind):
    with holder(kind, fork=True) as child:
        child.stdin.write("fork\n")
        child.stdin.flush()
        pid = int(child.stdout.readline().split()[1])
        return f"child {covered(pid, private)}, parent {covered(child.pid, private)}"


@case
def sysv_mapping():
    with holder("sysv") as child:
        return covered(child.pid, shared)


@case
def heap_written_after_fork():
    return after_fork("heap")


@case
def mapping_written_after_fork():
    return after_fork("private")


@case
def postgres():
    """Shared buffers, and the memory of a backend that holds a sort."""
    from postgres import Cluster, find_bindir  # pylint: disable=import-outside-toplevel
    from demo import Session  # pylint: disable=import-outside-toplevel
    check(find_bindir(), "no PostgreSQL server is installed: scripts/setup demo")
    with public_copies() as (library, _, _, folder):
        os.makedirs(os.path.join(folder, "pg"))
        cluster = Cluster(os.path.join(folder, "pg"))
        cluster.init({"shared_buffers": "64MB", "fsync": "off", "autovacuum": "off", "jit": "off",
                      "max_wal_size": "1GB"})
        cluster.start({"LD_PRELOAD": library})
        try:
            cluster.psql("CREATE TABLE t AS SELECT i, repeat('x', 500) AS x FROM "
                         "generate_series(1, 140000) i; CREATE EXTENSION pg_prewarm; "
                         "SELECT pg_prewarm('t');")
            session = Session(cluster, 256)
            session.ask("BEGIN; DECLARE c CURSOR FOR SELECT * FROM t ORDER BY x, i; "
                        "FETCH 1 FROM c;")
            region = cluster.shared_region(session.pid)
            buffers = pages.coverage(session.pid, [(region.start, region.end)])
            check(buffers.resident > 56 * MIB, f"{buffers.resident >> 20} MiB shared are resident")
            check(buffers.ratio >= MIN_COVERAGE, f"shared buffers: coverage {buffers}")
            own = covered(session.pid, private)
            session.close()
            return f"shared buffers {buffers} of {buffers.resident >> 20} MiB, a backend {own}"
        finally:
            cluster.stop()


if __name__ == "__main__":
    if os.environ.get("KERNEL_GUEST"):
        knobs_to_never()
    main_in_guest(__file__, options=["--memory", "3G"], timeout=900)
