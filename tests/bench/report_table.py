#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/table: the right ratio in each column, and which of them can be told from 1."""
import tempfile
import unittest

import report_case

report_case.need(("numpy",))

import report_synthetic as synthetic  # noqa: E402
import table  # noqa: E402
from results import Run  # noqa: E402

# Variant: (wall_s of three rounds, minor_faults, rss_bytes)
MEASURED = {"glibc": ((2.0, 2.0, 2.0), 1000, 100), "glibc64": ((1.0, 1.0, 1.0), 500, 100),
            "pg64": ((0.5, 0.5, 0.5), 50, 120), "mimalloc": ((1.0, 2.0, 4.0), 1000, 100)}


def measured():
    data = synthetic.make(rounds=3, variants=tuple(MEASURED),
                          workloads={"one": [("one", [("one", "one", "wall_s")])]})
    for sample in data["samples"]:
        times, faults, rss = MEASURED[sample["variant"]]
        for figures in sample["results"].values():
            figures.clear()
            figures.update(wall_s=times[sample["round"] % 3], minor_faults=faults, rss_bytes=rss)
    return data


class Rows(unittest.TestCase):
    def test_each_column(self):
        head, (row,) = table.rows([Run(measured())], "pg64", ["glibc", "glibc64"])
        self.assertEqual(head[1:], ["time / glibc", "time / glibc64", "faults / glibc",
                                    "memory / glibc"])
        self.assertEqual(row[1:], ["**0.25** (0.25 to 0.25)", "**0.50** (0.50 to 0.50)",
                                   "0.050", "1.20"])

    def test_what_cannot_be_told_is_in_brackets(self):
        _, (row,) = table.rows([Run(measured())], "mimalloc", ["glibc"])
        self.assertRegex(row[1], r"^\(1\.00; 0\.\d+ to \d+\.\d+\)$")

    def test_without_interval(self):
        data = measured()
        data["samples"] = [sample for sample in data["samples"] if sample["round"] == 1]
        _, (row,) = table.rows([Run(data)], "pg64", ["glibc"])
        self.assertEqual(row[1], "(0.25)")

    def test_choice(self):
        self.assertEqual(table.rows([Run(measured())], "pg64", ["glibc"], {"other"})[1], [])

    def test_what_is_no_time_is_not_under_time(self):
        data = measured()
        data["results"]["one"]["primary"] = "p99_s"
        for sample in data["samples"]:
            sample["results"]["one"]["p99_s"] = 2.0 if sample["variant"] == "pg64" else 1.0
        head, (row,) = table.rows([Run(data)], "pg64", ["glibc"])
        found = dict(zip(head, row))
        self.assertEqual((found["time / glibc"], found["p99 / glibc"]),
                         ("", "**2.00** (2.00 to 2.00)"))

    def test_memory_of_other_kinds(self):
        data = measured()
        for sample in data["samples"]:
            much = 3 if sample["variant"] == "pg64" else 2
            sample["results"]["one"].update(private_bytes=much, fork_s=much, held_bytes=much)
        head, (row,) = table.rows([Run(data)], "pg64", ["glibc"],
                                  metrics=("private", "fork", "held"))
        self.assertEqual(dict(zip(head[1:], row[1:])), {
            "private memory / glibc": "1.50", "fork() / glibc": "**1.50** (1.50 to 1.50)"})
        for sample in data["samples"]:  # no ratio to next to nothing
            sample["results"]["one"]["held_bytes"] *= 8 << 20
        head, (row,) = table.rows([Run(data)], "pg64", ["glibc"], metrics=("held",))
        self.assertEqual((head[1:], row[1:]), (["held after fork / glibc"], ["1.50"]))

    def test_a_row_for_each_variant(self):
        head, lines = table.by_variant([Run(measured())], "glibc")
        self.assertEqual(head[0], "time / glibc")
        self.assertEqual([(row[0], row[1][:8]) for row in lines], [
            ("`glibc64`", "**0.50**"), ("`pg64`", "**0.25**"), ("`mimalloc`", "(1.00; 0")])

    def test_several_runs(self):
        first, later = measured(), measured()
        for sample in first["samples"]:
            sample["results"]["one"]["p99_s"] = 1.0
        later["results"]["two"] = dict(later["results"]["one"], label="two")
        for sample in later["samples"]:
            sample["results"]["two"] = dict(sample["results"]["one"])
            if sample["variant"] == "pg64":
                sample["results"]["one"]["wall_s"] *= 2
        runs = [Run(first), Run(later)]
        head, lines = table.rows(runs, "pg64", ["glibc"])
        self.assertEqual(head[-1], "p99 / glibc")
        self.assertEqual([row[1][:8] for row in lines], ["**0.25**", "**0.50**", "**0.25**"])
        self.assertEqual([row[-1] for row in lines], ["(1.00; 1.00 to 1.00)", "", ""])
        _, lines = table.rows(runs, "pg64", ["glibc"], latest=True)
        self.assertEqual([row[1][:8] for row in lines], ["**0.50**", "**0.25**"])


class Command(unittest.TestCase):
    def run_it(self, data, *words):
        with tempfile.TemporaryDirectory() as folder:
            return report_case.program("table", report_case.save(data, folder), *words)

    def test_table(self):
        done = self.run_it(synthetic.make(), "--bases", "glibc")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(len({line.count("|") for line in lines}), 1, lines)
        self.assertGreater(len(lines), 3)

    def test_names_that_there_are_not(self):
        for words, wanted in ((("--metrics", "time,colour"), "no metric colour"),
                              (("--only", "one,other"), "no result other")):
            done = self.run_it(measured(), *words)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(wanted, done.stderr)

    def test_what_was_not_measured_is_named(self):
        done = self.run_it(measured(), "--bases", "tcmalloc")
        self.assertEqual(done.returncode, 2)
        self.assertIn("tcmalloc was not measured; there are glibc, glibc64", done.stderr)

    def test_other_json_is_refused(self):
        done = self.run_it({})
        self.assertEqual(done.returncode, 2)
        self.assertIn("no result of bench/run", done.stderr)


if __name__ == "__main__":
    unittest.main()
