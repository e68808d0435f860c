#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Misuse of malloc: what is detected ends in one line and SIGABRT, foreign ones are left alone."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from preload import case, check, main, program, run  # noqa: E402


def ends(what, name, *args, **options):
    """The program is ended, with this one line and nothing else."""
    said = run(program(name), *args, **options).good(-signal.SIGABRT)
    lines = said.out.splitlines()
    check(len(lines) == 1, f"{name} {args} went on: {said.out!r}")
    check(said.err == f"pg64: {what}: free({lines[0]}); the program is ended, as the C library "
          "would\n", f"{name} {args}: {said.err!r}")


def goes_on(name, *args, foreign, **options):
    """The program goes on to its end, says nothing, and the foreign pointers were counted."""
    said = run(program(name), *args, stats=True, **options).good()
    check(said.out.splitlines()[-1] == "went on", said.out)
    check(said.err == "", f"{name} {args}: {said.err}")
    check(said.counter("foreign_free") == foreign, f"foreign_free {said.counter('foreign_free')}")
    check(said.counter("double_free") == 0, "counted as double free")
    return said


@case
def double_free():
    """At once; blocks of all classes, those with a page of their own too."""
    for size in (0, 8, 100, 1000, 5000, 40000, 100000, 1000000, 8000000):
        ends("double free detected", "double_free", str(size))
    for backend in ("mthp", "collapse", "base"):
        ends("double free detected", "double_free", "100", backend=backend)
    ends("double free detected", "double_free", "1000000", purge_delay_ms=0)


@case
def double_free_of_a_segment():
    """A block of more than a segment is nobody's once it is freed: foreign."""
    goes_on("double_free", str(40 << 20), foreign=1)


@case
def misaligned():
    ends("free of a pointer that malloc cannot have returned", "misaligned")


@case
def foreign():
    for kind in ("static", "stack", "mmap", "glibc", "break"):
        goes_on("foreign", kind, foreign=3)
    said = run(program("foreign"), "static", verbose=2).good()
    check(said.err.count(": not a block of pg64's heap, left alone\n") == 3, said.err)


@case
def deepbind():
    """A library opened with RTLD_DEEPBIND has the C library's malloc."""
    goes_on("deepbind", program("lib_deepbind.so"), foreign=100)


if __name__ == "__main__":
    main()
