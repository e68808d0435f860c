#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ways in which the library comes into a process, and whom it finds there."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from preload import LIBRARY, Skip, case, check, main, need, program, run  # noqa: E402

SANITIZERS = {"asan": "libasan.so", "tsan": "libtsan.so", "lsan": "liblsan.so"}
OUT_OF_ORDER = {"ASAN_OPTIONS": "verify_asan_link_order=0"}


def steps_aside(said, why):
    check(f"pg64: steps aside: {why}\n" in said.err, f"does not step aside:\n{said.err}")


def runtime(name):
    """The run-time of a sanitizer, as the loader finds it."""
    need("gcc", "ldd")
    said = subprocess.run(["ldd", program(f"tidy_{name}", optional=True)], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    for line in said.splitlines():
        words = line.split()
        if words[0].startswith(SANITIZERS[name]):
            return words[2]
    raise Skip(f"{SANITIZERS[name]} is not a shared library here")


@case
def opened_at_run_time():
    """Static TLS is not used up, threads go on, malloc stays whose it was."""
    for arguments in ((), (program("lib_deepbind.so"),)):
        said = run(program("dlopens"), LIBRARY, *arguments, preload=False).good()
        check(said.out == "opened\n" and said.err == "", said.err)


@case
def opened_and_preloaded():
    said = run(program("dlopens"), LIBRARY, program("lib_deepbind.so"), stats=True).good()
    check(said.out == "opened\n" and said.err == "", said.err)
    check(len(said.stats) == 1, "two copies of the library")
    check(said.counter("foreign_free") == 0, "blocks of two heaps")


@case
def with_another_preload():
    other = program("lib_wrapper.so")
    for order, wrapped in ((f"{other} {LIBRARY}", 1), (f"{LIBRARY} {other}", 0)):
        said = run(program("wrapped"), preload=order).good().values()
        check(said == {"wrapped": wrapped, "active": 1, "foreign_free": 0}, f"{order}: {said}")
    said = run(program("wrapped"), preload=f"{other} {LIBRARY}", enable=0).good().values()
    check(said == {"wrapped": 1, "active": 0, "foreign_free": 0}, f"{said}")


@case
def twice():
    said = run(program("wrapped"), preload=f"{LIBRARY} {LIBRARY}", stats=True).good()
    check(said.values()["active"] == 1 and len(said.stats) == 1, said.out)


@case
def linked():
    for preload in (False, True):
        said = run(program("linked"), preload=preload).good()
        check(said.values() == {"wrapped": 0, "active": 1, "foreign_free": 0}, said.out)
        check(said.err == "", said.err)
    said = run(program("linked"), preload=program("lib_wrapper.so")).good().values()
    check(said == {"wrapped": 1, "active": 1, "foreign_free": 0}, f"{said}")
    if os.path.exists(os.path.join(os.environ["PG64_PROGRAMS"], "secure")):
        for preload in (False, True):
            said = run(program("secure"), preload=preload).good().values()
            check(said["active"] == 1, f"libpg64.a: {said}")


@case
def valgrind():
    need("valgrind")
    words = ("valgrind", "-q", "--error-exitcode=9", "--leak-check=full",
             "--errors-for-leak-kinds=all", "--show-leak-kinds=all", program("tidy"))
    try:
        run(*words, preload=False).good()
    except Exception:  # pylint: disable=broad-except
        raise Skip("valgrind does not run here") from None
    said = run(*words, timeout=60).good()
    check(said.out == "done\n" and said.err == "", said.err)
    steps_aside(run(*words, timeout=60, verbose=1), "valgrind replaces malloc")
    said = run(*words, timeout=60, stats=True).good()
    check(said.err == "", f"valgrind finds fault with the statistics:\n{said.err}")
    said = run(*words, "x", timeout=60).good(9)
    check("Invalid read of size 1" in said.err, "memcheck sees nothing")


@case
def malloc_debug():
    """glibc's checker, before and behind the library, checks as it does alone."""
    need("gcc")
    checker = subprocess.run(["gcc", "-print-file-name=libc_malloc_debug.so.0"], check=True,
                             stdout=subprocess.PIPE, text=True).stdout.strip()
    if not os.path.exists(checker):
        raise Skip("there is no libc_malloc_debug.so.0")
    env = {"MALLOC_CHECK_": "3"}
    for order in (f"{checker} {LIBRARY}", f"{LIBRARY} {checker}"):
        said = run(program("wrapped"), preload=order, env=env, verbose=1).good()
        steps_aside(said, "libc_malloc_debug.so checks malloc")
        check(said.values() == {"wrapped": 0, "active": 0, "foreign_free": 0}, said.out)
        said = run(program("double_free"), "100", preload=order, env=env)
        check(said.status == -6 and "pg64" not in said.err, f"{said.status} {said.err}")


def sanitized(name, preload, env):
    words = program(f"tidy_{name}")
    said = run(words, preload=preload, env=env).good()
    check(said.out == "done\n" and said.err == "", f"{preload}: {said.err}")
    said = run(words, preload=preload, env=env, verbose=1).good()
    steps_aside(said, "a sanitizer is in the process")


@case
def sanitizer_first():
    for name in SANITIZERS:
        sanitized(name, f"{runtime(name)} {LIBRARY}", {})
    said = run(program("tidy_asan"), "x", preload=f"{runtime('asan')} {LIBRARY}")
    check(said.status == 1 and "heap-buffer-overflow" in said.err, said.err)


@case
def sanitizer_second():
    """Calls come to pg64 first then, and go to the sanitizer's malloc: it misses nothing."""
    for name in SANITIZERS:
        runtime(name)
        sanitized(name, LIBRARY, OUT_OF_ORDER)
    said = run(program("tidy_asan"), "x", env=OUT_OF_ORDER)
    check(said.status == 1 and "heap-buffer-overflow" in said.err, f"{said.status} {said.err}")


@case
def sanitizer_in_a_plain_program():
    """It ends; a start-up that waits for itself does not."""
    for name in ("asan", "lsan"):
        path = runtime(name)
        for order in (f"{path} {LIBRARY}", f"{LIBRARY} {path}"):
            said = run("/bin/true", preload=order, env=OUT_OF_ORDER).good()
            check(said.err == "", said.err)


if __name__ == "__main__":
    main()
