#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The statistics of the report: known answers, and simulations of what the intervals cover."""
import math
import unittest

import report_case

report_case.need(("numpy",))

import numpy  # noqa: E402

import pairs  # noqa: E402

TRUTH = 0.8


def rounds(values):
    return dict(enumerate(values, 1))


def covered(count, draw, tries=400, resamples=1000):
    """Share of simulated data sets whose interval holds the true ratio."""
    generator = numpy.random.default_rng(20260102 + count)
    hits = 0
    for _ in range(tries):
        ratios = TRUTH * numpy.exp(draw(generator, count))
        found = pairs.of_ratios(list(ratios), resamples=resamples)
        hits += found.low <= TRUTH <= found.high
    return hits / tries


def normal(generator, count):
    return generator.normal(0, 0.05, count)


def disturbed(generator, count):
    """Small noise, and one in ten samples far off, to either side."""
    far = numpy.where(generator.random(count) < 0.1, generator.choice([-0.3, 0.3], count), 0)
    return generator.normal(0, 0.02, count) + far


def skewed(generator, count):
    return generator.exponential(0.05, count) - 0.05 * math.log(2)


class Coverage(unittest.TestCase):
    """A 95 % interval has to hold the truth in about 95 % of the cases."""

    def test_normal(self):
        for count in (3, 4, 5, 7, 11):
            share = covered(count, normal)
            print(f"normal noise, {count} pairs: {share:.3f}")
            self.assertTrue(0.90 <= share <= 0.985, (count, share))

    def test_seven_pairs(self):
        """What the suite makes by default, with noise of other shapes too."""
        self.assertTrue(0.90 <= covered(7, normal) <= 0.98)
        for draw in (disturbed, skewed):
            share = covered(7, draw)
            print(f"{draw.__name__} noise, 7 pairs: {share:.3f}")
            self.assertTrue(0.90 <= share <= 0.99, (draw.__name__, share))

    def test_plain_percentiles_would_not(self):
        """Why the bootstrap is smoothed."""
        generator, hits = numpy.random.default_rng(7), 0
        for _ in range(400):
            logs = generator.normal(0, 0.05, 7)
            draws = pairs.medians(logs[generator.integers(0, 7, (1000, 7))])
            low, high = numpy.quantile(draws, (0.025, 0.975))
            hits += low <= 0 <= high
        print(f"plain percentile bootstrap, 7 pairs: {hits / 400:.3f}")
        self.assertLess(hits / 400, 0.92)

    def test_geometric_mean(self):
        """Several workloads, one of them with several results that share their samples."""
        generator, hits = numpy.random.default_rng(11), 0
        for _ in range(200):
            workloads = []
            for count in (1, 3, 1, 1):
                shared = generator.normal(0, 0.04, 7)
                workloads.append({
                    f"r{place}": rounds(TRUTH * numpy.exp(shared + generator.normal(0, 0.03, 7)))
                    for place in range(count)})
            found = pairs.geometric_mean(workloads, resamples=500)
            hits += found.low <= TRUTH <= found.high
        print(f"geometric mean of 6 results: {hits / 200:.3f}")
        self.assertGreaterEqual(hits / 200, 0.93)


class KnownAnswers(unittest.TestCase):
    def test_identical(self):
        same = rounds([3.0, 1.0, 2.0, 5.0, 4.0])
        found = pairs.estimate(same, same)
        self.assertEqual((found.ratio, found.low, found.high), (1.0, 1.0, 1.0))
        self.assertEqual((found.verdict, found.pairs, found.dropped), ("same", 5, 0))

    def test_exact_ratio(self):
        base = rounds([3.0, 1.0, 2.0, 5.0])
        found = pairs.estimate({number: value / 4 for number, value in base.items()}, base)
        self.assertEqual((found.ratio, found.low, found.high), (0.25, 0.25, 0.25))
        self.assertEqual(found.verdict, "better")

    def test_drift_cancels(self):
        """Pairs and not medians of sides: a machine that slows down by half changes nothing."""
        base = rounds([1.0, 1.2, 1.4, 1.6, 1.8])
        found = pairs.estimate({number: 1.1 * value for number, value in base.items()}, base)
        self.assertAlmostEqual(found.low, 1.1)
        self.assertAlmostEqual(found.high, 1.1)

    def test_rates_are_turned_over(self):
        found = pairs.estimate(rounds([200.0] * 3), rounds([100.0] * 3), "higher")
        self.assertEqual((found.ratio, found.verdict), (0.5, "better"))

    def test_turned_over(self):
        """A against B is B against A turned over."""
        one, other = rounds([1.0, 1.3, 0.9, 1.1, 1.2]), rounds([1.1, 1.1, 1.2, 0.8, 1.0])
        self.assertAlmostEqual(pairs.estimate(one, other).ratio,
                               1 / pairs.estimate(other, one).ratio)

    def test_repeatable(self):
        one, other = rounds([1.0, 1.3, 0.9, 1.1]), rounds([1.1, 1.1, 1.2, 0.8])
        first, again = pairs.estimate(one, other), pairs.estimate(one, other)
        self.assertEqual((first.low, first.high), (again.low, again.high))
        self.assertTrue(first.low < first.ratio < first.high)

    def test_few(self):
        found = pairs.estimate(rounds([1.0, 2.0]), rounds([2.0, 4.0]))
        self.assertEqual((found.ratio, found.low, found.verdict), (0.5, None, "none"))
        self.assertIn("2 of the 3 pairs", found.why)
        none = pairs.estimate({1: 1.0}, {2: 1.0})
        self.assertEqual((none.ratio, none.dropped), (None, 2))

    def test_dropped(self):
        """Rounds in which one failed, or both."""
        found = pairs.estimate({1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0}, {1: 2.0, 2: 2.0, 3: 2.0},
                               attempted=range(1, 6))
        self.assertEqual((found.pairs, found.dropped, found.ratio), (3, 2, 0.5))

    def test_zeros(self):
        zeros, some = rounds([0, 0, 0]), rounds([5, 6, 7])
        self.assertEqual(pairs.estimate(zeros, zeros).ratio, 1.0)
        found = pairs.estimate(some, zeros)
        self.assertEqual((found.ratio, found.verdict), (None, "none"))
        self.assertIn("divisor is 0", found.why)
        self.assertEqual(pairs.estimate(zeros, some).ratio, 0.0)
        self.assertIsNone(pairs.estimate(zeros, some).low)
        mixed = pairs.estimate(some, rounds([5, 0, 7]))
        self.assertEqual((mixed.ratio, mixed.low, mixed.dropped), (1.0, None, 1))
        self.assertIsNone(pairs.middle(some, zeros))

    def test_geometric_mean(self):
        found = pairs.geometric_mean([{"a": rounds([0.5] * 3)}, {"b": rounds([2.0] * 3)}])
        for value in (found.ratio, found.low, found.high):
            self.assertAlmostEqual(value, 1.0)
        self.assertEqual(found.pairs, 2)
        short = pairs.geometric_mean([{"a": rounds([0.5] * 3)}, {"b": rounds([2.0] * 2)}])
        self.assertEqual((round(short.ratio, 9), short.low), (1.0, None))
        self.assertIsNone(pairs.geometric_mean([]).ratio)
        self.assertIsNone(pairs.geometric_mean([{"a": rounds([0.0, 1, 1])}]).ratio)

    def test_shared_samples_do_not_count_twice(self):
        """Four results of the same samples are as sure as one, not twice as sure."""
        ratios = rounds(numpy.exp(numpy.random.default_rng(3).normal(0, 0.1, 9)))
        one = pairs.geometric_mean([{"a": ratios}])
        four = pairs.geometric_mean([{name: ratios for name in "abcd"}])
        self.assertAlmostEqual(math.log(four.high / four.low) / math.log(one.high / one.low), 1,
                               delta=0.05)

    def test_pareto(self):
        points = {"a": (1, 1), "b": (0.5, 2), "c": (2, 2), "d": (1, 1), "e": (0.5, 2.1)}
        self.assertEqual(pairs.pareto(points), {"a", "b", "d"})


if __name__ == "__main__":
    unittest.main(verbosity=1)
