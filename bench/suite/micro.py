# SPDX-License-Identifier: MIT
"""The micro benchmarks (bench/micro/, Google Benchmark) as workloads: a filter and what it gives.

Each takes one process a group, so that what one benchmark leaves in the heap is the same for every
variant. Counters of the benchmarks become figures: faults, latencies, memory.
"""
import json
import os
import re
import tempfile

from workload import Result, SampleError, Workload

# Counter of micro -> (figure, factor).
COUNTERS = {"faults": ("minor_faults", 1), "rss_bytes": ("rss_bytes", 1),
            "held_bytes": ("held_bytes", 1), "pss_bytes": ("pss_bytes", 1),
            "rss_after_1s_bytes": ("after_free_bytes", 1),
            "dtlb_misses_per_read": ("tlb_misses", 1),
            "p50_ns": ("p50_s", 1e-9), "p99_ns": ("p99_s", 1e-9), "p999_ns": ("p999_s", 1e-9),
            "items_per_second": ("rate", 1)}
UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}


class Micro(Workload):
    """`rows`: {result name: (exact name of a benchmark, label, primary figure)}."""

    def __init__(self, name, group, rows, quick=False, memory_bytes=1 << 30, estimate_s=3,
                 min_time_s=0.2, quick_s=1.5):
        self.name, self.group, self.quick = name, group, quick
        self.memory_bytes, self.estimate_s = memory_bytes, estimate_s
        self.min_time_s = min_time_s
        self.quick_needs = (memory_bytes, quick_s, 0.0)
        self.benchmarks = {result: row[0] for result, row in rows.items()}
        self.results = {result: Result(row[1], *row[2:]) for result, row in rows.items()}

    def sample(self, place, variant):
        names = "|".join(re.escape(name) for name in self.benchmarks.values())
        handle, path = tempfile.mkstemp(dir=place.folder, suffix=".json")
        os.close(handle)
        place.command(
            [place.program("micro/micro"), f"--benchmark_filter=^({names})(/|$)",
             f"--benchmark_min_time={self.min_time_s / (20 if place.quick else 1)}",
             f"--benchmark_out={path}",
             "--benchmark_out_format=json"], variant, self)
        with open(path, encoding="utf-8") as file:
            found = json.load(file)["benchmarks"]
        os.unlink(path)
        self.histograms = {result: octaves for result, name in self.benchmarks.items()
                           if (octaves := self.octaves(name, found))}
        return {result: self.figures(name, found) for result, name in self.benchmarks.items()}

    @staticmethod
    def row(name, found):
        """The one row of a benchmark."""
        rows = [row for row in found
                if row["name"] == name or row["name"].startswith(name + "/")]
        if len(rows) != 1:
            raise SampleError(f"{len(rows)} benchmarks are named {name}")
        return rows[0]

    @classmethod
    def octaves(cls, name, found):
        """Its histogram, from counters that are named by the upper end of each bucket in ns."""
        return {int(match.group(1)): int(value) for counter, value in cls.row(name, found).items()
                if (match := re.fullmatch(r"below_(\d+)_ns", counter))}

    @classmethod
    def figures(cls, name, found):
        """What one benchmark gave."""
        row = cls.row(name, found)
        if row.get("error_occurred"):
            raise SampleError(f"{name}: {row.get('error_message')}")
        figures = {"wall_s": row["real_time"] * UNITS[row["time_unit"]],
                   "cpu_s": row["cpu_time"] * UNITS[row["time_unit"]]}
        for counter, (figure, factor) in COUNTERS.items():
            if counter in row:
                figures[figure] = row[counter] * factor
        return figures


def size(count):
    """65536 -> "64 KiB"."""
    for unit, bytes_each in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= bytes_each:
            return f"{count // bytes_each} {unit}"
    return f"{count} B"


MIB, GIB = 1 << 20, 1 << 30


def single(name, group, benchmark, label, primary="wall_s", **options):
    """A workload of one benchmark, which is its one result."""
    return Micro(name, group, {name: (benchmark, label, primary)}, **options)


def first_touch(block, workers=0, total=512 * MIB):
    who = "" if workers == 0 else f", {workers} other threads"
    return single(
        f"touch-{size(block).replace(' ', '').lower()}" + (f"-t{workers}" if workers else ""),
        "first touch",
        f"first_touch/block:{block}/total:{total}/workers:{workers}/manual_time",
        f"{size(total)} in {size(block)} blocks{who}",
        quick=workers == 0 and block in (64, 4096, MIB), memory_bytes=3 * total)


def map_touch(shared, total=512 * MIB):
    kind = "shared" if shared else "private"
    return single(f"touch-mmap-{kind}", "first touch",
                  f"map_touch/total:{total}/shared:{shared}/real_time",
                  f"mmap of {size(total)}, {kind}", memory_bytes=3 * GIB // 2)


def latency(kind, label, total=512 * MIB):
    return single(f"latency-{kind}", "fault latency",
                  f"fault_latency/{kind}/total:{total}/manual_time",
                  f"first write to each page, {label}", "p99_s", memory_bytes=3 * GIB // 2)


def churn(block, live, threads, quick=False):
    what = "mixed sizes" if block == 0 else size(block)
    many = "1 thread" if threads == 1 else f"{threads} threads"
    return single(f"churn-{block or 'mixed'}-{live}-t{threads}", "malloc and free",
                  f"churn/size:{block}/live:{live}/real_time/threads:{threads}",
                  f"churn, {what}, {live} alive, {many}", "rate", quick=quick, quick_s=0.3)


def random_read(total, quick=False):
    short = size(total).replace(" ", "").lower()
    return Micro(f"random-{short}", "random reads", {
        f"random-{short}": (f"random_read/total:{total}/dependent:0",
                            f"{size(total)}, independent"),
        f"random-{short}-chase": (f"random_read/total:{total}/dependent:1",
                                  f"{size(total)}, each depends on the last")},
        quick=quick, memory_bytes=total + GIB, estimate_s=2 + 8 * total / GIB, quick_s=1.0,
        min_time_s=1)


def interposed(name, benchmark, arguments, label):
    """The same call through libc's name, which a preloaded library may take, and directly."""
    return Micro(f"call-{name}", "system calls", {
        f"call-{name}": (f"{benchmark}/libc/{arguments}", label),
        f"call-{name}-direct": (f"{benchmark}/syscall/{arguments}", f"{label}, not interposed")})


ALL = (
    single("startup", "start-up", "startup/real_time", "/bin/true, from fork to its end",
           quick=True, memory_bytes=256 * MIB, min_time_s=1, quick_s=0.3),
    *(first_touch(block) for block in (64, 512, 4096, 65536, MIB, 8 * MIB)),
    *(first_touch(block, workers=2) for block in (4096, MIB)),
    map_touch(0), map_touch(1),
    latency("heap", "a growing heap of small blocks"), latency("mmap", "a private mapping"),
    latency("shared", "a shared mapping"),
    churn(0, 16384, 1, quick=True), *(churn(0, 16384, threads) for threads in (2, 4, 8)),
    churn(64, 256, 1), churn(4096, 256, 1),
    churn(32768, 256, 1), churn(262144, 256, 1),
    *(single(f"cross-free-{block}", "malloc and free", f"cross_thread_free/size:{block}/real_time",
             f"freed by another thread, {size(block)}", "rate") for block in (64, 4096)),
    single("realloc-growth", "malloc and free", f"realloc_growth/to:{64 * MIB}/by:0",
           "realloc to 64 MiB, growing by half"),
    single("realloc-steps", "malloc and free", f"realloc_growth/to:{64 * MIB}/by:65536",
           "realloc to 64 MiB in steps of 64 KiB"),
    *(single(f"aligned-{align}", "malloc and free", f"aligned_churn/align:{align}/size:{block}",
             f"{size(block)} aligned to {size(align)}", "rate")
      for align, block in ((64, 64), (65536, 4096), (2 * MIB, 65536))),
    interposed("mmap", "mmap_munmap", "len:65536/touch:1", "mmap, touch, munmap of 64 KiB"),
    interposed("mmap-large", "mmap_munmap", f"len:{64 * MIB}/touch:0", "mmap, munmap of 64 MiB"),
    interposed("mremap", "mremap_grow", f"len:{64 * MIB}", "mremap from 64 MiB"),
    interposed("mprotect", "mprotect_half", f"len:{MIB}", "mprotect of half of 1 MiB"),
    interposed("dontneed", "madvise_dontneed", f"len:{MIB}", "MADV_DONTNEED of 1 MiB"),
    Micro("copy-out", "system calls", {
        f"copy-out-{which}": (f"copy_out/values:{1 << 20}/later:{later}",
                              f"1 KiB values to a pipe and back, random order, {which} pass",
                              "rate")
        for later, which in enumerate(("first", "later"))}, memory_bytes=2 * GIB, estimate_s=30),
    *(single(f"purge-{block}-{keep}", "memory after free",
             f"purge/block:{block}/total:{64 * MIB}/keep_one_in:{keep}/iterations:3/manual_time",
             f"64 MiB in blocks of {size(block)}, "
             + ("all freed" if keep == 0 else f"1 in {keep} kept"), "after_free_bytes")
      for block in (64, 1024, 16384, 262144) for keep in (0, 16)),
    *(single(name, "fork", f"fork_cow/heap_mb:{mib}/iterations:5/manual_time",
             f"{size(mib * MIB)} heap, one page in ten written by the parent",
             memory_bytes=6 * mib * MIB, estimate_s=mib / 64)
      for name, mib in (("fork-cow", 512), ("fork-cow-1gib", 1024))),
    random_read(4 * MIB), random_read(64 * MIB, quick=True), random_read(GIB), random_read(4 * GIB),
)
