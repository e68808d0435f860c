# SPDX-License-Identifier: MIT
"""Ratios of paired samples, and how sure they are. Pure functions; numbers in, numbers out.

One convention everywhere: a ratio is a *cost* ratio, below 1 is better. Figures of which more is
better (rates, coverage) are inverted for it.

- A *pair* is the samples of two variants in the same round: they ran minutes apart at most, so
  what drifts on the machine is in both and cancels. A round in which one of the two failed is
  dropped and counted.
- The *estimate* is the median of the pairs' ratios. Disturbances on a shared machine go one way
  and are large; one of them moves a mean of seven pairs and hardly their median. A median of
  ratios does not change its meaning when it is turned over, either.
- The *interval* (95 %) is a smoothed percentile bootstrap over pairs, of logarithms, with a fixed
  seed. The plain one is no good here: the median of few pairs takes few values, and its interval
  covers the truth in 87 % of the cases with 7 pairs, in 74 % with 3. Each resampled value gets
  normal noise of the pairs' standard deviation / sqrt(n), which makes the resampled variance the
  unbiased one. With 3 and 4 pairs the percentiles are moved out by Student's t as well. Of 4,000
  simulated data sets each that covers, with 3, 4, 5, 7 and 11 pairs, 91, 95, 94, 94 and 95 % for
  normal noise, 94 to 99 % with one sample in ten far off, and 90 to 95 % for skewed noise.
  tests/bench/report_pairs.py simulates it again.
- Fewer than 3 pairs have no interval.
"""
import functools
import math
from statistics import NormalDist

import numpy

LEVEL = 0.95
RESAMPLES = 10_000
SEED = 6464
LEAST_PAIRS = 3
# Below this many pairs the percentiles are widened: see the head of this file.
ENOUGH_PAIRS = 5
# 97.5 % quantiles of Student's t with 2 and 3 degrees of freedom.
STUDENT = {3: 4.3027, 4: 3.1824}


class Estimate:
    """A ratio with its interval. `low` and `high` are None when there is none; `why` tells then.

    ratio is None when there is not one pair that gives a ratio. `pairs` were used, `dropped`
    rounds were not, because one of the two samples failed or gave no such figure.
    """

    def __init__(self, ratio, low, high, pairs, dropped=0, why=None):
        self.ratio, self.low, self.high = ratio, low, high
        self.pairs, self.dropped, self.why = pairs, dropped, why

    @property
    def verdict(self):
        """"better" or "worse" (the interval excludes 1), "same" (includes it), or "none"."""
        if self.low is None:
            return "none"
        if self.high < 1:
            return "better"
        return "worse" if self.low > 1 else "same"

    def __repr__(self):
        return f"Estimate({self.ratio}, {self.low}, {self.high}, pairs={self.pairs})"


def cost_ratio(value, base, better="lower"):
    """value / base for costs, base / value for rates. 1 if both are 0, None if only the divisor."""
    if better == "higher":
        value, base = base, value
    if base == 0:
        return 1.0 if value == 0 else None
    return value / base


def matched(values, base):
    """(rounds that both have, number of rounds that only one has) of two {round: value}."""
    both = sorted(set(values) & set(base))
    return both, len(set(values) | set(base)) - len(both)


def tails(pairs):
    """The lower and upper probability that the percentiles of `pairs` resampled pairs are at."""
    if pairs >= ENOUGH_PAIRS:
        low = (1 - LEVEL) / 2
    else:
        low = NormalDist().cdf(-STUDENT[pairs])
    return low, 1 - low


def medians(rows):
    """Medians along the last axis; several times as fast as numpy's for few columns."""
    rows = numpy.sort(rows, axis=-1)
    half = rows.shape[-1] // 2
    return rows[..., half] if rows.shape[-1] % 2 else rows[..., half - 1:half + 1].mean(axis=-1)


@functools.lru_cache(maxsize=64)
def _drawn(count, resamples, seed):
    """What chance gives for `count` pairs: which are drawn, and standard normal noise.

    Kept, because the seed is the same for hundreds of results, and to draw takes longest.
    """
    rng = numpy.random.default_rng(seed)
    return rng.integers(0, count, (resamples, count)), rng.standard_normal((resamples, count))


@functools.lru_cache(maxsize=8)
def _drawn_together(count, resamples, seed):
    """The same for results that share samples: noise for each of the pairs they share."""
    rng = numpy.random.default_rng(seed)
    return (rng.integers(0, count, (resamples, count)),
            rng.standard_normal((resamples, count, count), dtype=numpy.float32))


def resampled(logs, seed=SEED, resamples=RESAMPLES):
    """Medians of smoothed resamples. `logs`: results × rounds that were measured together.

    Returns results × resamples. The same rounds are drawn for all results, and their noise has
    the covariance of the results, so that what samples share stays shared.
    """
    logs = numpy.atleast_2d(numpy.asarray(logs, dtype=float))
    count = logs.shape[1]
    residues = (logs - logs.mean(axis=1, keepdims=True)) / math.sqrt((count - 1) * count)
    if logs.shape[0] == 1:
        if logs.min() == logs.max():
            return numpy.full((1, resamples), logs[0, 0])
        drawn, noise = _drawn(count, resamples, seed)
        noise = noise * math.sqrt((residues ** 2).sum())
    else:
        drawn, noise = _drawn_together(count, resamples, seed)
        noise = numpy.tensordot(residues, noise, axes=(1, 2))
    return medians(logs[:, drawn] + noise)


def interval(draws, pairs):
    """(low, high) as ratios, of resampled logarithms."""
    low, high = numpy.quantile(draws, tails(pairs))
    return float(math.exp(low)), float(math.exp(high))


def of_ratios(ratios, dropped=0, seed=SEED, resamples=RESAMPLES):
    """The Estimate of a list of pair ratios; None in it is a pair with a zero divisor."""
    good = [ratio for ratio in ratios if ratio is not None]
    undefined = len(ratios) - len(good)
    if not good:
        return Estimate(None, None, None, 0, dropped,
                        "the divisor is 0" if undefined else "no round has both samples")
    middle = float(numpy.median(good))
    if undefined:
        return Estimate(middle, None, None, len(good), dropped + undefined,
                        f"the divisor is 0 in {undefined} of {len(ratios)} pairs")
    if len(good) < LEAST_PAIRS:
        return Estimate(middle, None, None, len(good), dropped,
                        f"{len(good)} of the {LEAST_PAIRS} pairs that an interval needs")
    if min(good) == 0:
        return Estimate(middle, None, None, len(good), dropped, "a measured value is 0")
    logs = numpy.log(good)
    low, high = interval(resampled(logs, seed, resamples), len(good))
    # A percentile interval need not hold the median of the sample itself; a reader expects it to.
    return Estimate(middle, min(low, middle), max(high, middle), len(good), dropped)


def estimate(values, base, better="lower", attempted=(), seed=SEED, resamples=RESAMPLES):
    """The Estimate of two {round: value}; `attempted`: rounds in which either may have failed."""
    both, single = matched(values, base)
    lost = len(set(attempted) - set(values) - set(base))
    return of_ratios([cost_ratio(values[number], base[number], better) for number in both],
                     single + lost, seed, resamples)


def middle(values, base, better="lower"):
    """The median of the pair ratios without an interval, or None."""
    ratios = [cost_ratio(values[number], base[number], better)
              for number in matched(values, base)[0]]
    good = [ratio for ratio in ratios if ratio is not None]
    return float(numpy.median(good)) if good else None


def geometric_mean(workloads, seed=SEED, resamples=RESAMPLES):
    """The Estimate of the geometric mean of results. `workloads`: a list of {result: {round: r}}.

    Every result counts once. The results of a workload come from the same samples, so their
    rounds are drawn together; different workloads are drawn independently. The interval is about
    the noise of these workloads: it says nothing of workloads that were not measured.
    """
    middles, draws, fewest, short = [], [], math.inf, 0
    for place, results in enumerate(workloads):
        results = [ratios for ratios in results.values() if usable(ratios)]
        if not results:
            continue
        shared = sorted(set.intersection(*(set(ratios) for ratios in results)))
        middles += [math.log(float(numpy.median(list(ratios.values())))) for ratios in results]
        if len(shared) < LEAST_PAIRS:
            short += 1
            continue
        fewest = min(fewest, len(shared))
        draws += list(resampled(numpy.log([[ratios[number] for number in shared]
                                           for ratios in results]), seed + place, resamples))
    if not middles:
        return Estimate(None, None, None, 0, why="no result has a ratio")
    mean = math.exp(sum(middles) / len(middles))
    if short:
        return Estimate(mean, None, None, len(middles),
                        why=f"{short} workloads have fewer than {LEAST_PAIRS} pairs")
    low, high = interval(sum(draws) / len(draws), fewest)
    return Estimate(mean, min(low, mean), max(high, mean), len(middles))


def usable(ratios):
    """Can these {round: ratio} be part of a geometric mean? Not with a 0 on either side."""
    return bool(ratios) and all(ratio for ratio in ratios.values())


def pareto(points):
    """Names of the points that no other one beats; {name: (cost, cost)}, less is better.

    Beaten: another one is at most as dear in both and less so in one.
    """
    return {name for name, (x, y) in points.items()
            if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points.values())}


def mean_of(ratios):
    """The plain geometric mean of positive ratios."""
    return math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios))


def smoothed(logs, seed=SEED, resamples=RESAMPLES):
    """Smoothed resamples themselves, resamples × samples; for statistics other than medians."""
    logs = numpy.asarray(logs, dtype=float)
    drawn, noise = _drawn(len(logs), resamples, seed)
    return logs[drawn] + noise * (logs.std(ddof=1) / math.sqrt(len(logs)))
