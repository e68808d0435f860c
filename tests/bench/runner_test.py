#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The benchmark runner: order, records, resumption, failures, knobs. Its workloads here are fakes;
one test runs bench/run itself and ends it in the middle."""
import argparse
import contextlib
import ctypes
import fcntl
import importlib.machinery
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path[:0] = [os.path.join(ROOT, "bench", "suite"), os.path.join(ROOT, "tests", "lib")]
sys.dont_write_bytecode = True

import knobs  # noqa: E402
import machine  # noqa: E402
import pages  # noqa: E402
import runner  # noqa: E402
import variants  # noqa: E402
from place import Place  # noqa: E402
from record import Record, RecordError, read  # noqa: E402
from workload import Result, SampleError, Workload, check_sample  # noqa: E402

BUILD = os.environ.get("PG64_BUILD", os.path.join(ROOT, "build"))
GLIBC, PG64 = variants.ALL["glibc"], variants.ALL["pg64"]


class Fake(Workload):
    name, group, results = "fake", "fakes", {"fake": Result("a fake")}

    def __init__(self, fail_on=()):
        self.fail_on, self.log = set(fail_on), []

    def prepare(self, place):
        self.log.append("prepare")
        self.folder = place.folder

    def sample(self, place, variant):
        self.log.append(variant.name)
        if len(self.log) - 1 in self.fail_on:
            raise SampleError("planted")
        return {"fake": {"wall_s": float(len(self.log))}}

    def close(self, place):
        self.log.append("close")


class NoSettings:
    """No knobs are touched."""

    def __init__(self, drift=()):
        self.applied, self.drift = [], dict.fromkeys(drift)

    def apply(self, variant):
        self.applied.append(variant.name)

    def drifted(self):
        return self.drift


class Case(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = os.path.join(self.temporary.name, "run")

    def record(self):
        return Record(self.folder).create({"level": "quick"})

    def run_all(self, workload, record, rounds=2, settings=None, **options):
        options.setdefault("clock", runner.Clock(io.StringIO()))
        run = runner.Run(record, settings or NoSettings(), BUILD, **options)
        todo = runner.plan([workload], [GLIBC, PG64], rounds, record)
        return run, run.all(todo)


class Order(unittest.TestCase):
    def test_every_round_has_each_variant_once(self):
        for number in range(1, 9):
            self.assertEqual(sorted(runner.order([1, 2, 3, 4, 5], number)), [1, 2, 3, 4, 5])

    def test_no_variant_is_always_first(self):
        first = {runner.order([1, 2, 3], number)[0] for number in range(1, 7)}
        self.assertEqual(first, {1, 2, 3})

    def test_a_pair_is_not_always_in_the_same_order(self):
        orders = [runner.order(["a", "b"], number) for number in range(1, 5)]
        self.assertIn(["a", "b"], orders)
        self.assertIn(["b", "a"], orders)


def command():
    """bench/run as a module, with workloads that no other test has scaled down."""
    loader = importlib.machinery.SourceFileLoader("bench_run", os.path.join(ROOT, "bench", "run"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


class Estimates(Case):
    """What `--quick` says that it will take, on the machines that the estimates are for."""

    QUICK_S = 300

    def test_a_quick_run_is_five_minutes(self):
        run = command()
        workloads = run.choose_workloads("quick", [])
        before = [(w.memory_bytes, w.estimate_s, w.setup_s) for w in workloads]
        for workload in workloads:
            workload.scale_down()
        todo = runner.plan(workloads, run.choose_variants("quick", None),
                           run.ROUNDS["quick"], self.record())
        takes = runner.Clock(io.StringIO()).left(todo)
        for workload, found in zip(workloads, before):
            workload.memory_bytes, workload.estimate_s, workload.setup_s = found
        self.assertLessEqual(takes, self.QUICK_S)
        self.assertGreater(takes, self.QUICK_S * 0.8, "it could show more")

    def test_a_quick_run_shows_all_sorts(self):
        groups = {workload.group for workload in command().choose_workloads("quick", [])}
        self.assertGreaterEqual(groups, {
            "start-up", "first touch", "malloc and free", "random reads", "malloc benchmarks",
            "PostgreSQL", "Redis", "programs"})
        self.assertGreaterEqual(set(variants.QUICK), {"glibc", "glibc64", "pg64-base", "pg64"})

    def test_setting_up_counts_until_it_is_done(self):
        workload = Fake()
        workload.estimate_s, workload.setup_s = 2.0, 7.0
        todo = runner.plan([workload], [GLIBC, PG64], 1, self.record())
        run = runner.Run(Record(self.folder + "2").create({}), NoSettings(), BUILD,
                         clock=runner.Clock(io.StringIO()))
        self.assertEqual(run.clock.left(todo), 7 + 2 * (2 + runner.AROUND_S))
        run.all(todo)
        self.assertLess(run.clock.left(todo), 7)


class Samples(Case):
    def test_a_run_is_complete_and_closed(self):
        workload = Fake()
        run, late = self.run_all(workload, self.record())
        self.assertEqual((run.failed, late), (0, []))
        self.assertEqual(workload.log[0], "prepare")
        self.assertEqual(workload.log[-1], "close")
        self.assertEqual(len(run.record.samples), 4)
        self.assertFalse(os.path.exists(workload.folder))
        self.assertEqual(len(run.settings.applied), 4)

    def test_histograms_are_recorded(self):
        class Measured(Fake):
            histograms = {"fake": {512: 3}}
        record = self.record()
        self.run_all(Measured(), record)
        self.assertEqual([sample["histograms"] for sample in Record(self.folder).resume().samples],
                         [{"fake": {"512": 3}}] * 4)

    def test_a_failure_is_recorded_and_the_rest_goes_on(self):
        run, _ = self.run_all(Fake(fail_on={2}), self.record())
        errors = [sample["error"] for sample in run.record.samples if "error" in sample]
        self.assertEqual((errors, run.failed, len(run.record.samples)), (["planted"], 1, 4))

    def test_changed_knobs_spoil_a_sample(self):
        run, _ = self.run_all(Fake(), self.record(), settings=NoSettings(drift=["enabled"]))
        self.assertTrue(all("somebody else" in sample["error"]
                            for sample in run.record.samples))

    def test_a_workload_that_cannot_be_prepared(self):
        class Broken(Fake):
            def prepare(self, place):
                raise OSError("no space")
        workload = Broken()
        run, _ = self.run_all(workload, self.record())
        self.assertEqual(workload.log, ["close"])
        self.assertIn("no space", run.record.samples[0]["error"])
        self.assertEqual(run.failed, 1)

    def test_the_time_is_up(self):
        workload = Fake()
        _, late = self.run_all(workload, self.record(), deadline_s=0)
        self.assertEqual((late, workload.log), (["fake"], []))

    def test_the_time_is_up_for_a_round(self):
        """Two rounds of 20 s end within 50 s; of a third one only half would."""
        class Slow(Fake):
            estimate_s = 10.0

            def sample(self, place, variant):
                clock.begin -= 10
                return super().sample(place, variant)
        clock, workload, record = runner.Clock(io.StringIO()), Slow(), self.record()
        _, late = self.run_all(workload, record, rounds=3, deadline_s=50, clock=clock)
        self.assertEqual(late, ["fake"])
        self.assertEqual([sample["round"] for sample in record.samples], [1, 1, 2, 2])

    def test_a_run_whose_time_was_up_is_not_ended(self):
        record = self.record()
        _, late = self.run_all(Fake(), record, deadline_s=0)
        with open(record.finish("now", late), encoding="utf-8") as file:
            found = json.load(file)
        self.assertEqual((found["ended"], found["late"]), (None, ["fake"]))
        _, late = self.run_all(Fake(), record)
        with open(record.finish("now", late), encoding="utf-8") as file:
            found = json.load(file)
        self.assertEqual((found["ended"], found["late"]), ("now", []))

    def test_strays_are_ended(self):
        class Stray(Fake):
            def prepare(self, place):
                super().prepare(place)
                self.child = subprocess.Popen(["sleep", "100"], cwd=place.folder)
        workload = Stray()
        self.run_all(workload, self.record(), rounds=1)
        self.assertEqual(workload.child.wait(10), -signal.SIGKILL)

    def test_results_are_checked(self):
        workload = Fake()
        for results in ({}, {"fake": {}}, {"fake": {"wall_s": float("nan")}},
                        {"fake": {"wall_s": -1}}, {"fake": {"wall_s": 1, "colour": 2}},
                        {"fake": {"wall_s": 1}, "other": {"wall_s": 1}}):
            with self.assertRaises(SampleError):
                check_sample(workload, results)
        check_sample(workload, {"fake": {"wall_s": 0.5, "minor_faults": 7}})
        check_sample(workload, {"fake": {"wall_s": 0.5, "held_bytes": -4096}})


class Resumption(Case):
    def test_what_is_there_is_not_made_again(self):
        self.run_all(Fake(fail_on={3}), self.record())
        record = Record(self.folder).resume()
        self.assertEqual(len(record.samples), 4)
        again = Fake()
        run, _ = self.run_all(again, record)
        self.assertEqual(len(again.log), 3)  # prepare, the one that failed, close
        good = [sample for sample in run.record.samples if "results" in sample]
        self.assertEqual(len({(s["variant"], s["round"]) for s in good}), 4)
        self.assertEqual(len(good), 4)

    def test_a_line_that_was_cut_off(self):
        record = self.record()
        self.run_all(Fake(), record)
        path = os.path.join(self.folder, "samples.jsonl")
        with open(path, "rb") as file:
            data = file.read()
        with open(path, "wb") as file:
            file.write(data[:-9])
        again = Record(self.folder).resume()
        self.assertEqual(len(again.samples), 3)
        self.run_all(Fake(), again)
        self.assertEqual(len(Record(self.folder).resume().samples), 4)

    def test_no_second_run_in_a_folder(self):
        self.record()
        with self.assertRaisesRegex(RecordError, "--resume"):
            self.record()

    def test_only_as_it_was_begun(self):
        run, known = command(), {"versions": {"pg64": "1 abc", "sources": machine.sources(ROOT)},
                                 "machine": machine.machine(), "workloads": ["startup"],
                                 "variants": {"glibc": {}, "pg64": {}}}

        class Settings:
            def __init__(self, why=None):
                self.why = why

            def missing(self, variant):
                return self.why if variant.name == "pg64" else None

        def resume(settings, **changed):
            options = argparse.Namespace(resume=tempfile.mkdtemp(dir=self.temporary.name))
            Record(os.path.join(options.resume, "run")).create({**known, **changed})
            options.resume = os.path.join(options.resume, "run")
            return run.resume(options, settings)

        with mock.patch.dict(os.environ, PG64_LIBRARY=os.environ.get("PG64_LIBRARY", __file__)):
            _, workloads, found = resume(Settings())
            self.assertEqual([workload.name for workload in workloads], ["startup"])
            self.assertEqual([variant.name for variant in found], ["glibc", "pg64"])
            for settings, changed, wanted in (
                    (Settings("no right to set knobs"), {}, "pg64: no right to set knobs"),
                    (Settings(), {"versions": {"pg64": "1 abc", "sources": "0"}}, "other sources"),
                    (Settings(), {"machine": {**known["machine"], "cpu": "another"}}, "another")):
                with self.assertRaisesRegex(SystemExit, wanted):
                    resume(settings, **changed)

    def test_what_is_no_record(self):
        for text in ("", "[]", '{"format": "other"}'):
            path = os.path.join(self.temporary.name, "result.json")
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
            with self.assertRaises(RecordError):
                read(path)
        with self.assertRaises(RecordError):
            Record(self.temporary.name).resume()


class Commands(Case):
    def place(self):
        return Place(BUILD, self.temporary.name)

    def test_costs_of_a_small_child_of_a_big_parent(self):
        ballast = bytearray(200 << 20)
        cost, said = self.place().command(["/bin/echo", "hello"], GLIBC)
        self.assertEqual(said, "hello\n")
        self.assertLess(cost["rss_bytes"], 20 << 20)
        self.assertGreater(cost["rss_bytes"], 500 << 10)
        self.assertGreater(cost["minor_faults"], 20)
        del ballast

    def test_costs_of_grandchildren_count(self):
        script = "x = bytearray(64 << 20)"
        cost, _ = self.place().command(
            ["/bin/sh", "-c", f"{sys.executable} -c '{script}'; true"], GLIBC)
        self.assertGreater(cost["rss_bytes"], 64 << 20)
        self.assertGreater(cost["minor_faults"], 64 << 20 >> 13)

    def test_the_variant_is_in_the_environment_of_the_command(self):
        _, said = self.place().command(["/usr/bin/env"], variants.ALL["glibc64"])
        self.assertIn("GLIBC_TUNABLES=glibc.malloc.hugetlb=1", said.splitlines())
        _, said = self.place().command(["/bin/cat", "/proc/self/maps"], PG64)
        self.assertIn("libpg64.so", said)

    def test_failures_are_told(self):
        with self.assertRaisesRegex(SampleError, "ended with 3: why"):
            self.place().command(["/bin/sh", "-c", "echo why >&2; exit 3"], GLIBC)
        with self.assertRaisesRegex(SampleError, "did not end in"):
            self.place().command(["/bin/sleep", "50"], GLIBC, timeout=0.3)
        with self.assertRaisesRegex(SampleError, "139"):
            self.place().command(["/bin/sh", "-c", "kill -SEGV $$"], GLIBC)
        with self.assertRaises(SampleError):
            self.place().command(["/nonexistent"], GLIBC)


class Machine(unittest.TestCase):
    def test_sources_are_told_apart(self):
        with tempfile.TemporaryDirectory() as root:
            seen = set()
            for name, text in (("lib/a.c", "1"), ("lib/a.c", "2"), ("bench/suite/b.py", "1"),
                               ("bench/run", "1"), ("meson.build", "1")):
                os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
                with open(os.path.join(root, name), "w", encoding="ascii") as file:
                    file.write(text)
                seen.add(machine.sources(root))
                with open(os.path.join(root, "README.md"), "a", encoding="ascii") as file:
                    file.write(text)
                seen.add(machine.sources(root))
            self.assertEqual(len(seen), 5)

    def test_what_faults_and_system_calls_take(self):
        found = machine.machine()
        # Orders of magnitude: wide enough for any machine, too narrow for a wrong unit or count.
        self.assertTrue(50 < found["fault_ns"] < 1_000_000, found)
        self.assertTrue(5 < found["system_call_ns"] < 100_000, found)

    def test_memory_is_primed_in_the_pages_that_will_be_used(self):
        def collapsed():
            with open("/proc/vmstat", encoding="ascii") as file:
                return int(dict(line.split() for line in file).get("thp_collapse_alloc", -1))
        before = collapsed()
        if before < 0:
            self.skipTest("the kernel has no THP")
        pages.prime(64 << 20, variants.ALL["pg64-collapse"].collapses)
        self.assertGreaterEqual(collapsed() - before, 24)
        self.assertFalse(variants.ALL["pg64"].collapses or variants.ALL["glibc"].collapses)

    def test_who_clears_accessed_bits(self):
        with tempfile.TemporaryDirectory() as root:
            self.assertEqual(machine.damon(os.path.join(root, "none")), "no")
            for number, state in enumerate(("off", "on")):
                context = os.path.join(root, str(number), "contexts", "0")
                for name, text in (("../../state", state), ("operations", "paddr"),
                                   ("monitoring_attrs/nr_regions/min", "10"),
                                   ("monitoring_attrs/nr_regions/max", "1000"),
                                   ("monitoring_attrs/intervals/sample_us", "5000")):
                    path = os.path.join(context, name)
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    with open(path, "w", encoding="ascii") as file:
                        file.write(text + "\n")
            self.assertEqual(machine.damon(root),
                             "paddr: 10 to 1000 regions, a sample of each in 5000 us")


class Command(unittest.TestCase):
    """bench/run as a user starts it."""

    @staticmethod
    def run_it(*words, **options):
        return subprocess.run([os.path.join(ROOT, "bench", "run"), "--build", BUILD, *words],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=200, check=False,
                              **options)

    def test_from_the_samples_to_the_report(self):
        if os.geteuid() or not knobs.state():
            self.skipTest("it takes root and THP knobs")
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "out")
            done = self.run_it("--out", out, "--only", "alloc-cfrac-t1", "--variants",
                               "glibc,pg64-base", "--rounds", "3", "--quick")
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(os.path.join(out, "report.html"), encoding="utf-8") as file:
                page = file.read()
            self.assertIn("cfrac, 1 thread", page)
            self.assertIn("--variants glibc,pg64-base", page)
            pictures = [name for name in os.listdir(out) if name.endswith(".png")]
            self.assertIn("wall-ratio.png", pictures)
            for name in pictures:
                with open(os.path.join(out, name), "rb") as file:
                    self.assertEqual(file.read(4), b"\x89PNG", name)

    def test_no_large_pages_for_anybody(self):
        """What a container's runtime may have set, and would make all variants the same."""
        set_thp_disable = 41
        with tempfile.TemporaryDirectory() as folder:
            done = self.run_it(
                "--out", os.path.join(folder, "out"), "--only", "startup", "--variants", "glibc",
                preexec_fn=lambda: ctypes.CDLL(None).prctl(set_thp_disable, 1, 0, 0, 0))
        self.assertEqual(done.returncode, 1)
        self.assertIn("PR_SET_THP_DISABLE", done.stderr)


class Knobs(unittest.TestCase):
    def test_every_variant_names_all_sizes(self):
        names = {name for name in knobs.state() if name.endswith("enabled")}
        for variant in variants.ALL.values():
            self.assertEqual(names - set(variant.knobs()), set(), variant.name)

    def test_a_wait_for_them_is_said(self):
        with tempfile.NamedTemporaryFile() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            said = io.StringIO()
            with contextlib.redirect_stderr(said), self.assertRaises(knobs.Unavailable):
                with knobs.Knobs({}, lock=lock.name, wait_s=1.3):
                    self.fail("the lock was held")
        self.assertEqual(said.getvalue().count(lock.name), 1)

    def test_they_are_back_after_the_end_of_a_run(self):
        if os.geteuid() or not knobs.state():
            self.skipTest("it takes root and THP knobs")
        before = knobs.state()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
            with tempfile.TemporaryDirectory() as folder:
                out = os.path.join(folder, "out")
                with subprocess.Popen(
                        [os.path.join(ROOT, "bench", "run"), "--build", BUILD, "--out", out,
                         "--only", "alloc-cfrac-t1", "--variants", "glibc,glibc2m",
                         "--rounds", "50", "--no-report"],
                        env={**os.environ, "TMPDIR": folder}, stderr=subprocess.PIPE,
                        text=True) as child:
                    for line in child.stderr:
                        if "round 1: glibc2m" in line or "round 1: glibc" in line:
                            break
                    child.send_signal(number)
                    said = child.stderr.read()
                    child.wait(60)
                self.assertNotEqual(child.returncode, 0)
                if number != signal.SIGKILL:
                    self.assertIn("--resume", said)
                with open(os.path.join(out, "samples.jsonl"), encoding="utf-8") as file:
                    self.assertTrue(all(json.loads(line) for line in file))
            end = time.monotonic() + 20  # the guardian's time
            while knobs.state() != before and time.monotonic() < end:
                time.sleep(0.05)
            self.assertEqual(knobs.state(), before, number)


if __name__ == "__main__":
    unittest.main()
