#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The linkable interface, in programs linked with libpg64.so and with libpg64.a."""
from preload import Skip, case, check, knobs, main, program, run

PROGRAMS = ("api", "api-static")


def each(*words, **options):
    for name in PROGRAMS:
        said = run(program(name), *words, preload=False, **options).good()
        check(said.out == "done\n" and said.err == "", f"{name}: {said.out}{said.err}")


@case
def linked():
    each()


@case
def linked_and_preloaded():
    check(run(program("api")).good().out == "done\n", "not done")


@case
def on_base_pages():
    each(env={"PG64_BACKEND": "base"})


@case
def collapsed_from_the_start():
    each(env={"PG64_BACKEND": "collapse", "PG64_HEAP_MIN": "0", "PG64_COLLAPSE_MIN": "0",
              "PG64_PURGE_DELAY_MS": "0"})


@case
def beside_pages_of_2_mib():
    """Memory that the program advises gets fences, and stays one mapping to mremap()."""
    try:
        for preset in ("mthp", "mthp-pmd"):
            with knobs.Knobs(preset):
                each()
                each(env={"PG64_MMAP": "0"})
    except knobs.Unavailable as reason:
        raise Skip(str(reason)) from None


@case
def malloc_left_to_the_c_library():
    for name in ("PG64_MALLOC", "PG64_ENABLE"):
        each("without-malloc", env={name: "0"})


if __name__ == "__main__":
    main()
