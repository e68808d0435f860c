# SPDX-License-Identifier: MIT
"""Made-up results of bench/run, the same on every call, for the tests of report and comparison.

The numbers are plausible and mean nothing. Nothing here reads or starts anything.
"""
import math
import random

VARIANTS = {  # label, family, setting, preload
    "glibc": ("glibc, 4 KiB", "glibc", "4k", None),
    "glibc64": ("glibc hugetlb=1, 64 KiB", "glibc", "64k", None),
    "glibc64-always": ("glibc, 64 KiB always", "glibc", "64k-always", None),
    "glibc2m": ("glibc, 2 MiB always", "glibc", "2m-always", None),
    "mimalloc": ("mimalloc", "mimalloc", "4k", "libmimalloc.so.2*"),
    "mimalloc64": ("mimalloc, large pages, 64 KiB", "mimalloc", "64k", "libmimalloc.so.2*"),
    "jemalloc": ("jemalloc", "jemalloc", "4k", "libjemalloc.so.2"),
    "jemalloc64": ("jemalloc thp:always, 64 KiB", "jemalloc", "64k", "libjemalloc.so.2"),
    "tcmalloc": ("tcmalloc", "tcmalloc", "4k", "libtcmalloc_minimal.so.4"),
    "tcmalloc64": ("tcmalloc, 64 KiB always", "tcmalloc", "64k-always",
                   "libtcmalloc_minimal.so.4"),
    "pg64-base": ("pg64, advice off (control)", "pg64", "64k", "libpg64.so"),
    "pg64": ("pg64, mthp", "pg64", "64k", "libpg64.so"),
    "pg64-collapse": ("pg64, collapse (no privilege)", "pg64", "4k", "libpg64.so"),
    "pg64-allow": ("pg64, 2 MiB allowed", "pg64", "64k-and-2m", "libpg64.so"),
    "pg64-patched": ("pg64, patched kernel", "pg64", "4k", "libpg64.so"),
}
QUICK = ("glibc", "glibc64", "mimalloc", "pg64-base", "pg64")
FIGURES = {
    "wall_s": ("s", "lower", "wall time"),
    "cpu_s": ("s", "lower", "CPU time, user and system"),
    "rate": ("1/s", "higher", "operations per second"),
    "minor_faults": ("count", "lower", "minor faults"),
    "rss_bytes": ("B", "lower", "peak RSS of the largest process"),
    "pss_bytes": ("B", "lower", "PSS, all processes"),
    "held_bytes": ("B", "lower", "memory held after the child's exit"),
    "fork_s": ("s", "lower", "time of fork()"),
    "p50_s": ("s", "lower", "latency, median"),
    "p99_s": ("s", "lower", "latency, 99th percentile"),
    "p999_s": ("s", "lower", "latency, 99.9th percentile"),
    "coverage": ("ratio", "higher", "share of the memory on 64 KiB pages or larger"),
}
# Group: [(workload, [(result, label, primary)])]
WORKLOADS = {
    "first touch": [
        ("touch-64", [("touch-64", "blocks of 64 B", "wall_s")]),
        ("touch-4k", [("touch-4k", "blocks of 4 KB", "wall_s")]),
        ("touch-1m", [("touch-1m", "blocks of 1 MB", "wall_s")]),
    ],
    "programs": [
        ("true", [("true", "/bin/true", "wall_s")]),
        ("gcc", [("gcc", "gcc -O2", "wall_s")]),
        ("python", [("python", "python, lists and dicts", "wall_s")]),
        ("sort", [("sort", "sort 264 MB", "wall_s")]),
        ("git", [("git", "git rev-list", "wall_s")]),
    ],
    "malloc benchmarks": [
        (name, [(name, name, "wall_s")])
        for name in ("larson", "xmalloc", "cache-scratch", "mstress", "alloc-test", "sh6bench",
                     "glibc-simple", "rptest")],
    "PostgreSQL": [
        ("postgres", [("pg-prewarm", "prewarm of shared buffers", "wall_s"),
                      ("pg-select", "select-only, transactions", "rate"),
                      ("pg-sort", "large sort", "wall_s"),
                      ("pg-join", "large hash join", "wall_s")]),
    ],
    "Redis": [
        ("redis", [("redis-set", "SET", "rate"), ("redis-get", "GET", "rate"),
                   ("redis-fork", "fork of 1 GiB", "fork_s"),
                   ("redis-bgsave", "SET during BGSAVE", "rate")]),
    ],
}
TIME = {"4k": 1.0, "64k": 0.78, "64k-always": 0.74, "2m-always": 0.66, "64k-and-2m": 0.68}
FAULTS = {"4k": 1.0, "64k": 0.3, "64k-always": 0.09, "2m-always": 0.02, "64k-and-2m": 0.06}
OWN_TIME = {"glibc": 1.0, "mimalloc": 0.9, "jemalloc": 1.02, "tcmalloc": 0.95, "pg64": 0.88}
OWN_MEMORY = {"glibc": 1.0, "mimalloc": 1.06, "jemalloc": 0.97, "tcmalloc": 1.09, "pg64": 1.05}
# Where larger pages gain nothing; /bin/true pays for the start.
NO_GAIN = {"true": 1.14, "gcc": 1.01, "pg-select": 1.0, "cache-scratch": 1.03, "redis-bgsave": 1.2}


def _stable(*words):
    """A number in [0, 1) that depends on the words alone."""
    return random.Random("/".join(words)).random()


def _level(result, variant):
    """(time, faults, memory) of a variant on a result, relative to glibc."""
    _, family, setting, _ = VARIANTS[variant]
    setting = {"pg64-base": "4k", "pg64-collapse": "2m-always", "pg64-patched": "64k"}.get(
        variant, setting)
    if variant == "glibc":
        return 1.0, 1.0, 1.0
    wobble = 1 + 0.12 * (_stable(result, family) - 0.5)
    depth = 0.4 + 1.8 * _stable(result, "depth")
    time = OWN_TIME[family] * TIME[setting] ** depth * wobble
    if result in NO_GAIN:
        time = 1.0 if variant.startswith("glibc") else NO_GAIN[result] * wobble ** 0.3
    faults = FAULTS[setting] if family != "pg64" or setting == "4k" else FAULTS[setting] * 0.22
    waste = {"4k": 1.0, "64k": 1.01, "64k-always": 1.03}.get(setting, 1.13)
    return time, faults, OWN_MEMORY[family] * waste * (1 + 0.04 * (_stable(result, variant) - 0.5))


def sample(results, variant, number, generator, noise, slower):
    """{result: {figure: value}} of one sample."""
    shared = math.exp(generator.gauss(0, noise / 2))
    found = {}
    for result, _, primary in results:
        time, faults, memory = _level(result, variant)
        base = 0.2 + 3 * _stable(result)
        cost = base * time * shared * math.exp(generator.gauss(0, noise))
        cost *= slower.get((result, variant), 1.0)
        figures = {"wall_s": cost, "cpu_s": cost * 1.1,
                   "minor_faults": int(130000 * base * faults) + number % 2,
                   "rss_bytes": int(2e8 * base * memory)}
        if primary == "rate":
            figures.update({"rate": 1e5 / cost, "p50_s": 1e-4 * cost, "p99_s": 9e-4 * cost,
                            "p999_s": 4e-3 * cost * math.exp(generator.gauss(0, 3 * noise))})
        if primary == "fork_s":
            figures.update({"fork_s": cost / 40, "held_bytes": int(2e6 * (memory - 1) ** 2)})
        if result.startswith(("pg", "redis")):
            figures["pss_bytes"] = int(2.3e8 * base * memory)
        if variant not in ("glibc", "mimalloc"):
            figures["coverage"] = min(1.0, 1 - faults / 2)
        found[result] = figures
    return found


def make(seed=1, rounds=7, variants=tuple(VARIANTS), noise=0.03, slower=None, workloads=None,
         drift=0.0):
    """The contents of a result.json. `slower`: {(result, variant): factor}."""
    generator, workloads = random.Random(seed), workloads or WORKLOADS
    samples = []
    for number in range(1, rounds + 1):
        for entries in workloads.values():
            for workload, results in entries:
                for variant in variants:
                    every = {(result, variant): math.exp(drift) *
                             (slower or {}).get((result, variant), 1.0)
                             for result, _, _ in results}
                    samples.append({
                        "workload": workload, "variant": variant, "round": number,
                        "at_s": len(samples) * 1.5,
                        "results": sample(results, variant, number, generator, noise, every)})
    return {
        "format": "pg64-bench-1", "started": "2026-01-02T03:04:05Z",
        "ended": "2026-01-02T05:06:07Z", "command": ["bench/run", "--full"], "level": "full",
        "rounds": rounds,
        "machine": {"cpu": "Example CPU 9000", "cpus": 2, "memory_bytes": 24 << 30,
                    "kernel": "6.18.0", "distribution": "Debian GNU/Linux 12 (bookworm)",
                    "hypervisor": "kvm", "page_bytes": 4096, "tlb_counters": "no counters here",
                    "fault_ns": 612, "system_call_ns": 95},
        "knobs": {"enabled": "madvise", "hugepages-64kB/enabled": "never"},
        "versions": {"pg64": "0.1.0 (0123abc)", "glibc": "2.36", "mimalloc": "2.0.9"},
        "variants": {name: dict(zip(("label", "family", "setting", "preload"), VARIANTS[name]),
                                env={}, knobs={"enabled": "never"}) for name in variants},
        "results": {result: {"label": label, "group": group, "primary": primary,
                             "workload": workload}
                    for group, entries in workloads.items()
                    for workload, results in entries for result, label, primary in results},
        "figures": {name: dict(zip(("unit", "better", "label"), figure))
                    for name, figure in FIGURES.items()},
        "skips": [{"what": "pg64-patched", "why": "this kernel does not have pg64's patch series"}],
        "samples": samples,
    }


def fail(data, workload, variant, number, why="the output differs"):
    """Turn one sample into a failed one."""
    for found in data["samples"]:
        if (found["workload"], found["variant"], found["round"]) == (workload, variant, number):
            del found["results"]
            found["error"] = why
    return data
