# SPDX-License-Identifier: MIT
"""Every ratio of a report, made once: by figure, baseline, result and variant."""
import functools

import pairs

# What is compared, in this order: key, heading, the figures of which a result's first one counts.
# An empty tuple is the result's primary figure.
METRICS = {
    "time": ("Time, or time per operation", ()),
    "faults": ("Minor faults", ("minor_faults",)),
    "memory": ("Memory (PSS of all processes, or else peak RSS)", ("pss_bytes", "rss_bytes")),
    "private": ("Private anonymous memory of all processes", ("private_bytes",)),
    "after": ("RSS a second after everything was freed", ("after_free_bytes",)),
    "held": ("Memory held after the child's exit", ("held_bytes",)),
    "fork": ("Time of fork()", ("fork_s",)),
    "p99": ("Latency, 99th percentile", ("p99_s",)),
    "p999": ("Latency, 99.9th percentile", ("p999_s",)),
}
# Faults and memory repeat so exactly that nothing is too small to be told apart; less is not named.
EXACT = ("faults", "memory", "private", "after", "held")
NAMED = {metric: 0.01 if metric in EXACT else 0.0 for metric in METRICS}
# What a heap holds after a child's exit beside what it has is next to nothing with 4 KiB pages:
# ratios to less than this say nothing, in bytes. The tables of all numbers have it.
LEAST_HELD = 8 << 20
CONTROL = "pg64-base"
# With less than this many rounds a report says that it is a first look.
FEW_ROUNDS = 5


class Analysis:
    """The numbers of one results.Run."""

    def __init__(self, run, resamples=pairs.RESAMPLES):
        self.run, self.resamples = run, resamples
        self.bases, self.variants, self.groups = run.baselines(), run.measured(), run.groups()
        self.results = [result for members in self.groups.values() for result in members]

    def figure(self, metric, result):
        """Name of the figure that a metric means for a result, or None if it has none."""
        names = METRICS[metric][1] or (self.run.primary(result),)
        for name in names:
            values = [list(found.values()) for variant in self.variants
                      if (found := self.run.values(result, variant, name))]
            if values and (metric != "held" or min(map(min, values)) >= LEAST_HELD):
                return name
        return None

    def metrics(self):
        """Those that at least one result has."""
        return [metric for metric in METRICS
                if any(self.figure(metric, result) for result in self.results)]

    @functools.lru_cache(maxsize=None)
    def estimate(self, metric, base, result, variant):
        """pairs.Estimate, or None where one of the two was not measured."""
        name = self.figure(metric, result)
        if name is None or variant == base:
            return None
        mine = self.run.values(result, variant, name)
        other = self.run.values(result, base, name)
        if not mine or not other:
            return None
        attempted = self.run.attempted(result, variant) & self.run.attempted(result, base)
        return pairs.estimate(mine, other, self.run.better(name), attempted,
                              resamples=self.resamples)

    def _ratios(self, metric, base, result, variant):
        name = self.figure(metric, result)
        mine = self.run.values(result, variant, name)
        other = self.run.values(result, base, name)
        return {number: pairs.cost_ratio(mine[number], other[number], self.run.better(name))
                for number in pairs.matched(mine, other)[0]}

    @functools.lru_cache(maxsize=None)
    def mean(self, metric, base, variant, group=None):
        """(Estimate of the geometric mean, results in it, results that the baseline has)."""
        workloads, possible = {}, 0
        for result in self.groups.get(group, []) if group else self.results:
            name = self.figure(metric, result)
            if name is None or not self.run.values(result, base, name):
                continue
            possible += 1
            ratios = self._ratios(metric, base, result, variant)
            if ratios and pairs.usable(ratios):
                workload = self.run.results[result].get("workload")
                workloads.setdefault(workload, {})[result] = ratios
        found = pairs.geometric_mean(list(workloads.values()), resamples=self.resamples)
        return found, found.pairs, possible

    def verdicts(self, base, variant):
        """{"better": [result], "same": ..., "worse": ..., "none": ...} of the primary figures."""
        found = {"better": [], "same": [], "worse": [], "none": []}
        for result in self.results:
            estimate = self.estimate("time", base, result, variant)
            if estimate:
                found[estimate.verdict].append(result)
        return found

    def named(self, base, variant, verdict):
        """[(result, [(metric, Estimate)])] where a variant is "better" or "worse", most first."""
        found = []
        for result in self.results:
            entries = []
            for metric in self.metrics():
                estimate = self.estimate(metric, base, result, variant)
                if estimate and estimate.verdict == verdict and \
                        abs(estimate.ratio - 1) >= NAMED[metric]:
                    entries.append((metric, estimate))
            if entries:
                found.append((result, entries))
        turn = 1 if verdict == "better" else -1
        return sorted(found, key=lambda entry: (entry[1][0][0] != "time",
                                                turn * entry[1][0][1].ratio))

    def ours(self):
        """The variants of pg64 that are no control; `pg64` itself first."""
        mine = [name for name in self.variants
                if self.run.family(name) == "pg64" and name != CONTROL]
        return sorted(mine, key=lambda name: name != "pg64")

    def plane(self, group=None):
        """{variant: (time ratio, memory ratio)} to glibc, over the results that have both.

        All variants over the same results, as means over others cannot be compared: of what was
        measured under all variants, if anything was (a run may have been cut), or else variants
        that have all of glibc's results.
        """
        if "glibc" not in self.bases:
            return {}, 0
        every = [{variant: self.estimate_pair(result, variant) for variant in self.variants}
                 for result in (self.groups[group] if group else self.results)
                 if self.figure("memory", result)
                 and self.estimate_pair(result, "glibc") is not None]
        kept = [found for found in every if all(found.values())] or every
        points = {}
        for variant in self.variants:
            both = [found[variant] for found in kept]
            if both and all(both):
                points[variant] = tuple(pairs.mean_of(axis) for axis in zip(*both))
        return points, len(kept)

    def estimate_pair(self, result, variant):
        """(time ratio, memory ratio) to glibc, (1, 1) for itself, or None."""
        found = []
        for metric in ("time", "memory"):
            name = self.figure(metric, result)
            ratio = pairs.middle(self.run.values(result, variant, name),
                                 self.run.values(result, "glibc", name), self.run.better(name))
            if not ratio:
                return None
            found.append(ratio)
        return tuple(found)

    def cautions(self):
        """What a reader has to know before the first number, as sentences."""
        run, found = self.run, []
        least, most = run.rounds_done()
        if not self.results:
            found.append("This result has no good sample.")
        elif most < pairs.LEAST_PAIRS:
            found.append(f"Only {most} round{'s' if most > 1 else ''}: no intervals, so nothing "
                         "here tells a gain or a loss from noise.")
        elif least < FEW_ROUNDS:
            more = "bench/run --rounds" if run.data.get("level") == "full" else "bench/run --full"
            found.append(f"Some numbers rest on {least} rounds only: a first look, with wide "
                         f"intervals. {more} gives more.")
        if not run.data.get("ended"):
            found.append("The run was not finished: later rounds are missing.")
        for name in ("glibc", "glibc64"):
            if name not in self.bases:
                found.append(f"{name} was not measured: there are no ratios to it.")
        failed = sum(not failure["repeated"] for failure in run.failures)
        if failed:
            found.append(f"{failed} sample{'s' if failed > 1 else ''} failed: left out, and listed "
                         f"below.")
        return found
