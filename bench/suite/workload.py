# SPDX-License-Identifier: MIT
"""What the suite measures: the contract between the runner and its workloads.

A *workload* is one thing that is run, a program or a server with its load. A run of it under one
variant (variants.py) is a *sample*, and gives one or more *results*: PostgreSQL is started once and
gives the prewarm, the sort and the join. Each result is a set of figures, one of which is primary.

To add a workload: subclass Workload in a module of this folder and name the class in ALL of
catalogue.py. The runner calls, in this order and from one thread:

    missing()                 -> None, or why it cannot run on this machine, with the mend
    prepare(place)            once: make data, outside of what is measured
    sample(place, variant)    once for each round and variant, knobs set and memory primed
    close(place)              once, on every exit path; ends what prepare() started

A sample does a fixed amount of work and checks that its output is right (raise SampleError if not);
micro benchmarks give a time per operation instead. It runs servers on unix sockets only, and leaves
no process behind.
"""


class SampleError(Exception):
    """The sample is void; the text says why. The runner records it and goes on."""


class Figure:
    """A kind of figure. `better`: "lower" or "higher". Units: s, B, 1/s, count, ratio."""

    def __init__(self, unit, better, label):
        self.unit, self.better, self.label = unit, better, label


# Every name that a sample may use. The suffix is the unit.
FIGURES = {
    "wall_s": Figure("s", "lower", "wall time"),
    "cpu_s": Figure("s", "lower", "CPU time, user and system"),
    "rate": Figure("1/s", "higher", "operations per second"),
    "minor_faults": Figure("count", "lower", "minor faults"),
    "rss_bytes": Figure("B", "lower", "RSS of the largest process: peak, or (micro) at the end"),
    "pss_bytes": Figure("B", "lower", "PSS, all processes"),
    "private_bytes": Figure("B", "lower", "private anonymous memory, all processes"),
    "after_free_bytes": Figure("B", "lower", "RSS after everything was freed"),
    "held_bytes": Figure("B", "lower", "memory held after the child's exit, more than before"),
    "fork_s": Figure("s", "lower", "time of fork()"),
    "p50_s": Figure("s", "lower", "latency, median"),
    "p99_s": Figure("s", "lower", "latency, 99th percentile"),
    "p999_s": Figure("s", "lower", "latency, 99.9th percentile"),
    "tlb_misses": Figure("count", "lower", "data TLB misses (hardware counter)"),
    "coverage": Figure("ratio", "higher", "share of the memory on 64 KiB pages or larger"),
}


# A difference, which what else runs on the machine can make negative.
SIGNED = ("held_bytes",)


class Result:
    """One row of the report. `primary` names the figure that its ratio is made of."""

    def __init__(self, label, primary="wall_s"):
        assert primary in FIGURES, primary
        self.label, self.primary = label, primary


class Workload:
    """See the head of this file. Class attributes describe it; instances may hold state."""

    name = ""  # unique: lower case, digits and dashes
    group = ""  # heading of the report: "first touch", "PostgreSQL", ...
    results = {}  # {name: Result}; names are unique in the whole suite
    quick = False  # part of --quick
    memory_bytes = 0  # what is primed before a sample: the most that it will use
    # About how long one sample and prepare() take, for the first guess of the time left, on 2 cores
    # of an AMD Zen 5 server in a VM with page tables in hardware.
    estimate_s, setup_s = 1.0, 0.0
    quick_needs = None  # (memory_bytes, estimate_s, setup_s) with --quick, where they differ
    # Names of the only variants that make sense here, or None for all of the run's.
    variants = None
    # Variables that the workload sets anyway; a variant's win over them.
    environment = {}
    # {result name: {upper end in ns: events}} of the last sample, where it has latencies one by
    # one: how many took less than that, and not less than the next smaller end.
    histograms = {}

    def scale_down(self):
        """Samples are those of --quick from now on."""
        if self.quick_needs:
            self.memory_bytes, self.estimate_s, self.setup_s = self.quick_needs

    def missing(self):
        """None, or why this machine cannot run it, with the line that mends it."""
        return None

    def prepare(self, place):
        """Make what samples share."""

    def sample(self, place, variant):
        """{result name: {figure name: value}} of one run under a variant."""
        raise NotImplementedError

    def close(self, place):
        """Undo prepare()."""


def check_sample(workload, results):
    """Raise SampleError unless `results` is what workload.sample() may return."""
    if set(results) != set(workload.results):
        raise SampleError(f"{workload.name} gave {sorted(results)}, "
                          f"not {sorted(workload.results)}")
    for name, figures in results.items():
        if workload.results[name].primary not in figures:
            raise SampleError(f"{name} lacks {workload.results[name].primary}")
        for figure, value in figures.items():
            if figure not in FIGURES:
                raise SampleError(f"{name}: unknown figure {figure}")
            if not isinstance(value, (int, float)) or value != value or \
                    (value < 0 and figure not in SIGNED):
                raise SampleError(f"{name}: {figure} is {value!r}")
