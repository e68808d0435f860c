#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The malloc family behaves as glibc's: programs print the same with and without the library."""
from preload import case, check, main, program, run, same

BACKENDS = tuple({"backend": name} for name in ("mthp", "collapse", "base"))


@case
def edges():
    """Sizes of zero and beyond all bounds, overflows, alignments, errno, other names."""
    same(program("family"))


@case
def edges_aside():
    """The same when the C library's own malloc is called."""
    same(program("family"), variants=({"malloc": 0}, {"enable": 0}))


@case
def calloc_is_zero():
    same(program("zero"), "1", variants=BACKENDS)


@case
def calloc_is_zero_in_threads():
    same(program("zero"), "3", variants=({}, {"purge_delay_ms": 0}))


@case
def calloc_is_zero_on_large_pages():
    """Parts of PMD-size pages that nobody uses are kept for a while with what is in them."""
    small = {"heap_min": 0, "collapse_min": 0, "pmd_min": 0, "purge_delay_ms": 0}
    same(program("zero"), "2", variants=[
        {**small, "backend": backend, "pmd": pmd} for backend in ("mthp", "collapse")
        for pmd in ("off", "auto")])


@case
def realloc_keeps():
    same(program("content"), variants=BACKENDS)


@case
def realloc_keeps_purged_at_once():
    same(program("content"), purge_delay_ms=0, heap_min=0, collapse_min=0)


@case
def threads():
    same(program("threads"), variants=BACKENDS)
    same(program("threads"), purge_delay_ms=0, heap_min=0)
    said = run(program("threads"), stats=True).good()
    check(said.counter("foreign_free") == 0, "blocks were taken for foreign ones")


@case
def c_library():
    same(program("libc_calls"))


@case
def cxx():
    same(program("newdelete", optional=True))


if __name__ == "__main__":
    main(at_once=2)
