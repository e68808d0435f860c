#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Threads that come and go: the next ones get the segments of those before, with what is in them,
within bounds and for a while (lib/heap/kept.h). Counted on base pages, where each page is a fault.
"""
import os

from bounds import MIB
from preload import case, check, main, pg64test, program, run

THREADS, BYTES, COUNT = 4, 6 * MIB, 12
ALL_FAULTS = THREADS * BYTES // 4096 * COUNT // 2  # of the second half, if nothing is kept
KEPT = 64 * MIB  # KEPT_BYTES
SMALL = 8 * MIB  # of a process that has nothing in use: as IDLE_RSS of heap.py
PATIENT = 1000  # a purge delay, milliseconds: what a busy machine does in it does not matter
HALF = {"threads": 2, "size": 28 * MIB, "count": 4, "stats": True}  # take most of the room


def generations(*words, threads=THREADS, size=BYTES, count=COUNT, delay=PATIENT, **options):
    return run(program("generations"), str(threads), str(size), str(count), *map(str, words),
               backend="base", purge_delay_ms=delay, **options).good()


def stats(ran):
    return ran.counter("heap_segments_kept"), ran.counter("heap_segments_reused")


@case
def memory_is_used_again():
    ran = generations(stats=True)
    faults, (kept, reused) = ran.values()["faults"], stats(ran)
    check(faults < ALL_FAULTS / 10, f"{faults} faults, of {ALL_FAULTS} without anything kept")
    check(reused >= THREADS * (COUNT - 4) and kept >= reused, f"{kept} kept, {reused} reused")
    return f"{faults} faults of {ALL_FAULTS}; {kept} kept, {reused} used again"


@case
def nothing_is_kept():
    """With no delay; where a limit counts what is accessible, or address space; in a first
    generation, after which none may come."""
    said = []
    for name, ran in {
            "no delay": generations(stats=True, delay=0),
            "RLIMIT_DATA": generations(stats=True, first=["prlimit", f"--data={8192 * MIB}"]),
            "RLIMIT_AS": generations(stats=True, first=["prlimit", f"--as={65536 * MIB}"]),
            "one generation": generations(stats=True, count=1)}.items():
        kept, reused = stats(ran)
        check(kept == 0 and reused == 0, f"{name}: {kept} kept, {reused} reused")
        idle = ran.values()["rss_idle"]
        check(idle < SMALL, f"{name}: {idle / MIB:.1f} MiB stay")
        said.append(f"{name} {idle / MIB:.1f} MiB")
    return ", ".join(said)


@case
def bound():
    """Each generation needs three times as much as may be kept."""
    ran = generations(threads=8, size=24 * MIB, count=8, stats=True)
    idle = ran.values()["rss_idle"]
    check(stats(ran)[0] > 0, "nothing was kept")
    check(KEPT / 4 < idle < KEPT + SMALL, f"{idle / MIB:.1f} MiB stay")
    return f"{idle / MIB:.1f} MiB stay"


@case
def goes_back_in_time():
    """20 purge delays later, when something is allocated; not while the process is idle."""
    values = generations(2200, delay=100).values()
    check(values["rss_waited"] > THREADS * BYTES / 2, f"nothing was kept: {values}")
    check(values["rss_allocated"] < SMALL, f"{values}")
    return f"{values['rss_waited'] / MIB:.1f} MiB, then {values['rss_allocated'] / MIB:.1f}"


@case
def goes_back_from_who_needs_little():
    """Of a segment that a thread took, but for what it uses."""
    ran = generations("small", delay=100, stats=True)
    _, reused = stats(ran)
    small = ran.values()["rss_small"]
    # The last generation's memory but for one segment, as the main thread needs none.
    check(small < THREADS * BYTES / 2, f"{small / MIB:.1f} MiB stay, {ran.values()}")
    check(reused > THREADS, f"nothing was kept: {reused} reused")
    return f"{small / MIB:.1f} MiB"


@case
def bound_for_who_goes_idle():
    """Threads that took a segment each, need little of it and never allocate again."""
    ran = generations("idle", **HALF)
    idle = ran.values()["rss_idle"]
    check(stats(ran)[1] > 0, "nothing was used again")
    check(idle < KEPT + SMALL, f"{idle / MIB:.1f} MiB stay")
    return f"{idle / MIB:.1f} MiB"


@case
def goes_back_from_who_leaves():
    """A thread took a segment, and ends with a block in it that is not freed."""
    ran = generations("leave", delay=100, **HALF)
    left = ran.values()["rss_leave"]
    check(stats(ran)[1] > 2, "nothing was used again")
    check(left < SMALL, f"{left / MIB:.1f} MiB stay")


@case
def goes_back_from_who_takes_two():
    ran = generations("two", delay=100, **HALF)
    used = 33 * MIB
    check(used <= ran.values()["rss_two"] < used + SMALL, f"{ran.values()}")
    check(stats(ran)[1] > 2, "nothing was used again")


@case
def nothing_is_kept_when_no_threads_come():
    """There was room for what is in use now, but that was long ago."""
    ran = generations("late", delay=100, **HALF)
    check(stats(ran)[1] > 0, "nothing was used again")
    # In use, and what is free in a segment that has other blocks: that waits for its purge.
    in_use = HALF["threads"] * HALF["size"] + 32 * MIB
    late = ran.values()["rss_late"]
    check(late < in_use + SMALL, f"{late / MIB:.1f} MiB stay")
    return f"{late / MIB:.1f} MiB"


@case
def goes_back_by_malloc_trim():
    """Whoever calls it; and there is no room for what is in use then and is freed later."""
    values = generations("trim").values()
    check(values["rss_idle"] > THREADS * BYTES / 2, f"nothing was kept: {values}")
    check(values["rss_trim"] < SMALL, f"{values}")
    check(values["rss_trimmed_full"] < SMALL, f"{values}")


@case
def goes_back_for_want_of_room():
    """With no address space left, large blocks get that of what is kept: a segment each."""
    ran = generations("blocks", stats=True)
    check(stats(ran)[0] > 0, "nothing was kept")
    blocks = ran.values()["blocks"]
    check(blocks >= THREADS // 2, f"{blocks} blocks, and {THREADS} segments were kept")
    return f"{blocks} blocks"


@case
def children_have_threads():
    """Of forks while threads come and go, and segments are kept."""
    ran = generations("fork", count=4, stats=True)
    check(ran.values()["child"] == 0, f"{ran.values()}")
    check(all(write["counters"]["heap_segments_reused"] > THREADS for write in ran.stats),
          "nothing was used again")


if __name__ == "__main__":
    if os.environ.get("PG64_MIMALLOC") == "system":
        pg64test.skip("an installed libmimalloc keeps segments its own way")
    main()
