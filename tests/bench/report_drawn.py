#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is drawn: dots, full where a ratio is told from 1 and only there; the plane of a cut run."""
import re
import unittest
from unittest import mock

import report_case

report_case.need(("numpy", "matplotlib"))

from matplotlib import colors, pyplot  # noqa: E402

import charts  # noqa: E402
import pictures  # noqa: E402
import report_synthetic as synthetic  # noqa: E402
from analysis import Analysis  # noqa: E402
from results import Run  # noqa: E402

# Result: wall_s of pg64 in each round, where glibc's is 1.
TIMES = {"told": (0.5, 0.52, 0.48), "noise": (0.7, 1.0, 1.4), "alone": (0.6, None, None)}
WANTED = {"told": "full", "noise": "hollow", "alone": "bare"}


def measured():
    data = synthetic.make(rounds=3, variants=("glibc", "pg64"), workloads={
        "one": [(name, [(name, name, "wall_s")]) for name in TIMES]})
    kept = []
    for sample in data["samples"]:
        time = TIMES[sample["workload"]][(sample["round"] - 1) % 3]
        if time is not None:
            for figures in sample["results"].values():
                figures.clear()
                figures["wall_s"] = time if sample["variant"] == "pg64" else 1.0
            kept.append(sample)
    return Analysis(Run({**data, "samples": kept}), 300)


class Dots(unittest.TestCase):
    def setUp(self):
        self.analysis = measured()
        self.estimates = {name: self.analysis.estimate("time", "glibc", name, "pg64")
                          for name in TIMES}

    def test_kinds(self):
        self.assertEqual({name: charts.dot_kind(estimate)
                          for name, estimate in self.estimates.items()}, WANTED)

    def test_page(self):
        axis = charts.Axis.around([0.4, 1.6], 0.03)
        for name, estimate in self.estimates.items():
            drawn = charts.forest_mark(axis, estimate, "pg64")
            self.assertEqual(re.findall(r'class="dot (\w+)"', drawn), [WANTED[name]])

    def test_picture(self):
        with mock.patch.object(pictures, "_save") as save:
            pictures.ratios(self.analysis, "time", "title", "unused.png")
        figure = save.call_args.args[0]
        self.addCleanup(pyplot.close, figure)
        dots = {round(float(line.get_xdata()[0]), 2): colors.to_hex(line.get_markerfacecolor())
                for line in figure.axes[0].lines if line.get_marker() == "o"}
        full = pictures.COLOURS["pg64"]
        self.assertEqual(dots, {0.5: full, 1.0: "#ffffff", 0.6: "#ffffff"})


class Plane(unittest.TestCase):
    """A run whose time was up in the middle of a round has its other results in the plane."""

    def points(self, without):
        data = synthetic.make(rounds=3, variants=("glibc", "pg64"), workloads={
            "one": [(name, [(name, name, "wall_s")]) for name in TIMES]})
        for sample in data["samples"]:
            for figures in sample["results"].values():
                figures["rss_bytes"] = 100
        data["samples"] = [sample for sample in data["samples"]
                           if (sample["workload"], sample["variant"]) not in without]
        return Analysis(Run(data), 300).plane()

    def test_one_result_of_one_variant(self):
        points, results = self.points([("alone", "pg64")])
        self.assertEqual((sorted(points), results), (["glibc", "pg64"], 2))

    def test_nothing_that_all_have(self):
        points, results = self.points([(name, "pg64") for name in TIMES if name != "told"]
                                      + [("told", "glibc")])
        self.assertEqual((sorted(points), results), (["glibc"], 2))


if __name__ == "__main__":
    unittest.main()
