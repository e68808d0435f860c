#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/targets: that each ratio is the one which its target names, and what is said of it."""
import os
import tempfile
import unittest

import report_case

report_case.need(("numpy",))

import catalogue  # noqa: E402
import report_synthetic as synthetic  # noqa: E402
import targets  # noqa: E402
import variants  # noqa: E402
from results import Run  # noqa: E402
from targets import Target  # noqa: E402

# Result: {variant: (wall_s, rate, minor_faults, rss_bytes)}
EXACT = {
    "one": {"glibc": (2.0, 10.0, 1000, 100), "mimalloc": (1.0, 20.0, 1000, 200),
            "jemalloc": (4.0, 5.0, 1000, 50), "pg64": (0.5, 40.0, 50, 110)},
    "two": {"glibc": (2.0, 10.0, 1000, 100), "mimalloc": (2.0, 10.0, 1000, 100),
            "jemalloc": (2.0, 10.0, 1000, 100), "pg64": (8.0, 2.5, 200, 440)},
}


def exact(rounds=3, names=("one", "two"), primary="wall_s", missing=()):
    """A run without noise, whose ratios can be told by heart."""
    data = synthetic.make(rounds=rounds, variants=("glibc", "mimalloc", "jemalloc", "pg64"),
                          workloads={"pair": [(name, [(name, name, primary)]) for name in names]})
    for sample in data["samples"]:
        for name, figures in sample["results"].items():
            figures.clear()
            figures.update(zip(("wall_s", "rate", "minor_faults", "rss_bytes"),
                               EXACT[name][sample["variant"]]))
    data["samples"] = [sample for sample in data["samples"] if sample["variant"] not in missing]
    return Run(data)


def cells(target, *runs):
    """All but the last cell: these runs have no glibc64."""
    found = targets.rows(runs, [target])[0]
    assert found[-1] == "", found
    return found[:-1]


class Ratios(unittest.TestCase):
    def test_one_result(self):
        self.assertEqual(cells(Target("t", 0.3, "one"), exact()),
                         ["t", "0.3", "0.25", "0.25 to 0.25", "yes"])
        self.assertEqual(cells(Target("t", 0.2, "one"), exact())[2:], ["0.25", "0.25 to 0.25",
                                                                      "no"])

    def test_other_base_and_variant(self):
        self.assertEqual(cells(Target("t", 1, "one", bases=("mimalloc",)), exact())[2], "0.50")
        self.assertEqual(cells(Target("t", 1, "one", variant="jemalloc"), exact())[2], "2.00")

    def test_rates_are_turned_over(self):
        self.assertEqual(cells(Target("t", 1, "one"), exact(primary="rate"))[2], "0.25")

    def test_figures(self):
        self.assertEqual(cells(Target("t", 0.06, "one", targets.FAULTS), exact())[2], "0.050")
        self.assertEqual(cells(Target("t", 1, "one", targets.MEMORY), exact())[2], "1.10")

    def test_mean_over_results_and_groups(self):
        for results in (("one", "two"), ("group:pair",)):
            self.assertEqual(cells(Target("t", 1, results), exact())[:3],
                             ["t (2 results)", "1", "1.00"])  # 1/4 and 4

    def test_a_mean_over_results_of_several_runs(self):
        """Each of the first run that has it: twice 1/4 once, and 4."""
        target = Target("t", 1, ("group:pair",))
        one, two = exact(names=("one",)), exact(names=("two",))
        self.assertEqual(cells(target, one, two)[:3], ["t (2 results)", "1", "1.00"])
        self.assertEqual(cells(target, one, exact())[:3], ["t (2 results)", "1", "1.00"])
        self.assertEqual(cells(target, one)[:3], ["t", "1", "0.25"])

    def test_best_of_several_bases(self):
        """pg64 to mimalloc is 1/2 and to jemalloc 1/8: mimalloc is the better one."""
        self.assertEqual(cells(Target("t", 1, "one", bases=("jemalloc", "mimalloc")), exact())[2],
                         "0.50")

    def test_what_is_free(self):
        run = exact()
        run.variants["glibc64"] = run.variants["jemalloc"]
        for result in EXACT:
            for figure in ("wall_s", "minor_faults"):
                run.values_of[result, "glibc64", figure] = run.values(result, "jemalloc", figure)
        self.assertEqual(targets.rows([run], [Target("t", 1, "one")])[0][-1], "0.12")  # 1/8
        self.assertEqual(targets.rows([run], [Target("t", 0.09, "one", targets.FAULTS)])[0][-1],
                         "0.050")
        self.assertEqual(targets.rows([run], [Target("t", 1, "one", bases=("mimalloc",))])[0][-1],
                         "")

    def test_not_measured(self):
        nothing = ["t", "1", "not measured", "", ""]
        self.assertEqual(cells(Target("t", 1, "three"), exact()), nothing)
        self.assertEqual(cells(Target("t", 1, "one", variant="tcmalloc"), exact()), nothing)
        self.assertEqual(cells(Target("t", 1, "one", "p99_s"), exact()), nothing)
        # The best of three is not known where one of the three is missing.
        self.assertEqual(cells(Target("t", 1, "one", bases=("jemalloc", "mimalloc")),
                               exact(missing=("mimalloc",))), nothing)

    def test_first_run_that_has_it(self):
        other = exact(names=("two",))
        self.assertEqual(cells(Target("t", 1, "one"), other, exact())[2], "0.25")

    def test_few_rounds_have_no_interval(self):
        self.assertEqual(cells(Target("t", 0.3, "one"), exact(rounds=2))[2:], ["0.25", "", "yes"])

    def test_what_comes_after(self):
        for limit, wanted in ((0.3, "yes; next: 0.1"), (0.2, "no")):
            self.assertEqual(cells(Target("t", limit, "one", beyond=0.1), exact())[-1], wanted)

    def test_noise_over_the_limit_is_said(self):
        run = Run(synthetic.make(noise=0.2, variants=("glibc", "pg64")))
        estimate, _ = Target("t", 1, "touch-4k").measured([run])
        limit = (estimate.ratio + estimate.high) / 2
        self.assertEqual(cells(Target("t", limit, "touch-4k"), run)[4], "yes, not beyond noise")


class Table(unittest.TestCase):
    def test_names_are_of_the_suite(self):
        """A name that is spelled wrong would be `not measured` for ever."""
        results = {name for workload in catalogue.ALL for name in workload.results}
        groups = {workload.group for workload in catalogue.ALL}
        for target in targets.TARGETS:
            for name in target.results:
                if name.startswith("group:"):
                    self.assertIn(name.removeprefix("group:"), groups)
                else:
                    self.assertIn(name, results)
            self.assertLess(target.beyond or 0, target.limit)
            for name in (target.variant, *target.bases):
                self.assertIn(name, variants.ALL)

    def test_command(self):
        with tempfile.TemporaryDirectory() as folder:
            done = report_case.program("targets", report_case.save(synthetic.make(), folder))
            self.assertEqual(done.returncode, 0, done.stderr)
            lines = done.stdout.splitlines()
            self.assertEqual(len(lines), 2 + len(targets.TARGETS))
            self.assertTrue(all(line.count("|") == 7 for line in lines))
            done = report_case.program("targets", os.path.join(folder, "none"))
            self.assertEqual(done.returncode, 2)
            self.assertIn("none", done.stderr)

    def test_other_json_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            done = report_case.program("targets", report_case.save({}, folder))
        self.assertEqual(done.returncode, 2)
        self.assertIn("no result of bench/run", done.stderr)


if __name__ == "__main__":
    unittest.main()
