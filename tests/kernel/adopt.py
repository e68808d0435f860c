# SPDX-License-Identifier: MIT
"""`pg64 adopt` on the patched kernel, every THP knob of sysfs at `never`: programs that run without
libpg64 are moved to 64 KiB pages from outside, a whole PostgreSQL with one command. Outside of a
guest this boots one and runs itself there.
"""
import contextlib
import json
import mmap
import os
import subprocess
import sys
import tempfile

from kernel import case, check, knobs_to_never, main_in_guest, pg64test
from preload import NOBODY, for_anybody, program
import pages

sys.path.insert(0, os.path.join(pg64test.ROOT, "scripts"))
MIB = 1 << 20
FILL_MIB = 64
MIN_COVERAGE = 0.98
TOOL = os.environ.get("PG64_TOOL", "")
SYSCTL = "/proc/sys/vm/pagesize_64k"


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def pg64(*words, status=0, prefix=()):
    """Run the command; (standard output, standard error)."""
    check(TOOL, "no command in this build")
    said = subprocess.run([*prefix, TOOL, *map(str, words)], env=pg64test.clean_environment(),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False, timeout=400)
    check(said.returncode == status,
          f"{words}: ended with {said.returncode}, not {status}\n{said.stdout}{said.stderr}")
    return said.stdout, said.stderr


def adopt(*words, changing=False):
    """The JSON object of a run without a complaint, but for a family that is `changing`."""
    out, err = pg64("adopt", "--json", *words)
    check(not err or (changing and "new processes kept coming" in err), err)
    data = json.loads(out)
    check(data["pg64_adopt"] == 1 and data["kernel"] == "patched", out[:300])
    return data


def places_shared_memory():
    """Does this kernel map shared memory so that its granules can be mapped as a whole?"""
    maps = [mmap.mmap(-1, MIB + (i + 1) * mmap.PAGESIZE) for i in range(8)]
    regions = [region for region in pages.regions() if region.shared_anonymous]
    check(len(regions) >= len(maps), "where are the mappings?")
    placed = all(region.start % pages.GRANULE == 0 for region in regions)
    for one in maps:
        one.close()
    return placed


def private(region):
    return region.private_anonymous


def shared(region):
    return region.shared_anonymous


@contextlib.contextmanager
def holder(kind, mib=FILL_MIB):
    """A process of user nobody without libpg64 that has filled memory with a pattern."""
    with tempfile.TemporaryDirectory(prefix="pg64-") as folder:
        os.chmod(folder, 0o755)
        hold = for_anybody(folder, program("hold"))[0]
        with subprocess.Popen([*NOBODY, hold, kind, str(mib), "verify"], cwd=folder,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              env=pg64test.clean_environment()) as child:
            try:
                check(child.stdout.readline() == "ready\n", f"{kind}: the program ended")
                yield child
            finally:
                child.kill()


def verify(child):
    child.stdin.write("verify\n")
    child.stdin.flush()
    said = child.stdout.readline()
    check(said == "good\n", f"the memory has changed: {said!r}")


def covered(pid, wanted):
    ranges = [(region.start, region.end) for region in pages.regions(pid)
              if wanted(region) and region.size >= MIB]
    return pages.coverage(pid, ranges)


def moved(kind, wanted):
    """Next to nothing is covered before; enough after, by our own count and by the command's."""
    with holder(kind) as child:
        before = covered(child.pid, wanted)
        check(before.resident >= 0.95 * FILL_MIB * MIB, f"{before.resident >> 20} MiB resident")
        check(before.ratio < 0.01, f"before: {before}")
        data = adopt(child.pid)
        after = covered(child.pid, wanted)
        check(after.resident >= 0.95 * FILL_MIB * MIB, f"{after.resident >> 20} MiB after")
        check(after.ratio >= MIN_COVERAGE, f"after: {after}, not {MIN_COVERAGE}")
        verify(child)
        after = covered(child.pid, wanted)
        check(after.ratio >= MIN_COVERAGE, f"after it was read: {after}, not {MIN_COVERAGE}")
        told = data["processes"][0]
        check(told["state"] == "adopted" and not told["refused"], told)
        check(told["advised_bytes"] >= FILL_MIB * MIB - pages.GRANULE, told["advised_bytes"])
        check(told["before"]["coverage"]["ppm"] < 10000, told["before"]["coverage"])
        if not kind.startswith("tmpfs:"):  # to `pg64 stat` a file
            check(told["after"]["coverage"]["ppm"] > 950000, told["after"]["coverage"])
        return f"{before} before, {after} after"


@case
def heap():
    return moved("heap", private)


@case
def private_mapping():
    return moved("private", private)


@case
def shared_mapping():
    return moved("shared", shared)


@case
def memfd_mapping():
    return moved("memfd", shared)


@case
def sysv_mapping():
    return moved("sysv", shared)


@case
def tmpfs_mapping():
    """One that is no /dev/shm, which is known by its name."""
    with tempfile.TemporaryDirectory(prefix="pg64-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", folder], check=True)
        try:
            os.chmod(os.path.dirname(folder), 0o1777)
            return moved(f"tmpfs:{folder}", lambda region: region.name.startswith(folder))
        finally:
            subprocess.run(["umount", folder], check=True)


@contextlib.contextmanager
def python(code):
    """A python that has run the code and waits."""
    words = [sys.executable, "-S", "-c", f"{code}\nprint('ready', flush=True)\ninput()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          env=pg64test.clean_environment()) as child:
        try:
            check(child.stdout.readline() == "ready\n", f"{code}: the program ended")
            yield child.pid
        finally:
            child.kill()


def flags_of(pid, wanted):
    """VmFlags of the regions that `wanted` chooses, each with its size."""
    found, region = [], None
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line[0].islower() or line[0].isdigit():
                region = pages.Region(line)
            elif line.startswith("VmFlags:") and wanted(region):
                found.append((region.size, line.split()[1:]))
    return found


def flagged(pid, wanted):
    """Bytes with the flag and bytes without."""
    found = flags_of(pid, wanted)
    return (sum(size for size, flags in found if "p6" in flags),
            sum(size for size, flags in found if "p6" not in flags))


@case
def reservations_and_refusals():
    """More than a call of process_madvise takes, closed memory, and what is left alone."""
    code = ("import mmap; f = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000; "
            "a = mmap.mmap(-1, 5 << 30, flags=f); b = mmap.mmap(-1, 64 << 20, flags=f, prot=0); "
            "c = mmap.mmap(-1, 8 << 20, flags=f); c.madvise(mmap.MADV_NOHUGEPAGE)")
    with python(code) as pid:
        told = adopt(pid)["processes"][0]
        check(not told["refused"], told["refused"])
        check(told["left"]["nohugepage"]["bytes"] >= 8 * MIB, told["left"])
        check(told["left"]["stack"]["ranges"] >= 1 and told["left"]["file"]["ranges"] >= 3,
              told["left"])
        big = flagged(pid, lambda region: not region.inode and region.size >= 8 * MIB
                      and not region.name)
        check(big[0] >= (5 << 30) + 64 * MIB - 4 * pages.GRANULE, f"{big[0] >> 20} MiB flagged")
        check(8 * MIB <= big[1] < 9 * MIB, f"{big[1] >> 20} MiB not flagged")
        check(flagged(pid, lambda region: region.name == "[stack]")[0] == 0, "the stack")
        return f"{told['advised_bytes'] >> 20} MiB advised"


@case
def undo():
    with holder("private") as child:
        adopt(child.pid)
        check(flagged(child.pid, private)[0] >= FILL_MIB * MIB, "not flagged")
        check(adopt("--undo", child.pid)["undo"], "undo")
        check(flagged(child.pid, private)[0] == 0, "still flagged")
        verify(child)


@case
def dry_run():
    with holder("private", 16) as child:
        told = adopt("--dry-run", child.pid)
        check(told["total"]["advised_bytes"] >= 16 * MIB - pages.GRANULE, told["total"])
        check(flagged(child.pid, private)[0] == 0, "something was done")


@case
def text():
    with holder("heap", 16) as child:
        out, err = pg64("adopt", child.pid)
        check(not err and "adopted" in out and "hold" in out, out + err)
        return "\n" + out


@case
def switched_off():
    with holder("private", 16) as child:
        write(SYSCTL, "0")
        try:
            out, err = pg64("adopt", child.pid, status=3)
            check(not out and "sudo sysctl vm.pagesize_64k=1" in err, out + err)
            check(len(err.splitlines()) == 1, err)
            pg64("adopt", "--undo", child.pid)
            out = subprocess.run([TOOL, "doctor", "--json"], env=pg64test.clean_environment(),
                                 stdout=subprocess.PIPE, check=False, timeout=100).stdout
            found = {one["name"]: one for one in json.loads(out)["findings"]}
            check(found["pagesize_64k"]["mend"] == "sudo sysctl vm.pagesize_64k=1",
                  found["pagesize_64k"])
        finally:
            write(SYSCTL, "1")
        verify(child)


@case
def doctor():
    out, _ = pg64("doctor", "--json")
    data = json.loads(out)
    found = {one["name"]: one for one in data["findings"]}
    check(data["backend"] == dict.fromkeys(pg64test.KINDS, "patched"), data["backend"])
    for name in ("pagesize_64k", "pagesize_64k_cow"):
        check(found[name]["status"] == "ok" and found[name]["text"].startswith("1"), found[name])
    return found["pagesize_64k"]["text"]


@case
def large_pages_disabled():
    with python("import ctypes; ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)") as pid:
        _, err = pg64("adopt", pid, status=1)
        check("PR_SET_THP_DISABLE" in err and len(err.splitlines()) == 1, err)


@case
def family_that_changes():
    """Children that come and go while they are adopted are no error, and end up with the flag."""
    code = ("import os, time\nparent, x = os.getpid(), bytearray(16 << 20)\n"
            "if not os.fork():\n"
            "    while os.getppid() == parent:\n"
            "        if not os.fork(): time.sleep(0.02); os._exit(0)\n"
            "        os.wait()\n"
            "    os._exit(0)")
    with python(code) as pid:
        ended = 0
        for _ in range(5):
            states = [one["state"] for one in adopt("--all", pid, changing=True)["processes"]]
            check(len(states) >= 2 and set(states) <= {"adopted", "ended"}, states)
            ended += states.count("ended")
        for one in (pid, *pages.children(pid)):
            check(flagged(one, private)[0] >= 16 * MIB - pages.GRANULE, f"{one} is not flagged")
        return f"{ended} ended meanwhile"


@case
def without_privilege():
    """One's own process and another's."""
    with holder("private", 16) as child, tempfile.TemporaryDirectory(prefix="pg64-") as folder:
        os.chmod(folder, 0o755)
        build = os.path.join(folder, "build")
        for name, path in (("tools", TOOL), ("preload", os.environ["PG64_LIBRARY"])):
            os.makedirs(os.path.join(build, name))
            tool = for_anybody(os.path.join(build, name), path)[0]
            if name == "tools":
                public = tool
        os.chmod(build, 0o755)
        for pid in (child.pid, os.getpid()):
            said = subprocess.run([*NOBODY, public, "adopt", str(pid)], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  env=pg64test.clean_environment(), check=False, timeout=100)
            check(said.returncode == 1, f"{pid}: {said}")
            check(f"sudo pg64 adopt {pid}" in said.stderr, said.stderr)
            check(len(said.stderr.splitlines()) == 1, said.stderr)
        check(flagged(child.pid, private)[0] == 0, "something was done")


QUERY = "SELECT count(*), sum(i), md5(string_agg(x, '' ORDER BY i)) FROM t WHERE i % 7 = 0;"


def exclusive(pid):
    """Coverage of private memory, and of it that no other process has, in whole granules.

    What a backend has from the postmaster by fork is not repaired: it would cost memory. The
    process's own memory is what pagemap says to be mapped once (bit 56)."""
    own = pages.Coverage()
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        for region in pages.regions(pid):
            if not region.private_anonymous:
                continue
            first = -(-region.start // pages.GRANULE) * pages.GRANULE
            for low in range(first, region.end - pages.GRANULE + 1, pages.GRANULE):
                pagemap.seek(low // pages.PAGE * 8)
                entries = pages.array("Q", pagemap.read(8 * pages.PER_GRANULE))
                mine = [entry for entry in entries if entry & pages.PRESENT]
                if mine and all(entry & 1 << 56 for entry in mine):
                    own += pages.coverage(pid, [(low, low + pages.GRANULE)])
    return own


def check_postgres(cluster, session, idle):
    """Adopt the server as it runs and look at every process of it."""
    def buffers(pid):
        region = cluster.shared_region(pid)
        return pages.coverage(pid, [(region.start, region.end)])
    before = (buffers(session.pid), covered(session.pid, private))
    check(max(one.ratio for one in before) < 0.01, f"before: {before[0]}, {before[1]}")
    check(before[0].resident > 56 * MIB, f"{before[0].resident >> 20} MiB shared are resident")
    answer = idle.ask(QUERY)
    data = adopt("--all", cluster.server.pid)
    told = {one["pid"]: one for one in data["processes"]}
    check(set(cluster.processes()) <= set(told), f"{cluster.processes()} but {list(told)}")
    refused = [one for one in data["processes"] if one["state"] != "adopted" or one["refused"]]
    check(not refused, refused)
    after = buffers(session.pid)
    check(after.resident > 56 * MIB, f"{after.resident >> 20} MiB shared after")
    check(after.ratio >= MIN_COVERAGE, f"shared buffers: {after}")
    sort, own = covered(session.pid, private), pages.Coverage()
    check(sort.ratio >= MIN_COVERAGE, f"the backend that sorts: {sort}")
    for pid in cluster.processes():
        own += exclusive(pid)
    check(own.ratio >= MIN_COVERAGE, f"what processes have for themselves: {own}")
    check(idle.ask(QUERY) == answer, "another answer")
    check(session.ask("FETCH 1 FROM c;"), "the cursor is gone")
    check(buffers(idle.pid).ratio >= MIN_COVERAGE, f"a second backend: {buffers(idle.pid)}")
    return (f"shared buffers {after} of {after.resident >> 20} MiB, a sort {sort} of "
            f"{sort.resident >> 20} MiB, {len(told)} processes {own} of their own")


@case
def postgres():
    """One command for a server that was started without libpg64."""
    from postgres import Cluster, find_bindir  # pylint: disable=import-outside-toplevel
    from demo import Session  # pylint: disable=import-outside-toplevel
    check(find_bindir(), "no PostgreSQL server is installed: scripts/setup demo")
    with tempfile.TemporaryDirectory(prefix="pg64-") as folder:
        os.chmod(folder, 0o755)
        cluster = Cluster(folder)
        cluster.init({"shared_buffers": "64MB", "fsync": "off", "autovacuum": "off", "jit": "off",
                      "max_wal_size": "1GB"})
        check(places_shared_memory(), "shared memory is not placed so that its granules fit")
        cluster.start()
        try:
            cluster.psql("CREATE TABLE t AS SELECT i, repeat('x', 500) AS x FROM "
                         "generate_series(1, 140000) i; CREATE EXTENSION pg_prewarm; "
                         "SELECT pg_prewarm('t');")
            session, idle = Session(cluster, 256), Session(cluster, 4)
            session.ask("SELECT pg_prewarm('t'); BEGIN; DECLARE c CURSOR FOR SELECT * FROM t "
                        "ORDER BY x, i; FETCH 1 FROM c;")
            said = check_postgres(cluster, session, idle)
            new = Session(cluster, 4)
            new.ask(QUERY)
            with_flag, without = flagged(new.pid, lambda region: region.shared_anonymous
                                         and region.size > 8 * MIB)
            check(with_flag and not without, f"a new connection: {without >> 20} MiB not flagged")
            for one in (session, idle, new):
                one.close()
            return said
        finally:
            cluster.stop()


if __name__ == "__main__":
    if os.environ.get("KERNEL_GUEST"):
        knobs_to_never()
    main_in_guest(__file__, options=["--memory", "3G"], timeout=900)
