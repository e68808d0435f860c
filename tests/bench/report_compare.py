#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/compare: false alarms and what it finds in made-up runs, its numbers, and its words."""
import json
import math
import os
import sys
import tempfile
import unittest

import report_case

report_case.need(("numpy",))

import numpy  # noqa: E402

import compare  # noqa: E402
import noise  # noqa: E402
import report_synthetic as synthetic  # noqa: E402
from results import Run  # noqa: E402

FEW = {"programs": [(name, [(name, name, "wall_s")]) for name in
                    ("one", "two", "three", "four", "five", "six", "seven", "eight")]}
# Enough for verdicts, which go by the error of the resamples and not by their tails.
RESAMPLES = 200


def made(seed, **options):
    """A run without memory figures: times are what the simulations are about."""
    data = synthetic.make(seed, **{"variants": synthetic.QUICK, "workloads": FEW, **options})
    for sample in data["samples"]:
        for figures in sample["results"].values():
            del figures["rss_bytes"]
    return Run(data)


def verdicts(old, new, **options):
    found, _ = compare.compare(old, new, resamples=RESAMPLES, **options)
    return {(change.result, change.variant, change.figure): change for change in found}


class Noise(unittest.TestCase):
    def test_false_alarms(self):
        """100 comparisons of a program with itself: no `worse` in 95 of them."""
        alarms = 0
        for seed in range(100):
            found = verdicts(made(2 * seed), made(2 * seed + 1))
            alarms += any(change.verdict == "worse" for change in found.values())
        print(f"false alarms: {alarms} of 100 comparisons of {len(FEW['programs'])} results")
        self.assertLessEqual(alarms, 5)

    def test_planted(self):
        """10 % slower, with 3 % noise and 7 rounds, on a day on which all is 5 % slower."""
        hits = 0
        for seed in range(20):
            slower = made(1000 + 2 * seed, drift=math.log(1.05), slower={("three", "pg64"): 1.1})
            found = verdicts(made(1001 + 2 * seed), slower)
            change = found["three", "pg64", "wall_s"]
            hits += change.verdict == "worse"
        print(f"planted slowdowns found: {hits} of 20")
        self.assertGreaterEqual(hits, 17)

    def test_slow_day(self):
        """The control takes a slower day out; without it, it looks like a slower pg64."""
        old, new = made(1, noise=0.01), made(2, noise=0.01, drift=math.log(1.2))
        self.assertFalse([change for change in verdicts(old, new).values()
                          if change.verdict in ("worse", "better")])
        found = verdicts(old, new, control="")
        self.assertEqual(found["one", "pg64", "wall_s"].verdict, "worse")
        self.assertAlmostEqual(found["one", "pg64", "wall_s"].ratio, 1.2, delta=0.03)

    def test_better(self):
        old, new = made(1), made(2, slower={("two", "pg64"): 0.7})
        change = verdicts(old, new)["two", "pg64", "wall_s"]
        self.assertEqual(change.verdict, "better")
        self.assertTrue(change.low < 0.7 < change.high, change.record())

    def test_same_and_cannot_tell(self):
        quiet = verdicts(made(1, noise=0.002), made(2, noise=0.002))
        self.assertEqual(quiet["one", "pg64", "wall_s"].verdict, "same")
        loud = verdicts(made(1, noise=0.1), made(2, noise=0.1))
        self.assertEqual(loud["one", "pg64", "wall_s"].verdict, "cannot tell")
        few = verdicts(made(1, rounds=2), made(2, rounds=2))
        self.assertIn("fewer than 3", few["one", "pg64", "wall_s"].why)

    def test_identical(self):
        run = made(1)
        for change in verdicts(run, run).values():
            self.assertIn(change.verdict, ("same", "cannot tell", "control"))

    def test_rates(self):
        workloads = {"g": [("w", [("r", "r", "rate")])]}
        old = made(1, noise=0.01, workloads=workloads)
        new = made(2, noise=0.01, workloads=workloads, slower={("r", "pg64"): 1.3})
        change = verdicts(old, new)["r", "pg64", "rate"]
        self.assertEqual(change.verdict, "worse")
        self.assertLess(change.medians[1], change.medians[0])

    def test_faults(self):
        data = synthetic.make(2, variants=synthetic.QUICK, workloads=FEW)
        for sample in data["samples"]:
            if sample["variant"] == "pg64" and sample["workload"] == "two":
                sample["results"]["two"]["minor_faults"] *= 2
            if sample["variant"] == "pg64" and sample["workload"] == "four":
                sample["results"]["four"]["minor_faults"] += 30
        found = verdicts(made(1), Run(data))
        self.assertEqual(found["two", "pg64", "minor_faults"].verdict, "worse")
        self.assertEqual(found["four", "pg64", "minor_faults"].verdict, "same")


class Numbers(unittest.TestCase):
    def test_student(self):
        for t, freedom, wanted in ((2.4469, 6, 0.05), (4.3027, 2, 0.05), (3.0545, 12, 0.01),
                                   (0.0, 5, 1.0), (1.959964, math.inf, 0.05)):
            self.assertAlmostEqual(noise.student_tail(t, freedom), wanted, delta=2e-4)

    def test_gamma(self):
        self.assertAlmostEqual(noise.digamma(1), -0.5772156649, delta=1e-8)
        self.assertAlmostEqual(noise.trigamma(1), math.pi ** 2 / 6, delta=1e-8)

    def test_benjamini_hochberg(self):
        self.assertEqual(noise.benjamini_hochberg([0.001, 0.5, 0.02, 0.03]),
                         [True, False, True, True])
        self.assertEqual(noise.benjamini_hochberg([0.02, 0.5, 0.6, 0.7]), [False] * 4)
        self.assertEqual(noise.benjamini_hochberg([]), [])

    def test_moderated(self):
        generator = numpy.random.default_rng(5)
        errors = [float(math.sqrt(value)) for value in generator.chisquare(12, 50) / 12]
        drawn = noise.moderated(errors + [0.0], [12] * 51)
        self.assertLess(numpy.std([error for error, _ in drawn[:50]]), numpy.std(errors) / 3)
        self.assertEqual(drawn[50], (0.0, 12))
        apart = [error * 10 ** (place % 4) for place, error in enumerate(errors)]
        kept = noise.moderated(apart, [12] * 50)
        for before, (after, _) in zip(apart, kept):
            self.assertTrue(0.5 < after / before < 2)
        self.assertEqual(noise.moderated([1.0, 2.0], [6, 6]), [(1.0, 6), (2.0, 6)])


class Program(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def save(self, name, data):
        return report_case.save(data, os.path.join(self.folder, name))

    def made(self, name, seed, change=None, **options):
        data = synthetic.make(seed, variants=synthetic.QUICK, workloads=FEW, **options)
        if change:
            change(data)
        return self.save(name, data)

    def test_worse(self):
        old = self.made("old", 1)
        new = self.made("new", 2, slower={("six", "pg64"): 1.3})
        said = report_case.program("compare", old, os.path.dirname(new))
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertRegex(said.stdout.splitlines()[1], r"^worse +six +pg64 +wall_s")
        self.assertIn("control glibc: changed to", said.stdout)
        self.assertEqual(said.stderr, "")
        self.assertEqual(report_case.program("compare", old, new, "--fail-on-worse").returncode, 1)
        self.assertEqual(report_case.program("compare", old, old, "--fail-on-worse").returncode, 0)

    def test_json(self):
        said = report_case.program("compare", "--json", self.made("old", 1), self.made("new", 2))
        found = json.loads(said.stdout)
        self.assertEqual(found["warnings"], [])
        self.assertEqual(len(found["changes"]), 8 * 5 * 3)
        self.assertEqual(found["minimal_effect"], 0.02)

    def test_other_machine(self):
        def change(data):
            data["machine"]["kernel"] = "6.19.0"
            data["knobs"]["enabled"] = "always"
            data["level"] = "quick"
            data["versions"]["glibc"] = "2.41"
            data["variants"]["pg64"]["env"] = {"PG64_X": "1"}
        said = report_case.program("compare", self.made("old", 1), self.made("new", 2, change))
        self.assertEqual(said.returncode, 0)
        for piece in ("THE RUNS DIFFER", "another kernel: '6.18.0', now '6.19.0'",
                      "another level: 'full', now 'quick'", "enabled 'madvise', now 'always'",
                      "another version of glibc: 2.36, now 2.41",
                      "variant pg64 was set up otherwise: env"):
            self.assertIn(piece, said.stderr)

    def test_no_control(self):
        def change(data):
            data["samples"] = [sample for sample in data["samples"]
                               if sample["variant"] != "glibc"]
        said = report_case.program("compare", self.made("old", 1), self.made("new", 2, change))
        self.assertIn("no control", said.stderr)

    def test_broken(self):
        good, broken = self.made("good", 1), os.path.join(self.folder, "broken.json")
        for content in ("{", "[]", '{"format": "other"}',
                        '{"format": "pg64-bench-1", "samples": 3}'):
            with open(broken, "w", encoding="utf-8") as file:
                file.write(content)
            said = report_case.program("compare", good, broken)
            self.assertEqual(said.returncode, 2, content)
            self.assertIn("broken.json", said.stderr)
            self.assertNotIn("Traceback", said.stderr)
        self.assertEqual(report_case.program("compare", good, broken + ".gone").returncode, 2)
        self.assertEqual(report_case.program("compare", good).returncode, 2)

    def test_nothing_in_common(self):
        other = self.save("other", synthetic.make(
            1, variants=synthetic.QUICK, workloads={"g": [("x", [("x", "x", "wall_s")])]}))
        said = report_case.program("compare", self.made("old", 1), other)
        self.assertEqual(said.returncode, 0)
        self.assertIn("nothing to compare", said.stdout)
        self.assertIn("results only in NEW: x", said.stderr)


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=1))
