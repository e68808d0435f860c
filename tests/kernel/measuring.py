# SPDX-License-Identifier: MIT
"""What measure.c and fragment.c tell of one kernel, measured in a guest. Prints one line of JSON:
for each part and each kind of memory that the kernel has, what the program said and by how much
the kernel's counters rose meanwhile. Judges nothing.

usage: measuring.py FOLDER_OF_PROGRAMS PART...

The kinds: `4k`; on the stock kernel `mthp`, 64 KiB folios by MADV_HUGEPAGE, that size alone
enabled; on the patched one `64k`, MADV_PAGESIZE_64K with every THP setting at `never`, and
`64k-cow0`, the same with vm.pagesize_64k_cow = 0.
"""
import contextlib
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pages  # noqa: E402

THP = "/sys/kernel/mm/transparent_hugepage"
COW = "/proc/sys/vm/pagesize_64k_cow"
CGROUPS = "/sys/fs/cgroup"
MIB = 1 << 20
SNAPSHOT_MIB, SNAPSHOT_PERMILLE, SEED = 512, 100, 1
KEEP_MIB = 40  # free when a machine is called full; above its watermarks
LIMIT_MIB, LIMIT_HALF_MIB, LIMIT_SPARSE_MIB = 96, 160, 512
SLACK_BYTES = MIB // 2  # what a charge may be off by: it is done in batches on each processor
PATCHED = os.path.exists(COW)
KINDS = ["4k", "64k"] if PATCHED else ["4k", "mthp"]
PARTS = {}
programs = None  # the folder


def part(function):
    PARTS[function.__name__] = function
    return function


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(str(text))


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def pairs(text):
    return {name: int(value) for name, value in re.findall(r"^(\w+) (\d+)$", text, flags=re.M)}


def settings(kind):
    for path in glob.glob(f"{THP}/**/*enabled", recursive=True):
        write(path, "never")
    write(f"{THP}/defrag", "madvise")  # the default, but for machines of less than 512 MiB
    if kind == "mthp":
        write(f"{THP}/hugepages-64kB/enabled", "madvise")
    if PATCHED:
        write(COW, int(kind != "64k-cow0"))


def counters():
    found = pairs(read("/proc/vmstat"))
    sums = {"allocstall": 0, "pgsteal_direct": 0, "pgsteal_kswapd": 0}
    for name, value in found.items():
        for start in sums:
            if name.startswith(start):
                sums[start] += value
    wanted = {name: value for name, value in found.items() if name.startswith("pgsz64_")
              or name in ("compact_stall", "compact_fail", "oom_kill")}
    stats = {f"mthp_{os.path.basename(path)}": int(read(path))
             for path in glob.glob(f"{THP}/hugepages-64kB/stats/*")}
    return {**wanted, **sums, **stats}


@contextlib.contextmanager
def cgroup(limit=None):
    path = os.path.join(CGROUPS, "measure")
    os.mkdir(path)
    if limit:
        write(f"{path}/memory.max", limit)
    try:
        yield path
    finally:
        os.rmdir(path)


def settle():
    """The same start for each: nothing cached, free memory in one piece."""
    write("/proc/sys/vm/drop_caches", 3)
    write("/proc/sys/vm/compact_memory", 1)


def reclaim(group):
    """What is stranded comes back when it is asked for."""
    with contextlib.suppress(OSError):  # EAGAIN: it was less
        write(f"{group}/memory.reclaim", "64M")


def measure(kind, *words, limit=None):
    """One run, in a cgroup of its own."""
    settings(kind)
    program = os.path.join(programs, "measure")
    command = [program, words[0], kind.split("-")[0], *map(str, words[1:])]
    with cgroup(limit) as group:
        before = counters()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              preexec_fn=lambda: write(f"{group}/cgroup.procs", 0)) as child:
            told, looks = {}, []
            for line in child.stdout:
                if line.startswith("range"):
                    looks.append(deltas(before))
                    reclaim(group)
                    child.stdin.write("\n")
                    child.stdin.flush()
                else:
                    told.update(pairs(line))
        told["status"] = child.returncode
        looks.append(deltas(before))
        told["counters"] = {**looks[0], "oom_kill": looks[-1]["oom_kill"]}
        told["peak"] = int(read(f"{group}/memory.peak"))
        told["events"] = pairs(read(f"{group}/memory.events"))
        if limit:
            told["limit"] = limit
    return told


def deltas(before):
    return {name: value - before[name] for name, value in counters().items()}


@contextlib.contextmanager
def fragmented(how):
    with subprocess.Popen([os.path.join(programs, "fragment"), how, str(KEEP_MIB)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        if child.stdout.readline() != "ready\n":
            raise RuntimeError(f"fragment {how} ended")
        try:
            yield
        finally:
            child.stdin.close()


def available_mib():
    return pages.available_bytes() // MIB


def touched_when(prepare):
    """Nearly all memory that is to be had, written page by page, for each kind. How much that is
    varies by some MiB from one preparation to the next.
    """
    found = {}
    for kind in KINDS:
        settle()
        with prepare():
            size = available_mib() - KEEP_MIB
            found[kind] = measure(kind, "touch", size, 1)
        found[kind]["granules"] = size * MIB // pages.GRANULE
    return found


@part
def snapshot():
    kinds = KINDS + (["64k-cow0"] if PATCHED else [])
    return {kind: measure(kind, "snapshot", SNAPSHOT_MIB, SNAPSHOT_PERMILLE, SEED)
            for kind in kinds}


@part
def pinned():
    """No free 64 KiB, and no way to make them."""
    return touched_when(lambda: fragmented("pinned"))


@part
def movable():
    """No free 64 KiB, but compaction could make them."""
    return touched_when(lambda: fragmented("movable"))


@part
def cached():
    """All memory is full of clean page cache, which must go page by page."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mkfs.ext4", "-q", "/dev/ram0"], check=True, stdin=subprocess.DEVNULL)
        subprocess.run(["mount", "/dev/ram0", folder], check=True)
        try:
            return touched_when(lambda: page_cache(os.path.join(folder, "hole")))
        finally:
            subprocess.run(["umount", folder], check=True)


@contextlib.contextmanager
def page_cache(path):
    """A file without blocks is read: the cache fills, and no disk is needed."""
    with open(path, "wb") as file:
        file.truncate(64 << 30)
    with open(path, "rb", buffering=0) as file:
        block = bytearray(MIB)
        while os.sysconf("SC_AVPHYS_PAGES") * pages.PAGE > KEEP_MIB * MIB:
            file.readinto(block)
        yield


def limited(size_mib, step):
    """In a cgroup whose limit just fits what 4 KiB pages take of it."""
    settle()
    limit = measure("4k", "touch", size_mib, step)["peak"] + SLACK_BYTES
    return {kind: measure(kind, "touch", size_mib, step, limit=limit) for kind in KINDS}


@part
def limit_dense():
    return limited(LIMIT_MIB, 1)


@part
def limit_half():
    """Every other page: too much of each granule is used for reclaim to take it to pieces."""
    return limited(LIMIT_HALF_MIB, 2)


@part
def limit_sparse():
    """One page of each granule: as granules it is sixteen times the limit."""
    return limited(LIMIT_SPARSE_MIB, 16)


@part
def half():
    """Every other page of more than the machine's memory, of which pages take about 0.7."""
    settle()
    size = available_mib() * 7 // 5
    return {kind: measure(kind, "touch", size, 2) for kind in KINDS}


@part
def sparse():
    """One page of each granule of twice the machine's memory."""
    settle()
    total = os.sysconf("SC_PHYS_PAGES") * pages.PAGE // MIB
    return {kind: measure(kind, "touch", 2 * total, 16) for kind in KINDS}


def decode(output):
    """What main() has printed: by part, by kind."""
    return json.loads(output.splitlines()[-1])


def main():
    global programs  # pylint: disable=global-statement
    programs = sys.argv[1]
    # The host gives a guest its memory at the first touch, once.
    pages.prime((available_mib() - KEEP_MIB) * MIB)
    results = {name: PARTS[name]() for name in sys.argv[2:]}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
