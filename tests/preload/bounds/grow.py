#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Large blocks that realloc() makes grow by small steps: how many bytes are copied for it, and that
they are the right ones (lib/heap/grow.h). None of the bounds is
met by copying each time that a block does not fit.
"""
import os

from bounds import MIB
from preload import case, check, main, pg64test, program, run

TO, STEP = 32 * MIB, 65536
ALONE = 2  # times the size that is reached: some that had to move before a free stretch was found
BESIDE = 5  # with others that grow into the same room
ALWAYS = 9  # that has to move each time: an eighth more makes a geometric series


def grow(*mode, to=TO, step=STEP, count=1, backend="base", **options):
    values = run(program("grow"), str(to), str(step), str(count), *mode, backend=backend,
                 **options).good().values()
    return values["moved_bytes"] / (to // step * step * count), values


def bounded(bound, *mode, **options):
    times, values = grow(*mode, **options)
    check(times <= bound, f"{mode} {options}: copied {times:.1f} times: {values}")
    return f"{times:.2f}"


@case
def alone():
    return ", ".join(bounded(ALONE, to=to, step=step)
                     for to in (MIB, 8 * MIB, TO, 96 * MIB) for step in (STEP, 40000))


@case
def beside_others():
    return ", ".join((bounded(BESIDE, count=2), bounded(BESIDE, count=4),
                      bounded(BESIDE, "heap", count=2)))


@case
def of_another_thread():
    """Its page is not to be made larger: each step beyond what it has to spare copies."""
    return bounded(ALWAYS, "thread")


@case
def backends():
    """What is copied does not depend on who maps the pages; contents are verified."""
    return ", ".join(bounded(BESIDE, "heap", count=2, backend=backend, heap_min=0, collapse_min=0)
                     for backend in ("auto", "collapse", "base"))


@case
def shrinking_and_sparse():
    times, values = grow("shrink", count=2)
    # Each time that less than half is left.
    check(times <= BESIDE + 2, f"shrink: copied {times:.1f} times: {values}")
    return f"{times:.2f}, " + bounded(BESIDE, "sparse", to=256 * MIB, step=MIB, count=2)


@case
def what_nobody_touches():
    """Of a sparse block, also where memory is filled at once: a dense one before it decides."""
    said = []
    for backend in ("base", "collapse"):
        _, values = grow("sparse", to=160 * MIB, step=MIB, backend=backend, heap_min=0,
                         collapse_min=0)
        check(values["rss_grown"] < 48 * MIB, f"{backend}: {values}")
        said.append(f"{values['rss_grown'] / MIB:.1f} MiB")
    _, dense = grow(to=160 * MIB, step=MIB, backend="collapse", heap_min=0, collapse_min=0)
    pages = (160 * MIB + dense["moved_bytes"]) // 4096
    check(dense["faults"] < 0.7 * pages, f"{dense}, {pages} pages: on base pages")
    return ", ".join(said) + f"; dense: {dense['faults']} faults"


@case
def what_is_to_spare():
    """It is not read when the block moves again: that would map it, and count it to its size."""
    _, values = grow("double", to=128 * MIB, step=MIB, count=2)
    pages = (2 * 128 * MIB + values["moved_bytes"]) // 4096
    check(values["moves"] > 6, f"{values}: it seldom moved")
    check(values["faults"] < 1.025 * pages, f"{values}, {pages} pages")
    return f"{values['faults']} of {pages}"


@case
def limits():
    """Where memory is counted nothing is taken in reserve, and what is there is used. Blocks of
    other threads grow into nothing else."""
    said = []
    for limit in (None, f"--data={400 * MIB}", f"--as={600 * MIB}"):
        first = ["prlimit", limit] if limit else []
        times, values = grow("heap", count=2, first=first)
        check(times <= ALWAYS, f"{limit}: {values}")
        others, _ = grow("thread", first=first)
        check((others <= ALWAYS) == (limit is None), f"{limit}: copied {others:.1f} times")
        said.append(f"{times:.2f}, {others:.1f}")
    return ", ".join(said)


if __name__ == "__main__":
    if os.environ.get("PG64_MIMALLOC") == "system":
        pg64test.skip("an installed libmimalloc grows blocks its own way")
    main()
