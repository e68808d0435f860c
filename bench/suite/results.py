# SPDX-License-Identifier: MIT
"""A result.json by its rows and columns: what reports and comparisons ask of it.

Nothing here needs the runner or the machine that was measured; whatever a file lacks is told by
an empty answer and never by an exception.
"""
import statistics

from variants import BASELINES

# Memory for the plane and the tables: the first of these that a result has.
MEMORY = ("pss_bytes", "rss_bytes")


class Run:
    """`data`: what record.read() returned."""

    def __init__(self, data):
        self.data = data
        self.machine = data.get("machine") or {}
        self.results = data.get("results") or {}
        self.figures = data.get("figures") or {}
        self.variants = data.get("variants") or {}
        self.values_of, self.rounds_of, self.failures = {}, {}, []
        self._sort(data.get("samples") or [])

    def _sort(self, samples):
        good = {(sample["workload"], sample["variant"], sample["round"])
                for sample in samples if "results" in sample}
        for sample in samples:
            key = sample["workload"], sample["variant"], sample["round"]
            self.rounds_of.setdefault(key[:2], set()).add(key[2])
            if "results" not in sample:
                self.failures.append({**sample, "repeated": key in good})
                continue
            for result, figures in sample["results"].items():
                for figure, value in figures.items():
                    place = self.values_of.setdefault((result, sample["variant"], figure), {})
                    place[sample["round"]] = value

    def values(self, result, variant, figure):
        """{round: value} of the good samples."""
        return self.values_of.get((result, variant, figure), {})

    def histogram(self, result, variant):
        """{upper end in ns: events} over all good samples, with the ends in order; or empty."""
        total = {}
        for sample in self.data.get("samples") or []:
            if sample["variant"] == variant and "results" in sample:
                for end, count in sample.get("histograms", {}).get(result, {}).items():
                    total[int(end)] = total.get(int(end), 0) + count
        return dict(sorted(total.items()))

    def attempted(self, result, variant):
        """Rounds in which the workload of a result was tried under a variant."""
        return self.rounds_of.get((self.results[result].get("workload"), variant), set())

    def primary(self, result):
        """Name of the figure that the ratio of a result is made of."""
        return self.results[result].get("primary", "wall_s")

    def memory(self, result):
        """The memory figure of a result, or None."""
        for figure in MEMORY:
            if any(self.values(result, variant, figure) for variant in self.variants):
                return figure
        return None

    def better(self, figure):
        """"lower" or "higher"."""
        return self.figures.get(figure, {}).get("better", "lower")

    def label(self, variant):
        return self.variants[variant].get("label") or variant

    def family(self, variant):
        return self.variants[variant].get("family") or variant

    def baselines(self):
        """The baselines that this run has samples of."""
        measured = {variant for _, variant, _ in self.values_of}
        return [name for name in BASELINES if name in self.variants and name in measured]

    def measured(self):
        """Variants with at least one good sample, in the file's order."""
        measured = {variant for _, variant, _ in self.values_of}
        return [name for name in self.variants if name in measured]

    def groups(self):
        """{group: [result]} in report order, of results with at least one good sample."""
        measured = {result for result, _, _ in self.values_of}
        found = {}
        for name, result in self.results.items():
            if name in measured:
                found.setdefault(result.get("group") or "other", []).append(name)
        return found

    def rounds_done(self):
        """(least, most) good rounds over the workloads and variants that have any."""
        counts = [len(self.values(result, variant, self.primary(result)))
                  for result in self.results for variant in self.variants]
        counts = [count for count in counts if count]
        return (min(counts), max(counts)) if counts else (0, 0)


def spread(values):
    """(median, least, most) of a {round: value}, or None."""
    if not values:
        return None
    return statistics.median(values.values()), min(values.values()), max(values.values())
