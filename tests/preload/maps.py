#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The mmap family: what a program sees is what the kernel gives it, and large mappings are on
64 KiB pages where that can be had: maps.py mthp|mthp-pmd|never"""
import sys
import tempfile

from preload import case, check, main_under, need, program, run, same

PRESETS = ("mthp", "mthp-pmd", "never")
PRESET = sys.argv[1] if len(sys.argv) > 1 else ""
HELPED = ("helped",) if PRESET.startswith("mthp") else ()


@case
def mappings():
    """Lengths, slack, flags, parts, re-mapping, populate, System V shared memory."""
    same(program("maps"), *HELPED)


@case
def remaps():
    """mremap() of mappings that were touched, fenced, advised, protected."""
    same(program("remaps"), *HELPED)


@case
def in_place():
    """Reservations that are committed or opened in parts, and address hints."""
    same(program("inplace"), *HELPED)


@case
def in_place_is_counted():
    said = run(program("inplace"), stats=True).good()
    for name in ("fixed_advised", "opened_advised"):
        check((said.counter(name) > 0) == bool(HELPED), f"{name} is {said.counter(name)}")
    if HELPED:
        check(said.counter("fail_advise") == 0, "advice failed")
    else:
        check(said.counter("mmap_advised_bytes") == 0, "something was advised")
        check(said.counter("skip_base") > 0, "skip_base is 0")


def lockings(calls, *words):
    """How often rt_sigprocmask() is called: twice each time that the table's lock is taken."""
    need("strace")
    with tempfile.NamedTemporaryFile("r") as log:
        run(program("inplace"), *words,
            first=("strace", "-e", f"trace=rt_sigprocmask,{calls[0]}", "-o", log.name)).good()
        said = log.read()
    check(said.count(f"{calls[0]}(") >= calls[1], "strace saw too little")
    return said.count("rt_sigprocmask(")


@case
def openings_are_cheap():
    """The table's lock once to open memory, and not to look."""
    count = lockings(("mprotect", 2000), "pages", "1000")
    check(count <= (2200 if HELPED else 200), f"{count} calls of rt_sigprocmask")
    return str(count)


@case
def mappings_are_cheap():
    """The table's lock once to map, and once to unmap."""
    said = []
    for length in (65536, 65536 + 4096):
        count = lockings(("munmap", 1000), "mappings", "1000", str(length))
        check(count <= (4200 if HELPED else 200), f"{length} B: {count} calls of rt_sigprocmask")
        said.append(str(count))
    return ", ".join(said)


@case
def probed_when_reserved():
    """Not when it is opened: a sandbox may have been set up by then."""
    backend = run(program("inplace"), "pages", "0", stats=True).good().stats[-1]["backend"]["anon"]
    check(backend == ("mthp" if HELPED else "base"), f"the backend is {backend}")


@case
def aside():
    for option in ("mmap", "enable"):
        same(program("maps"), **{option: 0})
        same(program("inplace"), **{option: 0})


@case
def bad_arguments():
    """The same errno as of the system call, for thousands of combinations."""
    run(program("parity")).good()


@case
def in_signal_handlers():
    same(program("signals"), "2000")


@case
def more_mappings_than_vmas():
    """Neighbours become one VMA; pg64 must not be why vm.max_map_count is reached."""
    for size in (65536, 69632, 2 << 20, 4259840):
        same(program("crowd"), "70000" if size < 1 << 20 else "5000", str(size))


@case
def counted():
    """Each reason for leaving a mapping alone has its counter, and they are counted."""
    said = run(program("maps"), stats=True).good()
    for name in ("skip_small", "skip_hint", "skip_file", "skip_flags", "skip_prot"):
        check(said.counter(name) > 0, f"{name} is 0")
    if HELPED:
        for name in ("mmap_advised", "mmap_advised_bytes", "shared_advised_bytes",
                     "fixed_readvised", "demote_munmap", "demote_mprotect", "demote_madvise"):
            check(said.counter(name) > 0, f"{name} is 0")
        check(said.counter("fail_advise") == 0, "advice failed")
        check((said.counter("fence_ok") > 0) == (PRESET == "mthp-pmd"), "fences are set in vain, "
              f"or not at all: {said.counter('fence_ok')}")
    else:
        check(said.counter("skip_base") > 0, "skip_base is 0")
        check(said.counter("mmap_advised") == 0, "something was advised")


@case
def remaps_are_counted():
    if HELPED:
        said = run(program("remaps"), stats=True).good()
        check(said.counter("mremap_realigned") > 0, "mremap_realigned is 0")
        check(said.counter("skip_user_advice") > 0, "skip_user_advice is 0")
        check(said.counter("skip_regions_full") > 0, "skip_regions_full is 0")


if __name__ == "__main__":
    main_under(PRESETS)
