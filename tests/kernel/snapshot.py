# SPDX-License-Identifier: MIT
"""A heap of 512 MiB, a child that holds a snapshot of it, 10% of the pages written at random: what
is copied, and how much memory is held after the child's end, by 4 KiB pages, stock mTHP, and 64 KiB
pages with vm.pagesize_64k_cow = 1 and 0. measure.c verifies the data, in both processes.

What holds is asserted by counts. Times are told as ratios to 4 KiB on the same kernel: a guest
without KVM says nothing about speed.
"""
import functools
import os

from kernel import case, check, guest, main
from measuring import MIB, SNAPSHOT_MIB, decode
from preload import program, side_by_side

PAGE, GRANULE = 4096, 65536
HELD_RATIO = 1.02  # to 4 KiB pages
SLACK_FAULTS = 64  # of the program's stack and data, which are copied too
SLACK_BYTES = 2 * MIB  # charges are made in batches
KERNELS = ("stock", "patched")
GRANULES = SNAPSHOT_MIB * MIB // GRANULE


@functools.cache
def guests():
    """What each kernel told; the guests run beside each other."""
    return dict(zip(KERNELS, side_by_side(snapshot_of, KERNELS)))


def measured(kernel):
    return guests()[kernel]


def snapshot_of(kernel):
    ran = guest("measuring.py", os.path.dirname(program("measure")), "snapshot", kind=kernel,
                options=["--memory", "2G"], timeout=600)
    found = decode(ran.expect().out)["snapshot"]
    for kind, told in found.items():
        check(told["status"] == 0, f"{kernel}, {kind}: ended with {told['status']}\n{ran.err}")
    return found


def seen(kernel, kind):
    """(what the program told, counters, held bytes more than before the fork)"""
    told = measured(kernel)[kind]
    return told, told["counters"], told["charged_after"] - told["charged_filled"]


def near(what, value, wanted, slack):
    check(wanted <= value <= wanted + slack, f"{what}: {value}, not {wanted} (+{slack} at most)")


def held_ratio(told, name="charged_after"):
    """To 4 KiB pages, on the kernel that has more of it to offer as an excuse."""
    least = min(measured(kernel)["4k"][name] for kernel in KERNELS)
    return told[name] / least


@case
def base_pages():
    """The measure of all others, and the same on both kernels."""
    for kernel in KERNELS:
        told, counters, _ = seen(kernel, "4k")
        near(f"{kernel}: faults", told["write_faults"], told["pages_written"], SLACK_FAULTS)
        check(not any(counters.get(f"pgsz64_{name}") for name in ("fault_alloc", "cow")),
              f"{kernel}: {counters}")
    return f"{told['pages_written']} pages, {told['pages_written'] * PAGE / MIB:.1f} MiB copied"


@case
def stock_strands_memory():
    """What this test must be able to see: a tenth of the heap is held by folios mapped in part."""
    told, counters, held = seen("stock", "mthp")
    check(counters["mthp_anon_fault_alloc"] >= GRANULES, f"no 64 KiB folios: {counters}")
    wanted = told["pages_written"] * PAGE
    check(held > wanted * 0.9, f"only {held / MIB:.1f} MiB are held, not {wanted / MIB:.1f}")
    return f"{held / MIB:.1f} MiB held, {held_ratio(told):.3f} of 4 KiB"


@case
def copies_are_whole_granules():
    told, counters, _ = seen("patched", "64k")
    check(counters["pgsz64_fault_alloc"] == GRANULES and not counters["pgsz64_fault_fallback"],
          f"{GRANULES} granules: {counters}")
    check(counters["pgsz64_cow"] == told["granules_written"] and
          not counters["pgsz64_cow_fallback"], f"{told['granules_written']} granules: {counters}")
    near("faults of the writes", told["write_faults"], told["granules_written"], SLACK_FAULTS)
    peak = told["charged_snapshot"] - told["charged_filled"]
    near("bytes at the peak", peak, told["granules_written"] * GRANULE - SLACK_BYTES,
         2 * SLACK_BYTES)
    copied = told["granules_written"] * GRANULE
    return (f"{counters['pgsz64_cow']} copies, {copied / MIB:.1f} MiB, "
            f"{copied / told['pages_written'] / PAGE:.1f} times what 4 KiB pages copy")


@case
def nothing_is_held_afterwards():
    told, counters, held = seen("patched", "64k")
    check(held_ratio(told) <= HELD_RATIO, f"{held_ratio(told):.4f} of 4 KiB are held")
    check(not counters["pgsz64_demote"] and counters["mthp_nr_anon"] == GRANULES,
          f"granules were lost: {counters}")
    left = GRANULES - told["granules_written"]
    near("faults of writing all again", told["rewrite_faults"], left, SLACK_FAULTS)
    return f"{held_ratio(told):.4f} of 4 KiB, {held / MIB:.1f} MiB more than before the fork"


@case
def switched_off_copies_pages():
    """vm.pagesize_64k_cow = 0: as little copied as with 4 KiB, and as much stranded as on stock."""
    told, counters, held = seen("patched", "64k-cow0")
    check(counters["pgsz64_cow"] == 0 and
          counters["pgsz64_cow_fallback"] == told["pages_written"], f"{counters}")
    near("faults of the writes", told["write_faults"], told["pages_written"], SLACK_FAULTS)
    peak = told["charged_snapshot"] - told["charged_filled"]
    near("bytes at the peak", peak, told["pages_written"] * PAGE - SLACK_BYTES, 2 * SLACK_BYTES)
    check(counters["pgsz64_demote"] == told["granules_written"], f"demoted: {counters}")
    check(held_ratio(told, "charged_reclaimed") <= HELD_RATIO,
          f"{held_ratio(told, 'charged_reclaimed'):.4f} of 4 KiB are held after reclaim")
    return (f"{held_ratio(told):.3f} of 4 KiB held, {held_ratio(told, 'charged_reclaimed'):.4f} "
            "after reclaim")


@case
def times():
    """Told only."""
    lines = []
    for kernel in KERNELS:
        base = measured(kernel)["4k"]
        for kind, told in measured(kernel).items():
            ratios = ", ".join(f"{name} {told[key] / base[key]:.2f}" for name, key in (
                ("fill", "fill_ns"), ("fork", "fork_ns"), ("write p50", "write_p50_ns"),
                ("p99.9", "write_p999_ns"), ("sum", "write_sum_ns")))
            lines.append(f"  {kernel} {kind}: {ratios}")
    return "ratios to 4 KiB on the same kernel\n" + "\n".join(lines)


if __name__ == "__main__":
    main()
