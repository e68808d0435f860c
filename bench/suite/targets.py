# SPDX-License-Identifier: MIT
"""What pg64 is to reach, as ratios, and what results of bench/run say of each.

The targets were set from first measurements, before the suite was written; their limits are kept as
they were, so that a miss shows. Rows of `allow` came later, for comparison. A ratio is a cost ratio
as in pairs.py: below 1 is better.
"""
import argparse
import sys

import pairs
import record
from results import Run

FAULTS, MEMORY = "minor_faults", "memory"
# The best of them counts, so the largest ratio does.
ALLOCATORS = ("mimalloc", "jemalloc", "tcmalloc")
LARGE = ("group:PostgreSQL", "redis-set", "memcached-set", "group:large heaps")
SMALL = ("group:malloc benchmarks",)
TOUCHED = (("64 B", "touch-64b"), ("4 KiB", "touch-4kib"), ("1 MiB", "touch-1mib"))


class Target:
    """`limit`: the ratio of `variant` to each of `bases`, in `figure` (None: the primary one of
    each result), as a geometric mean over `results`: names, or "group:NAME" for all of a group.
    `beyond`: the limit that was set when this one had been reached."""

    def __init__(self, text, limit, results, figure=None, variant="pg64", bases=("glibc",),
                 beyond=None):
        self.text, self.limit, self.figure, self.beyond = text, limit, figure, beyond
        self.results = (results,) if isinstance(results, str) else results
        self.variant, self.bases = variant, bases

    def names(self, run):
        """The results of a run that count."""
        groups, found = run.groups(), []
        for name in self.results:
            if name.startswith("group:"):
                found += groups.get(name.removeprefix("group:"), [])
            elif name in run.results:
                found.append(name)
        return found

    def _figure(self, run, name):
        if self.figure == MEMORY:
            return run.memory(name)
        return self.figure or run.primary(name)

    def _ratios(self, run, name, base):
        """{round: ratio} of a result, or None where it was not measured under both."""
        figure = self._figure(run, name)
        if figure is None:
            return None
        mine, other = (run.values(name, variant, figure) for variant in (self.variant, base))
        ratios = {number: pairs.cost_ratio(mine[number], other[number], run.better(figure))
                  for number in pairs.matched(mine, other)[0]}
        return ratios if pairs.usable(ratios) else None

    def against(self, runs, base):
        """(pairs.Estimate to one base, results in it), each result of the first run that has it.
        None where nothing was measured under both."""
        workloads, seen = {}, set()
        for run in runs:
            for name in self.names(run):
                ratios = None if name in seen else self._ratios(run, name, base)
                if ratios:
                    seen.add(name)
                    workloads.setdefault(run.results[name].get("workload"), {})[name] = ratios
        if not seen:
            return None
        if len(seen) == 1:
            ((ratios,),) = [tuple(found.values()) for found in workloads.values()]
            return pairs.of_ratios(list(ratios.values())), 1
        return pairs.geometric_mean(list(workloads.values())), len(seen)

    def measured(self, runs):
        """What counts: against() the best of the bases. None unless it has them all."""
        found = [self.against(runs, base) for base in self.bases]
        return None if None in found else max(found, key=lambda one: one[0].ratio)


TARGETS = (
    *(Target(f"first touch, {size} blocks", limit, name)
      for (size, name), limit in zip(TOUCHED, (0.20, 0.20, 0.25))),
    *(Target(f"first touch, {size} blocks, to glibc64", 0.6, name, bases=("glibc64",),
             beyond=beyond)
      for (size, name), beyond in zip(TOUCHED, (0.45, None, 0.45))),
    *(Target(f"first touch, {size} blocks, `collapse`", 0.30, name, variant="pg64-collapse")
      for size, name in TOUCHED),
    # 4 MiB more than the 512 MiB that are touched, for its one thread.
    Target("memory: first touch, 4 KiB blocks, `collapse`", 1.008, "touch-4kib", MEMORY,
           variant="pg64-collapse", beyond=1.004),
    Target("faults: heap", 0.065, "touch-4kib", FAULTS, beyond=0.063),
    Target("faults: PostgreSQL, prewarm", 0.0635, "pg-prewarm", FAULTS),
    Target("faults: PostgreSQL, TPC-B", 0.15, "pg-tpcb-4", FAULTS),
    Target("faults: PostgreSQL, sort and hash join", 0.20, ("pg-sort", "pg-join"), FAULTS,
           beyond=0.12),
    Target("PostgreSQL, prewarm", 0.50, "pg-prewarm", beyond=0.42),
    Target("PostgreSQL, sort and hash join", 0.80, ("pg-sort", "pg-join")),
    Target("python3", 0.80, "python3"),
    Target("churn of mixed sizes", 0.40, "churn-mixed-16384-t1"),
    Target("malloc benchmarks, to the best other allocator", 0.95, SMALL, bases=ALLOCATORS),
    Target("memory: large programs", 1.05, LARGE, MEMORY, beyond=0.98),
    Target("memory: small programs", 1.08, SMALL, MEMORY),
    Target("/bin/true", 1.05, "startup"),
    Target("Redis: p99 of SET during BGSAVE", 1.0, "redis-bgsave", "p99_s"),
    Target("Redis: memory held after BGSAVE", 1.02, "redis-bgsave", "held_bytes"),
    Target("Redis: fork of a heap of 1 GiB", 0.5, "redis-bgsave", "fork_s"),
    Target("Redis: the same with dense parts promoted", 0.1, "redis-bgsave", "fork_s",
           variant="pg64-auto", beyond=0.06),
    Target("random reads over 4 GiB, to 2 MiB pages", 1.05, "random-4gib", variant="pg64-auto",
           bases=("glibc2m",)),
    Target("the same, each depends on the last", 1.05, "random-4gib-chase", variant="pg64-auto",
           bases=("glibc2m",)),
    Target("memory: random reads over 4 GiB", 1.05, "random-4gib", MEMORY, variant="pg64-auto"),
    Target("random reads over 4 GiB, to 2 MiB pages, `allow`", 1.05, "random-4gib",
           variant="pg64-allow", bases=("glibc2m",)),
    Target("the same, each depends on the last, `allow`", 1.05, "random-4gib-chase",
           variant="pg64-allow", bases=("glibc2m",)),
    Target("memory: random reads over 4 GiB, `allow`", 1.05, "random-4gib", MEMORY,
           variant="pg64-allow"),
    # Not to glibc2m: a heap that grows by 132 KiB has next to no 2 MiB pages.
    Target("Redis, GET, to pg64 with 2 MiB pages wherever", 1.05, "redis-get", variant="pg64-auto",
           bases=("pg64-allow",)),
    Target("memory: Redis", 1.05, "redis-set", MEMORY, variant="pg64-auto"),
)


def answer(target, estimate):
    """(measured, interval, reached) as a reader sees them."""
    if estimate is None:
        return "not measured", "", ""
    digits = 3 if target.limit < 0.1 else 2
    number = f"{estimate.ratio:.{digits}f}"
    between = "" if estimate.low is None else \
        f"{estimate.low:.{digits}f} to {estimate.high:.{digits}f}"
    if estimate.ratio > target.limit:
        return number, between, "no"
    if between and estimate.high > target.limit:
        return number, between, "yes, not beyond noise"
    return number, between, f"yes; next: {target.beyond:g}" if target.beyond else "yes"


def to_free(target, runs):
    """The ratio to what a user has for free, of a target that is set to glibc alone."""
    found = target.against(runs, "glibc64") if target.bases == ("glibc",) else None
    return f"{found[0].ratio:.{3 if target.limit < 0.1 else 2}f}" if found else ""


def rows(runs, targets=TARGETS):
    """[[target, at most, measured, 95 %, reached, to glibc64]]. A mean says of how many results.

    What was reached is judged by the bases of the target; the last is for who wants to know.
    """
    found = []
    for target in targets:
        estimate, count = target.measured(runs) or (None, 0)
        several = f" ({count} results)" if count > 1 else ""
        found.append([target.text + several, f"{target.limit:g}", *answer(target, estimate),
                      to_free(target, runs)])
    return found


def markdown(lines):
    head = ["target", "at most", "measured", "95 %", "reached", "to glibc64"]
    return "\n".join("| " + " | ".join(cells) + " |"
                     for cells in (head, ["---"] * len(head), *lines))


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="bench/targets", description="Say which targets results of bench/run reach, as a "
        "Markdown table. Ratios to glibc with 4 KiB pages, unless said otherwise.")
    parser.add_argument("result", nargs="+", help="result.json, or its folder; each result is of "
                        "the first one that measured it")
    options, runs = parser.parse_args(argv), []
    for path in options.result:
        try:
            runs.append(Run(record.read(path)))
        except record.RecordError as error:
            print(f"bench/targets: {error}", file=sys.stderr)
            return 2
    print(markdown(rows(runs)))
    return 0
