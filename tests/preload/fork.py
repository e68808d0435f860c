#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Processes: fork in all its forms, from programs with threads. A deadlock is a time-out."""
import os

from preload import LIBRARY, Skip, case, check, main, program, run, same

BACKENDS = tuple({"backend": name} for name in ("mthp", "collapse", "base"))


@case
def from_main():
    """8 threads allocate; the children allocate, free, start a thread and fork again."""
    same(program("forks"), "main", "25", variants=BACKENDS)


@case
def from_two_threads():
    same(program("forks"), "thread", "20", variants=BACKENDS[1:])


@case
def while_threads_end():
    same(program("forks"), "exiting", "40", variants=BACKENDS[1:])


def needs_pinned_engine():
    if os.environ.get("PG64_MIMALLOC") == "system":
        raise Skip("an installed libmimalloc does not know that a fork leaves threads behind")


@case
def thread_at_its_end():
    """The fork finds a thread in the middle of giving up its heap; a new thread of the child has
    its stack, and frees what it left."""
    needs_pinned_engine()
    wanted, forks = "4", "300"  # half of 8 on an idle machine, any part on a busy one
    run(program("fork_ending"), wanted, "8", preload=False).good()
    for options in BACKENDS[1:]:
        said = run(program("fork_ending"), wanted, forks, purge_delay_ms=1, **options).good()
        check(said.out == f"met {wanted}\n", f"{options}: {forks} forks {said.out}")


@case
def thread_in_a_destructor():
    """The same of a thread that has not come to its heap: a new thread must not end that heap."""
    needs_pinned_engine()
    for options in BACKENDS[1:]:
        run(program("fork_ending"), "key", **options).good()


@case
def purged_at_once():
    same(program("forks"), "main", "20", purge_delay_ms=0, heap_min=0, collapse_min=0)


@case
def spawn():
    """vfork + exec, posix_spawn."""
    same(program("forks"), "spawn", "60")


@case
def without_handlers():
    """_Fork() and clone()."""
    same(program("forks"), "raw", "40", variants=BACKENDS[1:])


@case
def daemonised():
    same(program("forks"), "daemon")


@case
def aside():
    same(program("forks"), "main", "10", variants=({"enable": 0}, {"malloc": 0}))


@case
def handlers_of_others():
    """Fork handlers that allocate, of libraries that start before and after ours."""
    other = program("lib_atfork.so")
    for order in (f"{other} {LIBRARY}", f"{LIBRARY} {other}"):
        run(program("forks"), "daemon", preload=order).good()
        run(program("forks"), "main", "5", preload=order).good()


@case
def counted():
    said = run(program("forks"), "daemon", stats=True).good()
    check(any(process["forked"] and process["counters"]["forks"] >= 1 for process in said.stats)
          or said.counter("forks") == 0, "forks are not counted")


if __name__ == "__main__":
    main()
