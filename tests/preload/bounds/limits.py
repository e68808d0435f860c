#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Limits of the kernel: what works with the C library's heap works with ours, and where memory
ends there is an error, not a crash."""
import contextlib
import os
import re
import signal
import sys
import time

from bounds import GIB, MIB, with_knobs
from preload import Skip, case, check, main, need, need_root, program, run, side_by_side

BACKENDS = ("collapse", "mthp", "base")

# How much of a limit the heap can use at least. glibc comes to nearly all of it; ours takes
# address space by 32 MiB (one such piece is all that a limit of 64 MiB has room for).
SHARE = 0.4
SHARE_SMALL = 0.35
AGAIN = 0.9  # of what was to be had the first time, after it was freed

# Address space that counts for overcommit_memory=2, beyond that of glibc's heap: the accessible
# part of an arena doubles as it grows, by no more than 32 MiB, until a limit refuses.
COMMIT_MORE = 40 * MIB
# Resident memory of a process that locks all, beyond that of glibc's heap. The library with its
# tables; and where all that is accessible is resident: a new kind of block fills the rest of a
# 32 MiB segment before it takes space that was freed elsewhere.
LOCK_MORE = 40 * MIB
LOCK_FREED = 8 * MIB  # after everything was freed and malloc_trim()

MCL_CURRENT, MCL_FUTURE = 1, 2


def each_backend(function, backends=BACKENDS, at_once=2):
    """What function(backend) says of each, or of "glibc" if that is one of them, where 64 KiB
    pages can be had on request."""
    need_root()
    return with_knobs("mthp", lambda: "; ".join(
        filter(None, side_by_side(function, backends, at_once))))


def limited(kind, limit, *words, **options):
    need("prlimit")
    return run(program("limits"), *words, first=("prlimit", f"--{kind}={limit}"), **options).good()


def half(kind, limit, backends=BACKENDS):
    def one(heap):
        options = {"preload": False} if heap == "glibc" else {"backend": heap}
        limited(kind, limit, "fill", str(goal), **options)
        reached = limited(kind, limit, "exhaust", **options).values()
        least = min(size for name, size in reached.items() if name.startswith("first"))
        check(least >= goal, f"{heap}: {reached}: less than {share} of the limit")
        for name, size in reached.items():
            if name.startswith("first"):
                last = reached[name.replace("first", "last")]
                check(last >= size * AGAIN, f"{heap}: {name}: {size}, later only {last}")
        return f"{heap} at least {least / limit:.2f}"
    share = SHARE if limit >= 256 * MIB else SHARE_SMALL
    goal = int(limit * share)
    return "share of the limit: " + each_backend(one, ("glibc", *backends),
                                                 at_once=2 if limit <= GIB else 1)


@case
def address_space_64m():
    return half("as", 64 * MIB)


@case
def address_space_256m():
    return half("as", 256 * MIB)


@case
def address_space_1g():
    return half("as", GIB, BACKENDS[:2])


@case
def address_space_2g():
    return half("as", 2 * GIB, BACKENDS[:1])


@case
def data_64m():
    return half("data", 64 * MIB)


@case
def data_1g():
    return half("data", GIB, BACKENDS[:2])


@case
def limit_set_late():
    """By the program, when the heap has its first arena."""
    words = [("late", kind, str(limit)) for kind in ("as", "data")
             for limit in (128 * MIB, 512 * MIB)]
    side_by_side(lambda one: run(program("limits"), *one, preload=False).good(), words)
    each_backend(lambda backend: [run(program("limits"), *one, backend=backend).good()
                                  for one in words] and None)


def commit_room():
    with open("/proc/meminfo", encoding="ascii") as file:
        figures = dict(re.findall(r"^(\w+): +(\d+) kB", file.read(), re.M))
    return (int(figures["CommitLimit"]) - int(figures["Committed_AS"])) * 1024


@case
def overcommit_forbidden():
    """vm.overcommit_memory=2: what is reserved must not count, and no more than is in use."""
    need_root()
    if commit_room() < 4 * GIB:
        raise Skip("with vm.overcommit_memory=2 this machine would have no memory to give")
    plain, most = {}, {}

    def one(backend):
        ours = run(program("limits"), "commit", str(128 * MIB), backend=backend).good().values()
        for name, size in ours.items():
            most[backend] = max(most.get(backend, -GIB), size - plain[name])
            check(size <= plain[name] + COMMIT_MORE,
                  f"{backend}: {name}: {size}, with glibc's heap {plain[name]}")
        return f"{backend} {most[backend] / MIB:+.1f} MiB"
    def all_of_them():
        plain.update(run(program("limits"), "commit", str(128 * MIB), preload=False)
                     .good().values())
        return "committed, to glibc's: " + each_backend(one)
    return with_knobs({"overcommit_memory": "2"}, all_of_them, root="/proc/sys/vm",
                      lock="/run/lock/pg64-overcommit.lock")


def locked(flags, before):
    need_root()
    words = ("lock", str(flags), str(before), str(64 * MIB))
    plain = run(program("limits"), *words, preload=False).good().values()

    def one(backend):
        ours = run(program("limits"), *words, backend=backend).good().values()
        most = max(ours[name] - plain[name] for name in ours)
        freed = ours["rss_freed"] - plain["rss_freed"]
        for name, size in ours.items():
            more = LOCK_FREED if name == "rss_freed" else LOCK_MORE
            check(size <= plain[name] + more, f"{backend}: {name}: {size}, with glibc's heap "
                  f"{plain[name]}\n{ours}\n{plain}")
        return f"{backend} {most / MIB:+.1f} MiB, freed {freed / MIB:+.1f} MiB"
    return "resident, to glibc's: " + each_backend(one)


@case
def locked_from_now_on():
    """mlockall(MCL_FUTURE): what becomes accessible is resident at once."""
    return locked(MCL_FUTURE, 0)


@case
def locked_all():
    return locked(MCL_CURRENT | MCL_FUTURE, 0)


@case
def locked_late():
    """When the heap has 40 MiB already."""
    return locked(MCL_CURRENT | MCL_FUTURE, 40 * MIB)


@case
def small_stacks():
    run(program("stacks"), preload=False).good()

    def one(backend):
        for options in ({}, {"heap_min": 0, "collapse_min": 0}, {"purge_delay_ms": 0},
                        {"verbose": 2}):
            run(program("stacks"), backend=backend, **options).good()
        return f"{backend} {run(program('stacks'), 'depth', backend=backend).good().values()}"
    plain = run(program("stacks"), "depth", preload=False).good().values()
    return f"glibc {plain}, {each_backend(one)}"


def cgroup_root():
    """(folder of memory control groups, its name of the limit)."""
    for folder, name in (("/sys/fs/cgroup", "memory.max"),
                         ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
        try:
            with open(os.path.join(folder, "cgroup.controllers"), encoding="ascii") as file:
                usable = "memory" in file.read().split()
        except OSError:
            usable = os.path.exists(os.path.join(folder, "memory.limit_in_bytes"))
        if usable:
            return folder, name
    raise Skip("there is no memory controller of control groups here")


@contextlib.contextmanager
def cgroup(limit):
    """A control group with this limit; its folder."""
    root, name = cgroup_root()
    folder = os.path.join(root, f"pg64-test-{os.getpid()}")
    try:
        os.mkdir(folder)
    except OSError as error:
        raise Skip(f"no control group can be made in {root}: {error.strerror}") from None
    handlers = {number: signal.signal(number, lambda number, _: sys.exit(128 + number))
                for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        try:
            with open(os.path.join(folder, name), "w", encoding="ascii") as file:
                file.write(str(limit))
        except OSError as error:
            raise Skip(f"{name} cannot be set: {error.strerror}") from None
        yield folder
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for _ in range(100):
            try:
                os.rmdir(folder)
                break
            except OSError:  # what was killed is not gone yet
                time.sleep(0.05)


@case
def control_group():
    """A heap of 64 MiB where 96 MiB are allowed."""
    need_root()
    enter = ("sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"')

    def all_sizes(folder, **options):
        for block in (64, 4096, 65536, MIB):
            for threads in (1, 4):
                run(program("heapload"), str(block), str(64 * MIB), str(threads), "timed",
                    first=(*enter, folder), **options).good()

    with cgroup(96 * MIB) as folder:
        killed = run(program("heapload"), "4096", str(128 * MIB), "1", "timed", preload=False,
                     first=(*enter, folder))
        check(killed.status == -signal.SIGKILL, f"the limit is not kept: {killed.status}")
        all_sizes(folder, preload=False)
        each_backend(lambda backend: all_sizes(folder, backend=backend), at_once=1)


if __name__ == "__main__":
    main()
