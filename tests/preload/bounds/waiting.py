#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Freed memory of a thread that goes on: it goes back in time, also beside pages that come and go,
and not while it is used again (lib/heap/waiting.h). The purge delay is the default, 25 ms.
"""
import os

from bounds import MIB
from preload import case, check, main, pg64test, program, run

TOTAL = 64 * MIB
LEFT = 16 * MIB  # one block in 64 that stays, pages of 64 KiB around it, and a process
BLOCKS = (100, 4096, 16384)


def goes_on(how, block, milliseconds, backend="base", total=TOTAL, **options):
    ran = run(program("waiting"), str(block), str(total), str(milliseconds), how, backend=backend,
              **options)
    return ran.good().values()


def returned(how, milliseconds):
    said = []
    for backend in ("base", "mthp"):
        for block in BLOCKS:
            values = goes_on(how, block, milliseconds, backend)
            check(values["rss_freed"] > TOTAL / 2, f"{block} B: nothing had to wait: {values}")
            check(values["rss"] < LEFT, f"{backend}, {block} B: {values}")
            said.append(f"{values['rss'] / MIB:.1f}")
    return ", ".join(said) + f" MiB of {TOTAL // MIB}"


@case
def goes_back_while_little_happens():
    return returned("small", 1500)


@case
def goes_back_beside_pages_in_use():
    return returned("churn", 2500)


@case
def stays_while_it_is_used_again():
    """Twice is for a machine that stands still for half a second; else it is many times. Of small
    blocks mimalloc itself purges what it finds expired when it frees a page."""
    said = []
    for block in BLOCKS[1:]:
        values = goes_on("again", block, 4000)
        times = values["faults"] * 4096 / TOTAL
        check(times < 2, f"{block} B: faulted in {times:.1f} times: {values}")
        said.append(f"{times:.2f}")
    return "faulted in " + ", ".join(said) + " times"


@case
def goes_back_beside_pages_in_use_of_many_segments():
    values = goes_on("holes", 512 << 10, 5000, total=256 * MIB)
    check(values["segments"] >= 7, f"{values}")
    check(values["rss"] < values["rss_full"] / 4, f"{values}")
    return f"{values['rss'] / MIB:.1f} MiB of {values['segments']} segments"


@case
def in_small_portions():
    """No call has to wait until all of a large heap is given back: WAITING_BYTES and a segment."""
    values = goes_on("once", 4096, 2500, total=512 * MIB)
    once = values["rss_freed"] - values["rss_once"]
    check(values["rss_freed"] > 400 * MIB, f"nothing had to wait: {values}")
    check(0 < once <= 64 * MIB, f"{once / MIB:.1f} MiB at once: {values}")
    check(values["rss"] < 64 * MIB, f"{values}")
    return f"{once / MIB:.1f} MiB at once, {values['rss'] / MIB:.1f} MiB left"


@case
def a_clock_that_allocates():
    deepest = run(program("ownclock"), backend="base").good().values()["deepest"]
    check(1 <= deepest <= 3, f"nested {deepest} times")


@case
def not_before_its_time():
    values = goes_on("small", 4096, 1000, purge_delay_ms=60000)
    check(values["rss"] > TOTAL / 2, f"{values}")
    return f"{values['rss'] / MIB:.1f} MiB"


if __name__ == "__main__":
    if os.environ.get("PG64_MIMALLOC") == "system":
        pg64test.skip("an installed libmimalloc purges in its own way")
    main()
