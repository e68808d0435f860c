# SPDX-License-Identifier: MIT
"""Memory that is full, in pieces, or limited, on purpose: nothing that lives with 4 KiB pages is
killed with 64 KiB ones, what could not be had is counted, and the data is right (measure.c looks).
Latencies of the first write to a granule are told for stock and patched, as two guests without KVM
have them that share the processors; `kernel-patch/measure` runs one at a time.
"""
import functools
import os

from kernel import case, check, guest, main
from measuring import PARTS, decode
from preload import program, side_by_side

MORE_FAULTS = 2  # all but [1.001]; 4 KiB pages take 16 times as many faults as granules
US = 1000
KERNELS = ("stock", "patched")


@functools.cache
def guests():
    """What each kernel told, its parts one after the other; the guests run beside each other."""
    return dict(zip(KERNELS, side_by_side(parts_of, KERNELS)))


def measured(kernel):
    return guests()[kernel]


def parts_of(kernel):
    names = [name for name in PARTS if name != "snapshot"]
    ran = guest("measuring.py", os.path.dirname(program("measure")), *names, kind=kernel,
                options=["--memory", "512M", "--allow-oom"], timeout=900)
    return decode(ran.expect().out)


def killed(told):
    return told["status"] != 0 or told["counters"]["oom_kill"] or told["events"]["oom_kill"]


def survived(part):
    """What was told of the 64 KiB pages, which must do whatever 4 KiB pages do."""
    for kernel in KERNELS:
        base = measured(kernel)[part]["4k"]
        check(not killed(base), f"{kernel}: 4 KiB pages do not fit, so this shows nothing: {base}")
    told = measured("patched")[part]["64k"]
    check(not killed(told), f"with 64 KiB pages it is killed, with 4 KiB it is not: {told}")
    return told


def latencies(part):
    lines = []
    for kernel in KERNELS:
        for kind, told in measured(kernel)[part].items():
            if killed(told):
                lines.append(f"  {kernel} {kind}: killed")
                continue
            counters = told["counters"]
            got = counters["mthp_anon_fault_alloc"], counters["mthp_anon_fault_fallback"]
            lines.append(
                f"  {kernel} {kind}: {told['touch_faults']} faults, {got[0]} granules, {got[1]} "
                f"fallbacks; first write p50 {told['first_p50_ns'] / US:.0f}, p99.9 "
                f"{told['first_p999_ns'] / US:.0f} us; 64 KiB p50 {told['granule_p50_ns'] / US:.0f}"
                f", p99.9 {told['granule_p999_ns'] / US:.0f} us; compact_stall "
                f"{counters['compact_stall']}, compact_fail {counters['compact_fail']}, "
                f"allocstall {counters['allocstall']}")
    return "\n" + "\n".join(lines)


def counted(told):
    """Each granule was had as a folio or counted as a fallback, and took one fault in any case.
    One that was given back before it was used, and counted for that, may come again."""
    counters = told["counters"]
    tried = counters["pgsz64_fault_alloc"] + counters["pgsz64_fault_fallback"]
    check(0 <= tried - told["granules"] <= counters["pgsz64_demote"],
          f"{told['granules']} granules, but {counters}")
    return counters


@case
def fragmented_for_good():
    told = survived("pinned")
    counters = counted(told)
    check(counters["pgsz64_fault_fallback"] > told["granules"] / 2,
          f"memory was not in pieces: {counters}")
    check(counters["compact_stall"] > 0, f"given up without an attempt: {counters}")
    # A fallback takes one fault for its 16 pages, too, where they can be had without force, and are
    # written before reclaim takes back the 15 that nobody asked for. Else it is 16 faults.
    check(told["touch_faults"] <= told["granules"] * MORE_FAULTS,
          f"{told['touch_faults']} faults for {told['granules']} granules, {counters}")
    return latencies("pinned")


@case
def fragmented_by_what_moves():
    counters = counted(survived("movable"))
    check(counters["compact_stall"] > 0, f"memory was not in pieces: {counters}")
    # What can be moved is moved: most granules get a folio all the same.
    check(counters["pgsz64_fault_alloc"] > 4 * counters["pgsz64_fault_fallback"],
          f"compaction found no room: {counters}")
    return latencies("movable")


@case
def full_of_page_cache():
    counters = counted(survived("cached"))
    check(counters["pgsteal_kswapd"] + counters["pgsteal_direct"] > 0,
          f"nothing had to be reclaimed: {counters}")
    return latencies("cached")


@case
def limit_that_just_fits():
    told = survived("limit_dense")
    check(told["peak"] <= told["limit"], f"{told['peak']} of {told['limit']}")
    return latencies("limit_dense")


@case
def limit_that_just_fits_half_use():
    told = survived("limit_half")
    check(told["events"]["oom"] > 0, f"it never came to the last resort: {told['events']}")
    return latencies("limit_half")


@case
def half_use_of_more_than_there_is():
    survived("half")
    return latencies("half")


@case
def limit_that_just_fits_sparse_use():
    told = survived("limit_sparse")
    check(told["events"]["max"] > 0, f"the limit was not reached: {told['events']}")
    return latencies("limit_sparse")


@case
def sparse_use_of_more_than_there_is():
    survived("sparse")
    return latencies("sparse")


if __name__ == "__main__":
    main()
