# SPDX-License-Identifier: MIT
"""Statistics of many comparisons at once: what they lend each other, and what they cost each other.

Pure functions; tests/bench/report_compare.py has them do known answers and made-up runs.
"""
import math

import numpy

FALSE_DISCOVERIES = 0.05
# Below this many comparisons their spread says nothing.
ENOUGH_COMPARISONS = 8


def control_shifts(shifts):
    """{result: (shift, error)} of the control, drawn to their mean as far as noise explains them.

    `shifts`: {result: Shift}.
    """
    if not shifts:
        return {}
    values = numpy.array([shift.value for shift in shifts.values()])
    noise = numpy.array([max(shift.error, 1e-9) ** 2 for shift in shifts.values()])
    weight = 1 / noise
    mean = (weight * values).sum() / weight.sum()
    excess = (weight * (values - mean) ** 2).sum() - (len(values) - 1)
    scale = weight.sum() - (weight ** 2).sum() / weight.sum()
    spread = max(excess / scale, 0.0) if scale > 0 else 0.0
    total = 1 / (noise + spread)
    mean, mean_noise = (total * values).sum() / total.sum(), 1 / total.sum()
    own = spread / (spread + noise)
    drawn = own * values + (1 - own) * mean
    error = numpy.sqrt(own * noise + (1 - own) ** 2 * mean_noise)
    return {result: (float(shift), float(wrong))
            for result, shift, wrong in zip(shifts, drawn, error)}


def student_tail(t, freedom):
    """Two-sided p-value of Student's t, by integrating the density's tail."""
    t = abs(t)
    if math.isinf(t):
        return 0.0
    if math.isinf(freedom):
        return math.erfc(t / math.sqrt(2))
    constant = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) \
        / math.sqrt(freedom * math.pi)
    part = (numpy.arange(2000) + 0.5) / 2000
    x = t + part / (1 - part)
    density = constant * (1 + x * x / freedom) ** (-(freedom + 1) / 2) / (1 - part) ** 2
    return min(1.0, float(2 * density.mean()))


def benjamini_hochberg(values, level=FALSE_DISCOVERIES):
    """Which of the p-values are discoveries at this rate of false ones; a list of bool."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    last = -1
    for rank, place in enumerate(order):
        if values[place] <= level * (rank + 1) / len(values):
            last = rank
    passed = set(order[:last + 1])
    return [place in passed for place in range(len(values))]


def digamma(x):
    """The derivative of log gamma, for x > 0."""
    below = 0.0
    while x < 8:
        below, x = below - 1 / x, x + 1
    square = 1 / (x * x)
    return below + math.log(x) - 0.5 / x - square * (1 / 12 - square * (1 / 120 - square / 252))


def trigamma(x):
    """The derivative of digamma, for x > 0."""
    above = 0.0
    while x < 8:
        above, x = above + 1 / (x * x), x + 1
    square = 1 / (x * x)
    return above + 1 / x + square / 2 + square / x * (1 / 6 - square * (1 / 30 - square / 42))


def moderated(errors, freedoms):
    """[(error, freedom)]: errors drawn to their common size, as far as they have one.

    Seven samples tell their own noise badly; the noise of a hundred comparisons on one machine
    tells more. How far the errors really differ, beyond what chance makes of so few samples,
    decides how much is lent (Smyth 2004, the moderated t). Comparisons that were not noisy at all
    neither lend nor borrow.
    """
    use = [place for place, (error, freedom) in enumerate(zip(errors, freedoms))
           if error > 1e-9 and math.isfinite(freedom)]
    found = list(zip(errors, freedoms))
    if len(use) < ENOUGH_COMPARISONS:
        return found
    logs = [2 * math.log(errors[place]) - digamma(freedoms[place] / 2)
            + math.log(freedoms[place] / 2) for place in use]
    center = sum(logs) / len(logs)
    excess = sum((log - center) ** 2 for log in logs) / (len(logs) - 1) \
        - sum(trigamma(freedoms[place] / 2) for place in use) / len(use)
    low, high = 0.05, 500.0  # half of the freedom that is lent
    if excess <= trigamma(high):
        low = high
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if trigamma(middle) > excess else (low, middle)
    lent = 2 * low
    common = math.exp(center + digamma(lent / 2) - math.log(lent / 2))
    for place in use:
        own = freedoms[place]
        variance = (lent * common + own * errors[place] ** 2) / (lent + own)
        found[place] = math.sqrt(variance), own + lent
    return found
