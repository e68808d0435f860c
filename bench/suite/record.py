# SPDX-License-Identifier: MIT
"""The record of a run: a folder with one header and the raw samples, as they come.

    header.json      what is measured, where and how; written once
    samples.jsonl    one sample a line, appended and synced: an interrupted run goes on from it
    result.json      both in one file, for reports and comparisons; written at the end

result.json, format "pg64-bench-1":
    format, started, ended    ISO 8601, UTC; ended is null until all that was planned was tried
    command                   list of words
    level                     "quick" or "full"
    rounds                    rounds that were asked for
    machine                   {"cpu", "cpus", "memory_bytes", "kernel", "distribution",
                               "hypervisor", "page_bytes", "tlb_counters", "fault_ns",
                               "system_call_ns", "damon", ...}
    knobs                     {knob: value} as found before the run
    versions                  {program or library: version}; "pg64" has the commit, "sources" a
                              digest of what was measured and what measured it
    variants                  {name: {"label", "family", "env", "preload", "setting", "knobs"}}
    results                   {name: {"label", "group", "primary", "workload"}}, in report order
    figures                   {name: {"unit", "better", "label"}}
    skips                     [{"what": variant or workload, "why": text}]
    late                      workloads that were not finished when the time was up
    samples                   [{"workload", "variant", "round" (from 1), "at_s" (since the start),
                                "results": {result: {figure: number}},
                                "histograms": {result: {upper end in ns: events}}, if any}
                               or, in place of "results", {"error": text}]
"""
import json
import os

from workload import FIGURES

FORMAT = "pg64-bench-1"


class RecordError(Exception):
    """A record cannot be read or written; the text says which and why."""


def _write(path, value):
    """Whole or not at all."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)


class Record:
    """A run's folder. Not for two processes at once."""

    def __init__(self, folder):
        self.folder = folder
        self.header, self.samples = None, []

    def _path(self, name):
        return os.path.join(self.folder, name)

    def create(self, header):
        """Start a new record; RecordError if the folder has one."""
        os.makedirs(self.folder, exist_ok=True)
        if os.path.exists(self._path("header.json")):
            raise RecordError(f"{self.folder} has a run in it: go on with it by "
                              f"--resume {self.folder}, or name another folder")
        self.header = {"format": FORMAT, **header, "ended": None, "figures": {
            name: {"unit": figure.unit, "better": figure.better, "label": figure.label}
            for name, figure in FIGURES.items()}}
        _write(self._path("header.json"), self.header)
        return self

    def resume(self):
        """Read what is there. A last line that was cut off is dropped, and its sample made anew."""
        try:
            with open(self._path("header.json"), encoding="utf-8") as file:
                self.header = json.load(file)
        except (OSError, ValueError) as error:
            raise RecordError(f"{self.folder} has no run to go on with: {error}") from None
        if self.header.get("format") != FORMAT:
            raise RecordError(f"{self.folder}: format {self.header.get('format')!r}, "
                              f"not {FORMAT!r}")
        kept = b""
        try:
            with open(self._path("samples.jsonl"), "rb") as file:
                data = file.read()
        except FileNotFoundError:
            data = b""
        for line in data.splitlines(keepends=True):
            try:
                sample = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break
            self.samples.append(sample)
            kept += line
        if kept != data:
            with open(self._path("samples.jsonl"), "wb") as file:
                file.write(kept)
        return self

    def add(self, sample):
        """Append one sample; it is on the disk when this returns."""
        self.samples.append(sample)
        with open(self._path("samples.jsonl"), "a", encoding="utf-8") as file:
            file.write(json.dumps(sample) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def has(self, workload, variant, number):
        """Is this sample there, and good?"""
        return any(sample["workload"] == workload and sample["variant"] == variant
                   and sample["round"] == number and "results" in sample
                   for sample in self.samples)

    def finish(self, ended, late=()):
        """Write result.json; its path. `late`: workloads that are not done, so the run is not."""
        path = self._path("result.json")
        _write(path, {**self.header, "ended": None if late else ended, "late": list(late),
                      "samples": self.samples})
        return path


def read(path):
    """The contents of a result.json, or of the folder that holds it. RecordError if it is none."""
    if os.path.isdir(path):
        path = os.path.join(path, "result.json")
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise RecordError(f"{path} is no result of bench/run (format {FORMAT})")
    return found
