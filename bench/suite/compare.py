# SPDX-License-Identifier: MIT
"""Compare two runs of the suite, with a verdict that knows noise.

- A *change* is NEW / OLD of a cost (rates are turned over): above 1 is worse. Samples of two runs
  are no pairs, so it is the median of the ratios of each new sample to each old one
  (Hodges-Lehmann), and both sides are resampled for its interval (95 %, smoothed bootstrap).
- The *control*, glibc, is the same program in both runs: what changes in it is the day of the
  machine. Its change is taken out of all others. How the controls of single results differ from
  each other, beyond their noise, decides how much of it is taken result by result and how much as
  the mean of all (a random-effects mean, DerSimonian-Laird): a mean alone would hide that a slow
  day hits page faults more than arithmetic, and single ones would add their noise.
- *worse* and *better* need both: a change of at least the minimal effect, and a p-value (Student's
  t on the bootstrapped error, which comparisons lend each other: noise.py) that passes
  Benjamini-Hochberg at 5 % among all comparisons of the same kind of figure. So of 40
  comparisons of a program with itself about one has a false `worse` among its times, however many
  results there are, provided that runs of the same thing differ by no more than the noise within
  them. The interval is of one comparison alone and borrows nothing.
- *same*: the interval lies within the minimal effect. *cannot tell*: none of these, which is what
  few rounds on a noisy machine give.
- Faults are counts that repeat: medians are compared as they are, with a tolerance, without the
  control. tests/bench/report_compare.py simulates the false alarms and what is found.
"""
import math

import numpy

import noise
import pairs

CONTROL = "glibc"
RESAMPLES = 4000
MINIMAL_EFFECT = 0.02
# Faults: more than this share and this number apart is a change.
FAULTS = "minor_faults"
FAULTS_SHARE, FAULTS_NUMBER = 0.02, 64
# Compared besides the primary figure and faults when not all figures are asked for.
MEMORY = ("pss_bytes", "rss_bytes")
SAME_PLACE = ("cpu", "cpus", "memory_bytes", "kernel", "distribution", "hypervisor", "page_bytes")


class Change:
    """One compared figure. `ratio`, `low`, `high`: NEW / OLD without the control's change."""

    def __init__(self, result, variant, figure, count):
        self.result, self.variant, self.figure = result, variant, figure
        self.count = count  # samples in (OLD, NEW)
        self.medians = None  # values in (OLD, NEW)
        self.ratio = self.low = self.high = self.p = None
        self.shift = None  # logarithm of the ratio, its error, freedom, the control's error
        self.verdict, self.why = "cannot tell", ""

    def record(self):
        """For --json."""
        return {name: getattr(self, name) for name in (
            "result", "variant", "figure", "count", "medians", "ratio", "low", "high", "p",
            "verdict", "why")}


class Shift:
    """A difference of logarithms with its error: `value`, `error`, `freedom`, `draws`."""

    def __init__(self, old, new, seed, resamples):
        old, new = numpy.log(old), numpy.log(new)
        self.value = float(pairs.medians((new[:, None] - old[None, :]).reshape(1, -1))[0])
        drawn = [pairs.smoothed(side, seed + place, resamples)
                 for place, side in enumerate((old, new))]
        differences = drawn[1][:, :, None] - drawn[0][:, None, :]
        self.draws = pairs.medians(differences.reshape(resamples, -1))
        self.error = float(self.draws.std())
        parts = [side.var(ddof=1) / len(side) for side in (old, new)]
        below = sum(part ** 2 / (len(side) - 1) for part, side in zip(parts, (old, new)))
        self.freedom = sum(parts) ** 2 / below if below else math.inf


def costs(run, result, variant, figure):
    """The values of a figure as costs: rates are turned over. Zeros stay."""
    values = list(run.values(result, variant, figure).values())
    if run.better(figure) == "higher":
        return [1 / value if value else math.inf for value in values]
    return values


def usable(values):
    return len(values) >= pairs.LEAST_PAIRS and all(0 < value < math.inf for value in values)


def common(old, new, all_figures=False):
    """[(result, variant, figure)] that both runs have, in the order of NEW."""
    found = []
    for result in new.results:
        if result not in old.results or old.primary(result) != new.primary(result):
            continue
        memory = next((name for name in MEMORY if name == new.memory(result) == old.memory(result)),
                      None)
        wanted = list(new.figures) if all_figures else [new.primary(result), FAULTS, memory]
        for variant in new.variants:
            found += [(result, variant, figure) for figure in dict.fromkeys(wanted)
                      if figure and old.values(result, variant, figure)
                      and new.values(result, variant, figure)]
    return found


def _faults(change, old, new):
    """The verdict on counts: medians, as they are."""
    before, after = change.medians
    change.ratio = after / before if before else None
    apart = abs(after - before)
    if apart <= FAULTS_NUMBER or apart <= FAULTS_SHARE * before:
        change.verdict = "same"
    else:
        change.verdict = "worse" if after > before else "better"
    if min(len(old), len(new)) < pairs.LEAST_PAIRS:
        change.why = "few samples"


def _measure(change, old, new, control, resamples):
    """Ratio, interval and p-value of one figure; `control`: (shift, error)."""
    if not (usable(old) and usable(new)):
        change.why = f"fewer than {pairs.LEAST_PAIRS} samples" \
            if min(len(old), len(new)) < pairs.LEAST_PAIRS else "a measured value is 0"
        return
    shift = Shift(old, new, pairs.SEED, resamples)
    chance = numpy.random.default_rng(pairs.SEED + 2).standard_normal(resamples)
    value = shift.value - control[0]
    change.ratio = math.exp(value)
    change.low, change.high = pairs.interval(shift.draws - control[0] - control[1] * chance,
                                             min(len(old), len(new)))
    change.low, change.high = min(change.low, change.ratio), max(change.high, change.ratio)
    change.shift = value, shift.error, shift.freedom, control[1]


def _judge(changes, effect):
    """Verdicts of the measured changes of one kind of figure."""
    tested = [change for change in changes if change.shift]
    errors = noise.moderated([change.shift[1] for change in tested],
                             [change.shift[2] for change in tested])
    for change, (error, freedom) in zip(tested, errors):
        error = math.hypot(error, change.shift[3])
        value = change.shift[0]
        if error:
            change.p = noise.student_tail(value / error, freedom)
        else:
            change.p = 0.0 if value else 1.0
    passed = noise.benjamini_hochberg([change.p for change in tested])
    for change, told in zip(tested, passed):
        limit = math.log1p(effect)
        if told and abs(math.log(change.ratio)) >= limit:
            change.verdict = "worse" if change.ratio > 1 else "better"
        elif math.log(change.high) <= limit and math.log(change.low) >= -limit:
            change.verdict = "same"
        else:
            change.why = "too noisy"


def compare(old, new, effect=MINIMAL_EFFECT, control=CONTROL, all_figures=False,
            resamples=RESAMPLES):
    """(changes, {figure kind: {result: (shift, error)}}) of two results.Run."""
    entries = common(old, new, all_figures)
    kinds = {}
    for result, variant, figure in entries:
        kind = "primary" if figure == new.primary(result) else figure
        kinds.setdefault(kind, []).append((result, variant, figure))
    changes, controls = [], {}
    for kind, members in kinds.items():
        shifts = {}
        for result, variant, figure in members:
            sides = [costs(run, result, variant, figure) for run in (old, new)]
            if variant == control and kind != FAULTS and all(usable(side) for side in sides):
                shifts[result] = Shift(*sides, pairs.SEED + 10, resamples)
        controls[kind] = noise.control_shifts(shifts)
        judged = []
        for result, variant, figure in members:
            sides = [costs(run, result, variant, figure) for run in (old, new)]
            change = Change(result, variant, figure, tuple(len(side) for side in sides))
            change.medians = tuple(
                float(numpy.median(list(run.values(result, variant, figure).values())))
                for run in (old, new))
            if figure == FAULTS:
                _faults(change, *sides)
            else:
                is_control = variant == control and result in controls[kind]
                _measure(change, *sides,
                         (0.0, 0.0) if is_control else controls[kind].get(result, (0.0, 0.0)),
                         resamples)
                if is_control:
                    change.verdict, change.why = "control", "taken out of the others"
                else:
                    judged.append(change)
            changes.append(change)
        _judge(judged, effect)
    return changes, controls


def differences(old, new):
    """Sentences on what else differs between the runs: it may be the cause of any change."""
    found = []
    for name in SAME_PLACE:
        before, after = old.machine.get(name), new.machine.get(name)
        if before != after:
            found.append(f"another {name}: {before!r}, now {after!r}")
    for name in ("level",):
        before, after = old.data.get(name), new.data.get(name)
        if before != after:
            found.append(f"another {name}: {before!r}, now {after!r}")
    before, after = old.data.get("knobs") or {}, new.data.get("knobs") or {}
    knobs = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    if knobs:
        found.append("knobs were set otherwise: " + ", ".join(
            f"{name} {before.get(name)!r}, now {after.get(name)!r}" for name in knobs[:6])
            + (f" and {len(knobs) - 6} more" if len(knobs) > 6 else ""))
    before, after = old.data.get("versions") or {}, new.data.get("versions") or {}
    found += [f"another version of {name}: {before.get(name)}, now {after.get(name)}"
              for name in sorted({*before, *after})
              if name not in ("pg64", "sources") and before.get(name) != after.get(name)]
    for name in new.variants:
        if name in old.variants:
            lines = [{key: run.variants[name].get(key)
                      for key in ("env", "preload", "setting", "knobs")} for run in (old, new)]
            if lines[0] != lines[1]:
                keys = [key for key in lines[0] if lines[0][key] != lines[1][key]]
                found.append(f"variant {name} was set up otherwise: {', '.join(keys)}")
    return found


def unmatched(old, new):
    """Sentences on results and variants that only one of the runs has."""
    found = []
    for what, one, other in (("results", old.results, new.results),
                             ("variants", old.variants, new.variants)):
        for label, these, those in (("OLD", one, other), ("NEW", other, one)):
            names = [name for name in these if name not in those]
            if names:
                found.append(f"{what} only in {label}: {', '.join(names)}")
    return found
