# SPDX-License-Identifier: MIT
"""Runs workloads under variants, in turn, and records every sample.

For each workload, round by round: all variants, beginning with another one each round, so that
what drifts (temperature, the host's memory, other guests) meets all of them alike. Before each
sample the knobs of its variant are set and memory is primed. Samples that are in the record are
not made again, so that an interrupted run goes on.
"""
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time

import knobs
import pages
import pg64test
from place import Place
from workload import SampleError, check_sample


# Of a sample, beside the workload's own estimate: knobs are set, memory is primed.
AROUND_S = 0.5


class Clock:
    """Progress lines, and how long the rest will take: estimates first, then what was seen."""

    def __init__(self, out=sys.stderr):
        self.begin, self.out = time.monotonic(), out
        self.seen = {}  # (workload, variant) -> seconds of its last sample
        self.prepared = set()  # names of workloads

    def elapsed(self):
        return time.monotonic() - self.begin

    def note(self, workload, variant, seconds):
        self.seen[workload.name, variant.name] = seconds

    def expect(self, workload, variant):
        """Seconds of one sample with all that belongs to it."""
        known = [seconds for (name, _), seconds in self.seen.items() if name == workload.name]
        last = self.seen.get((workload.name, variant.name))
        return last or (sum(known) / len(known) if known else workload.estimate_s + AROUND_S)

    def left(self, todo):
        """Seconds of samples, and of setting up what has not been."""
        ahead = {workload.name: workload.setup_s for workload, _, _ in todo
                 if workload.name not in self.prepared}
        return sum(ahead.values()) + sum(self.expect(workload, variant)
                                         for workload, _, variant in todo)

    def say(self, text, left=None):
        ahead = "" if left is None else f", {left / 60:.0f} min left" if left >= 90 else \
            f", {left:.0f} s left"
        print(f"[{self.elapsed():5.0f} s{ahead}] {text}", file=self.out, flush=True)


class Settings:
    """The kernel's knobs for the length of a run. Without the right to set them, only variants
    whose settings are those that are found can run."""

    def __init__(self):
        self.found = knobs.state()
        self.held = None

    def __enter__(self):
        names = {name: value for name, value in self.found.items() if name.endswith("enabled")}
        held = knobs.Knobs(names)
        try:
            held.__enter__()
            self.held = held
        except knobs.Unavailable as reason:
            self.why = str(reason)
        return self

    def missing(self, variant):
        """None, or why this variant's knobs cannot be had."""
        if self.held:
            return None
        differ = [name for name, value in variant.knobs().items()
                  if self.found.get(name) != value]
        return f"its knobs cannot be set: {self.why}" if differ else None

    def apply(self, variant):
        if self.held:
            self.held.change(variant.knobs())

    def drifted(self):
        return self.held.drifted() if self.held else {}

    def __exit__(self, *exc):
        if self.held:
            self.held.__exit__(*exc)
        return False


@contextlib.contextmanager
def workplace(build, quick):
    """A Place in a temporary folder; nothing of it is left afterwards, whatever happens."""
    folder = os.path.realpath(tempfile.mkdtemp(prefix="pg64-bench."))
    os.chmod(folder, 0o755)  # servers run as another user
    try:
        yield Place(build, folder, quick)
    finally:
        old = signal.pthread_sigmask(signal.SIG_BLOCK, knobs.SIGNALS)
        try:
            pg64test.end_strays(folder)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)


def order(variants, number):
    """The variants in the order of round `number` (from 1): every other round backwards, and after
    two rounds another one first, so that two variants make A B, B A, B A, A B."""
    shift = (number - 1) // 2 % len(variants)
    turned = [*variants[shift:], *variants[:shift]]
    return turned if number % 2 else turned[::-1]


def suits(workload, variant):
    return workload.variants is None or variant.name in workload.variants


def plan(workloads, variants, rounds, record):
    """[(workload, round, variant)] of the samples that are not in the record yet."""
    return [(workload, number, variant)
            for workload in workloads
            for number in range(1, rounds + 1)
            for variant in order(variants, number)
            if suits(workload, variant)
            and not record.has(workload.name, variant.name, number)]


class Run:
    """One run over a plan. `deadline_s`: no round of a workload begins that would not have ended
    by then, in seconds after the start. A part of a round could not be compared."""

    def __init__(self, record, settings, build, quick=False, deadline_s=None, clock=None):
        self.record, self.settings, self.build = record, settings, build
        self.quick, self.deadline_s = quick, deadline_s
        self.clock = clock or Clock()
        self.failed = 0

    def out_of_time(self, todo):
        """Does `todo` begin with samples of a round that could not be ended?"""
        ahead = sum(self.clock.expect(workload, variant) for workload, number, variant in todo
                    if (workload, number) == todo[0][:2])
        return self.deadline_s is not None and self.clock.elapsed() + ahead > self.deadline_s

    def one(self, place, workload, number, variant):
        """Make one sample and record it, its failure as well."""
        at = self.clock.elapsed()
        sample = {"workload": workload.name, "variant": variant.name, "round": number,
                  "at_s": round(at, 1)}
        self.settings.apply(variant)
        pages.prime(min(workload.memory_bytes, pages.available_bytes() // 2), variant.collapses)
        try:
            results = workload.sample(place, variant)
            check_sample(workload, results)
            drifted = self.settings.drifted()
            if drifted:
                raise SampleError("somebody else changed " + ", ".join(sorted(drifted)))
            sample["results"] = results
            if workload.histograms:
                sample["histograms"] = workload.histograms
        except (SampleError, OSError, ValueError) as error:
            sample["error"] = str(error) or repr(error)
            self.failed += 1
        self.record.add(sample)
        self.clock.note(workload, variant, self.clock.elapsed() - at)
        return sample

    def workload(self, workload, todo, rest):
        """All samples of one workload. `rest`: what comes after them, for the time left."""
        with workplace(self.build, self.quick) as place:
            try:
                self.clock.say(f"{workload.name}: preparing", self.clock.left(todo + rest))
                workload.prepare(place)
                self.clock.prepared.add(workload.name)
                for index, (_, number, variant) in enumerate(todo):
                    first = index == 0 or number != todo[index - 1][1]
                    if first and self.out_of_time(todo[index:]):
                        return False
                    sample = self.one(place, workload, number, variant)
                    self.clock.say(f"{workload.name}, round {number}: {variant.name}: "
                                   f"{told(workload, sample)}",
                                   self.clock.left(todo[index + 1:] + rest))
            finally:
                workload.close(place)
        return True

    def all(self, todo):
        """Work off a plan; the names of workloads for which the time was up."""
        names = list(dict.fromkeys(item[0].name for item in todo))
        late = []
        for position, name in enumerate(names):
            mine = [item for item in todo if item[0].name == name]
            rest = [item for item in todo if item[0].name in names[position + 1:]]
            workload, _, variant = mine[0]
            if self.out_of_time(mine):
                late.append(name)
                continue
            try:
                if not self.workload(workload, mine, rest):
                    late.append(name)
            except (SampleError, OSError, ValueError) as error:
                self.failed += 1
                self.record.add({"workload": name, "variant": variant.name, "round": 0,
                                 "at_s": round(self.clock.elapsed(), 1),
                                 "error": f"could not be prepared: {error}"})
                self.clock.say(f"{name}: could not be prepared: {error}")
        return late


def told(workload, sample):
    """One line of what came out."""
    if "error" in sample:
        return f"FAILED: {sample['error']}"
    said = []
    for name, result in list(workload.results.items())[:3]:
        value = sample["results"][name][result.primary]
        short = name.removeprefix(workload.name + "-")
        said.append(f"{'' if short == workload.name else short + ' '}{value:.4g}")
    return ", ".join(said) + (" ..." if len(workload.results) > 3 else "")
