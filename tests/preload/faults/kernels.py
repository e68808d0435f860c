#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Kernels and sandboxes that refuse, and configurations that make no sense: the program lives, says
what it says without the library, and what happened is counted and shown.

A seccomp filter that kills the process at MADV_HUGEPAGE cannot be survived, and is not tested.
"""
import os
import shutil
import stat
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from preload import (LIBRARY, NOBODY, Skip, case, check, for_anybody, main, need,  # noqa: E402
                     need_root, program, run)
import knobs  # noqa: E402
import pg64test  # noqa: E402

ERRORS = {"EPERM": 1, "EINVAL": 22, "ENOSYS": 38}
HUGEPAGE, COLLAPSE, DONTNEED = "madvise=14", "madvise=25", "madvise=4"
NOTHING = ("unshare", "--mount", "sh", "-c",
           'mount -t tmpfs none /proc && mount -t tmpfs none /sys && exec "$@"', "sh")


def heavy(first=(), **options):
    """Run the heap-bound program; its output must be what it is without the library and freely."""
    plain = run(program("heavy"), preload=False).good()
    ours = run(program("heavy"), stats=True, first=first, **options).good()
    check(ours.out == plain.out, f"output differs: {ours.out}")
    check(ours.err == "", f"standard error: {ours.err}")
    check(len(ours.stats) == 1, "no statistics")
    check(ours.counter("double_free") == 0 and ours.counter("foreign_free") == 0, "lost a block")
    return ours


def with_knobs(settings, function):
    """Call `function` under these THP settings."""
    try:
        with knobs.Knobs(settings):
            return function()
    except knobs.Unavailable as reason:
        raise Skip(str(reason)) from None


def refused(error, *rules, **options):
    return heavy(first=(program("refuse"), error, *rules, "--"), **options)


def check_base(said, kind, reason):
    stats = said.stats[-1]
    check(stats["backend"][kind] == "base", f"{kind}: {stats['backend'][kind]}")
    check(reason in stats["reason"][kind], f"{kind}: {stats['reason'][kind]!r}, not {reason!r}")


def check_counted(said, **wanted):
    """Counters, and 1 stands for any number but 0."""
    for name, value in wanted.items():
        got = said.counter(name)
        check((got > 0) == (value > 0), f"{name}: {got}")


@case
def hugepage_refused():
    for error, number in ERRORS.items():
        said = refused(error, HUGEPAGE, COLLAPSE)
        for kind in pg64test.KINDS:
            check_base(said, kind, f"the kernel refuses MADV_HUGEPAGE: error {number}")
        check_counted(said, heap_base_bytes=1, heap_advised_bytes=0, skip_base=1, collapse_ok=0)


@case
def collapse_refused():
    for error, text in (("EPERM", "refuses MADV_COLLAPSE: error 1"),
                        ("ENOSYS", "refuses MADV_COLLAPSE: error 38"),
                        ("EINVAL", "has no MADV_COLLAPSE")):
        said = refused(error, COLLAPSE, backend="collapse")
        check_base(said, "heap", text)
        check_counted(said, heap_base_bytes=1, collapse_ok=0)


@case
def collapse_refused_later():
    """The probe is answered well, its use is not: the gate closes once, for good."""
    for error in ERRORS:
        said = refused(error, COLLAPSE + "/0", backend="collapse")
        check_base(said, "heap", f"collapse: it failed with error {ERRORS[error]}")
        check_counted(said, fail_collapse=1, collapse_ok=0, heap_base_bytes=1)
        check(said.counter("gate_collapse_closed") == 1, "the gate is not closed")
        check(said.counter("fail_collapse") == 1, "tried again after it had failed")


@case
def hugepage_refused_later():
    """With mthp at work in the probe, which advises two PMD-size pages' bytes."""
    if os.sysconf("SC_PAGE_SIZE") != 4096:
        raise Skip("the length of a probe is known for 4 KiB pages")

    def one(error):
        said = refused(error, f"{HUGEPAGE}/{4 << 20}", COLLAPSE)
        for kind in pg64test.KINDS:
            check_base(said, kind, f"mthp: it failed with error {ERRORS[error]}")
        check(said.counter("gate_mthp_closed") == 3, "one gate for each kind of memory")
        check_counted(said, fail_advise=1, heap_base_bytes=1, mmap_advised=0)

    def body():
        if heavy().stats[-1]["backend"]["heap"] != "mthp":
            raise Skip("no 64 KiB pages here")
        for error in ERRORS:
            one(error)
    with_knobs("mthp", body)


@case
def purge_refused():
    """Memory that cannot be given back reads as zero all the same: calloc is checked."""
    for error in ERRORS:
        for backend in ("collapse", "base"):
            said = refused(error, DONTNEED, "madvise=24", backend=backend, purge_delay_ms=0)
            check_counted(said, fail_purge=1, heap_purged_bytes=0)


@case
def all_advice_refused():
    for error in ERRORS:
        said = refused(error, "madvise", purge_delay_ms=0)
        check_base(said, "heap", f"the kernel refuses MADV_HUGEPAGE: error {ERRORS[error]}")
        check_counted(said, fail_purge=1, heap_base_bytes=1, skip_base=1, heap_purged_bytes=0)


@case
def mincore_refused():
    """Nothing can be proved then, so nothing is claimed."""
    for error in ERRORS:
        said = refused(error, "mincore")
        check_base(said, "anon", f"mincore failed: error {ERRORS[error]}")
        check_base(said, "heap", "")
        check_counted(said, collapse_ok=0, mmap_advised=0)


@case
def names_refused():
    """Fences are made another way where VMAs cannot be named, and not at all without either."""
    def body():
        free = heavy()
        if free.stats[-1]["backend"]["heap"] != "mthp":
            raise Skip("no 64 KiB pages here")
        for error in ERRORS:
            said = refused(error, "vma")
            check(said.stats[-1]["backend"]["heap"] == "mthp", "another backend")
            check_counted(said, fence_ok=1, fail_fence=0)
            said = refused(error, "vma", "madvise=1")
            check_counted(said, fence_ok=0, fail_fence=1)
            check("cannot be fenced out" in said.stats[-1]["reason"]["heap"],
                  said.stats[-1]["reason"]["heap"])
    with_knobs("mthp-pmd", body)


@case
def without_proc_and_sys():
    need_root()
    need("unshare")
    try:
        run("true", preload=False, first=NOTHING).good()
    except Exception:  # pylint: disable=broad-except
        raise Skip("no mount namespace to be had") from None
    said = heavy(first=NOTHING)
    check(said.stats[-1]["exe"] == "" and said.stats[-1]["coverage"]["source"] != "kpageflags",
          "this run has a /proc")
    check(said.stats[-1]["backend"]["heap"] in ("patched", "mthp", "collapse"),
          "the backends need neither /proc nor /sys")


@case
def forced_backends():
    found = {name: heavy(backend=name).stats[-1] for name in pg64test.BACKENDS[1:]}
    for name, stats in found.items():
        for kind in pg64test.KINDS:
            got, why = stats["backend"][kind], stats["reason"][kind]
            check(got in (name, "base"), f"{kind}: {got}, forced was {name}")
            check(why, "no reason")
            if name != "base" and got == "base":
                check(why.startswith(f"{name}: "), f"{kind}, forced {name}: {why}")
    check(found["collapse"]["counters"]["skip_base"] >= 2, "mappings under collapse")
    return ", ".join(f"{name}: {stats['backend']['heap']}" for name, stats in found.items())


def one_line(env, wanted, words=(), **options):
    """A mistake in the environment: this one line, and else nothing changes."""
    words = words or (program("whose"),)
    plain = run(*words).good()
    said = run(*words, env=env, **options).good()
    check(said.err == f"pg64: {wanted}\n", f"{env}: {said.err!r}, not {wanted!r}")
    check(said.out == plain.out, f"{env}: {said.out!r}")


@case
def bad_values():
    for name, value, allowed, kept in (
            ("BACKEND", "huge", "auto|patched|mthp|collapse|base", "backend = auto"),
            ("ENABLE", "yes", "0|1", "enable = 1"),
            ("MMAP_MIN", "7", "64K to 1T, with K, M, G or T", "mmap_min = 64K"),
            ("HEAP_MIN", "", "0 to 1T", "heap_min = 2M"),
            ("ARENA_SIZE", "1X", "32M to 1T", "arena_size = 1G"),
            ("PURGE_DELAY_MS", "-1", "0 to 3600000", "purge_delay_ms = 25"),
            ("VERBOSE", "3", "0 to 2", "verbose = 0"),
            ("STATS", "fd:x", "a path (%p: the process id), fd:N, stderr", "stats = "),
            ("STATS_FORMAT", "xml", "text|json|openmetrics", "stats_format = text")):
        one_line({f"PG64_{name}": value},
                 f'PG64_{name}: "{value}" is not allowed; give {allowed}; running with {kept}')
    said = run(program("whose"), env={"PG64_PMD": "9", "PG64_MALLOC": "2", "PG64_NOVEL": ""},
               stats=True).good()
    check(len(said.err.splitlines()) == 3, f"three mistakes: {said.err}")
    check(said.counter("bad_option") == 3, "mistakes are not counted")


@case
def unknown_names():
    one_line({"PG64_BAKEND": "mthp"}, "PG64_BAKEND: no such option; did you mean PG64_BACKEND?")
    one_line({"PG64_NOVEL": "1"}, "PG64_NOVEL: no such option; pg64(7) lists them")
    one_line({"PG64_": "1"}, "PG64_: no such option; pg64(7) lists them")
    one_line({"PG64_malloc": "0"}, "PG64_malloc: no such option; did you mean PG64_MALLOC?")


@case
def policy_files():
    with tempfile.TemporaryDirectory(prefix="pg64-") as folder:
        path = os.path.join(folder, "conf")
        env = {"PG64_CONFIG": path}

        def write(text):
            with open(path, "wb") as file:
                file.write(text)

        one_line(env, f"{path}: cannot be read (error 2); running without it")
        write(b"\n# comment\nnovel = 1\n")
        one_line(env, f"{path}:3: novel: no such option; pg64(7) lists them")
        write(b"bakend = mthp\n")
        one_line(env, f"{path}:1: bakend: no such option; did you mean backend?")
        write(b"backend = huge\n")
        one_line(env, f'{path}:1: backend: "huge" is not allowed; give '
                 "auto|patched|mthp|collapse|base")
        write(b"dany\n")
        one_line(env, f"{path}:1: dany: not understood; give name = value, deny, allow or "
                 "[PROGRAM]")
        write(b"[whose\ndeny\n")
        one_line(env, f"{path}:1: [whose: a section starts with [PROGRAM]")
        write(b"[another]\nnovel = 1\ndeny\n")
        said = run(program("whose"), env=env).good()
        check(said.err == "" and said.out == "glibc 0\n", "a section for another program")

        write(os.urandom(30000).replace(b"deny", b"") + b"\n")
        said = run(program("whose"), env=env, stats=True).good()
        check(len(said.err.splitlines()) <= 9, "garbage: more than a few lines")
        check(said.counter("bad_option") > 0, "garbage is not counted")
        one_line({"PG64_CONFIG": folder}, f"{folder}:1: cannot be read from here on")


@case
def policy_unreadable():
    need_root()
    need("setpriv")
    with tempfile.TemporaryDirectory(prefix="pg64-") as folder:
        [library] = for_anybody(folder, LIBRARY)
        path = os.path.join(folder, "conf")
        with open(path, "wb"):
            os.chmod(path, 0)
        said = run("/bin/true", preload=library, first=NOBODY, env={"PG64_CONFIG": path}).good()
        check(said.err == f"pg64: {path}: cannot be read (error 13); running without it\n",
              said.err)


@case
def denied():
    with tempfile.TemporaryDirectory(prefix="pg64-") as folder:
        path = os.path.join(folder, "conf")
        with open(path, "w", encoding="ascii") as file:
            file.write("[whose]\ndeny\n")
        for options in ({}, {"enable": 1}, {"malloc": 1}):
            check_aside(run(program("whose"), env={"PG64_CONFIG": path}, stats=True, **options),
                        False, False)
        said = run(program("whose"), env={"PG64_CONFIG": path}, verbose=1).good()
        check("pg64: steps aside: the policy file denies pg64 to this program\n" in said.err,
              said.err)


def check_aside(said, malloc, mmap):
    said.good()
    check(said.err == "", said.err)
    check(said.out == f"glibc {0 if malloc else 1}\n", f"malloc is not whose it should: {said.out}")
    check(said.stats[-1]["active"] == {"malloc": malloc, "mmap": mmap},
          f"{said.stats[-1]['active']}")
    if not malloc:
        check_counted(said, heap_reserve=0, heap_commit_bytes=0)
    if not mmap:
        check_counted(said, skip_small=0, skip_base=0, skip_file=0, mmap_advised=0)


@case
def switched_off():
    check_aside(run(program("whose"), stats=True), True, True)
    check_aside(run(program("whose"), stats=True, malloc=0), False, True)
    check_aside(run(program("whose"), stats=True, mmap=0), True, False)
    check_aside(run(program("whose"), stats=True, enable=0), False, False)
    for options in ({"malloc": 0}, {"mmap": 0}, {"enable": 0}):
        heavy(**options)


@case
def set_id():
    """A set-id program reads no environment, and writes no file with its rights."""
    need_root()
    need("setpriv")
    original = program("secure", optional=True)
    with tempfile.TemporaryDirectory(prefix="pg64-") as folder:
        os.chmod(folder, 0o777)
        copy = os.path.join(folder, "secure")
        sink = os.path.join(folder, "sink")
        env = {"PG64_STATS": sink, "PG64_ENABLE": "0", "PG64_VERBOSE": "1", "PG64_NOVEL": "1",
               "PG64_CONFIG": "/nonexistent"}

        def one(mark):
            shutil.copy(original, copy)
            os.chmod(copy, 0o755)
            mark()
            return run(copy, preload=False, first=NOBODY, env=env).good()

        said = one(lambda: None).values()
        check(said == {"secure": 0, "active": 0, "bad_option": 2}, f"not set-id: {said}")
        check(os.path.exists(sink), "no statistics, not set-id")
        os.unlink(sink)

        marks = [lambda: os.chmod(copy, 0o755 | stat.S_ISUID),
                 lambda: os.chmod(copy, 0o755 | stat.S_ISGID)]
        if shutil.which("setcap"):
            marks.append(lambda: subprocess.run(["setcap", "cap_net_raw+ep", copy], check=True))
        for mark in marks:
            said = one(mark)
            if said.values()["secure"] == 0:
                raise Skip("set-id has no effect in this folder")
            check(said.values() == {"secure": 1, "active": 1, "bad_option": 0}, said.out)
            check(said.err == "", said.err)
            check(not os.path.exists(sink), "a set-id program wrote a file")


if __name__ == "__main__":
    main()
