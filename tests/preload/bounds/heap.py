#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a heap-bound program gets: faults, coverage and resident memory, on each backend."""
import signal

from bounds import MIB, with_knobs
from preload import NOBODY, case, check, knobs, main, need, need_root, program, run

TOTAL = 256 * MIB
BLOCKS = (64, 4096, 65536, MIB)
THREADS = (1, 8)

# glibc's own faults are at least this many times as many. 14.3 and more, but for threads that run
# at once: how many segments of 32 MiB they open is by chance (14.0 with 16 VMAs more than usual).
MTHP_FAULTS = 13.5
MTHP_COVERAGE_PPM = 950_000
PROMOTE_FAULTS = 25  # with pmd_min at 32 MiB, of 256, and a free page of 2 MiB not always there
PROMOTE_SHARE = 50  # percent of the heap on PMD-size pages when it has just been filled
COLLAPSE_FAULTS = 10
COLLAPSE_RSS_A_THREAD = 4 * MIB  # beyond that of the same heap on base pages
FREED_RSS = 16 * MIB  # what may stay resident of a heap that was freed whole
IDLE_RSS = 8 * MIB

HELD = 64 * MIB
# khugepaged as eager as can be.
EAGER = {"khugepaged/scan_sleep_millisecs": "0", "khugepaged/alloc_sleep_millisecs": "0",
         "khugepaged/pages_to_scan": "65536", "khugepaged/defrag": "1"}


def load(block, threads, *words, **options):
    return run(program("heapload"), str(block), str(TOTAL), str(threads), *words,
               **options).good().values()


def each(one):
    """Call one(block, threads) for all; what it returns is the table that is printed."""
    rows = []
    for threads in THREADS:
        for block in BLOCKS:
            rows.append(f"\n     {block:7} B, {threads} threads: {one(block, threads)}")
    return "".join(rows)


def mthp(block, threads):
    where = f"{block} B, {threads} threads"
    plain = load(block, threads, preload=False)
    ours = load(block, threads, backend="mthp", pmd="off")
    ratio = plain["minor_faults"] / ours["minor_faults"]
    said = (f"faults {plain['minor_faults']} -> {ours['minor_faults']} (1/{ratio:.1f}), "
            f"coverage {ours.get('coverage_ppm')} ppm, {ours['vmas']} VMAs")
    check(ratio >= MTHP_FAULTS, f"{where}: {said}: not 1/{MTHP_FAULTS}")
    check("coverage_ppm" in ours, f"{where}: the coverage could not be measured")
    check(ours["coverage_ppm"] >= MTHP_COVERAGE_PPM, f"{where}: {said}")
    check(ours["anon_huge"] == 0, f"{where}: {ours['anon_huge']} bytes in PMD-size pages")
    return said


@case
def mthp_alone():
    """The 2 MiB size is off."""
    need_root()
    return with_knobs("mthp", lambda: each(mthp))


@case
def mthp_beside_pmd():
    """The 2 MiB size is at its default: inherit, madvise."""
    need_root()
    return with_knobs("mthp-pmd", lambda: each(mthp))


@case
def mthp_is_chosen():
    """The backend that the cases above force is the one that is taken by itself."""
    need_root()

    def same():
        ours = load(4096, 1, "timed")
        forced = load(4096, 1, "timed", backend="mthp")
        check(abs(ours["minor_faults"] - forced["minor_faults"]) <= 64, f"{ours} {forced}")
    with_knobs("mthp", same)


def promoted(block, threads):
    where = f"{block} B, {threads} threads"
    plain = load(block, threads, "timed", preload=False)
    granules = load(block, threads, "free", backend="mthp", pmd="off")
    ours = load(block, threads, "free", backend="mthp", pmd="auto", pmd_min="32M")
    ratio = plain["minor_faults"] / ours["minor_faults"]
    more = ours["rss_anon_full"] - granules["rss_anon_full"]
    said = (f"faults {plain['minor_faults']} -> {ours['minor_faults']} (1/{ratio:.1f}), "
            f"{ours['anon_huge'] // MIB} MiB in PMD-size pages, RSS {more / MIB:+.1f} MiB, "
            f"freed {ours['rss_anon_freed'] / MIB:.1f} MiB")
    check(more <= COLLAPSE_RSS_A_THREAD * threads, f"{where}: {said}: too much memory")
    check(ours["rss_anon_freed"] < FREED_RSS, f"{where}: {said}: freed memory stays")
    # Blocks of a whole stretch or less only: of larger ones it is not known that they are filled.
    check(ratio >= PROMOTE_FAULTS, f"{where}: {said}: not 1/{PROMOTE_FAULTS}")
    check(ours["anon_huge"] >= TOTAL * PROMOTE_SHARE // 100, f"{where}: {said}")
    check(ours.get("coverage_ppm", 1000000) >= MTHP_COVERAGE_PPM, f"{where}: {said}")
    return said


@case
def promotion():
    """PMD-size pages for what a heap past pmd_min commits, the 2 MiB size being at its default."""
    need_root()
    return with_knobs("mthp-pmd", lambda: each(promoted))


@case
def promotion_in_a_sandbox():
    """Promotion makes no system call that the heap does not make: a program goes on in a sandbox
    that kills it for any other."""
    need_root()

    def body():
        killed = run(program("sandbox"), "open", pmd="off")
        check(killed.status == -signal.SIGSYS, f"{killed.status}: this test cannot fail")
        plain = run(program("sandbox"), backend="mthp", pmd="off").good().values()
        check(plain["promoted"] == 0, f"{plain}: promoted although it is off")
        ours = run(program("sandbox"), backend="mthp", pmd="auto", pmd_min="32M").good().values()
        check(ours["before"] == 0 and ours["promoted"] >= 20, f"{ours}")
        return f"{ours['promoted']} stretches promoted"
    return with_knobs("mthp", body)


@case
def khugepaged_stays_out():
    """Neither faults nor khugepaged bring 2 MiB pages. The program has a mapping beside its heap
    that khugepaged must have collapsed, and is tried with 2 MiB pages let in."""
    need_root()

    def both():
        shut = run(program("hold"), str(HELD), backend="mthp", timeout=50).good().values()
        check(shut["scanned"], f"khugepaged did not come round: {shut}")
        check(shut["rest_huge"] == 0, f"{shut['rest_huge']} bytes in 2 MiB pages")
        let = run(program("hold"), str(HELD), backend="mthp", pmd="allow", timeout=50).good()
        check(let.values()["rest_huge"] > HELD // 2,
              f"PG64_PMD=allow: {let.values()}: this test cannot fail")
        return f"with PG64_PMD=allow {let.values()['rest_huge'] // MIB} MiB in 2 MiB pages"
    return with_knobs({**knobs.preset("mthp-pmd"), **EAGER}, both)


@case
def fences_leave_room_for_promotion():
    """Without its fences, each dense stretch of the heap can be collapsed to a 2 MiB page."""
    def promote(*words, **options):
        words = (program("promote"), *map(str, words))
        return run(*words, backend="mthp", **options).good().values()

    def body():
        for heap_min in ("0", "2M"):
            for block in BLOCKS:
                for threads in (1, 4):
                    got = promote(block, threads, heap_min=heap_min)
                    check(got["promoted"] >= 30 * threads and got["refused"] == 0,
                          f"{block} B, {threads} threads, heap_min {heap_min}: {got}")
        kept = promote(4096, 1, "keep")
        check(kept["promoted"] < 4 and kept["refused"] > 30,
              f"with its fences: {kept}: this test cannot fail")
    with_knobs("mthp-pmd", body)


def collapse(block, threads):
    where = f"{block} B, {threads} threads"
    plain = load(block, threads, "timed", preload=False, first=NOBODY)
    base = load(block, threads, "free", backend="base", first=NOBODY)
    ours = load(block, threads, "free", backend="collapse", first=NOBODY)
    ratio = plain["minor_faults"] / ours["minor_faults"]
    more = ours["rss_anon_full"] - base["rss_anon_full"]
    said = (f"faults {plain['minor_faults']} -> {ours['minor_faults']} (1/{ratio:.1f}), RSS of "
            f"base pages {more / MIB:+.1f} MiB, freed {ours['rss_anon_freed'] / MIB:.1f} MiB")
    check(ratio >= COLLAPSE_FAULTS, f"{where}: {said}: not 1/{COLLAPSE_FAULTS}")
    check(more <= COLLAPSE_RSS_A_THREAD * threads, f"{where}: {said}: too much memory")
    check(ours["rss_anon_freed"] < FREED_RSS, f"{where}: {said}: freed memory stays")
    return said


@case
def collapse_without_privilege():
    """An account without privilege, with every THP size at never."""
    need_root()
    need("setpriv")
    return with_knobs("never", lambda: each(collapse))


@case
def collapse_is_chosen():
    need_root()
    need("setpriv")

    def same():
        ours = run(program("heapload"), "4096", str(TOTAL), "1", "timed", first=NOBODY).good()
        forced = load(4096, 1, "timed", backend="collapse", first=NOBODY)
        check(abs(ours.values()["minor_faults"] - forced["minor_faults"]) <= 64,
              f"{ours.values()} {forced}")
    with_knobs("never", same)


@case
def idle_after_threads():
    """Threads that freed everything ended; nothing is allocated or trimmed after that."""
    def one(backend):
        ours = load(4096, 8, "idle", backend=backend)["rss_anon_full"]
        check(ours < IDLE_RSS, f"{backend}: {ours / MIB:.1f} MiB stay")
        return f"{backend} {ours / MIB:.1f} MiB"
    return ", ".join(one(backend) for backend in ("base", "collapse"))


if __name__ == "__main__":
    main()
