#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/quote: tables as their commands print them, and that this tree's documents have them so."""
import os
import re
import tempfile
import unittest

import report_case

report_case.need(("numpy",))

import quote  # noqa: E402
import report_synthetic as synthetic  # noqa: E402

DOCUMENTS = [os.path.join(report_case.ROOT, *name) for name in (["README.md"],
                                                               ["bench", "README.md"])]
ROWS = "| | time / glibc |\n| --- | ---: |\n| made up | **0.01** (0.01 to 0.01) |\n"


def faster(data, variant):
    """The same, with a variant that takes half of the time that it took."""
    for sample in data["samples"]:
        for figures in sample["results"].values():
            if sample["variant"] == variant and "wall_s" in figures:
                figures["wall_s"] /= 2
    return data


class Document(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "document.md")
        self.one = report_case.save(synthetic.make(), folder.name, "one.json")
        self.two = report_case.save(faster(synthetic.make(), "pg64"), folder.name, "two.json")

    def write(self, *parts):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("".join(parts))

    def read(self):
        with open(self.path, encoding="utf-8") as file:
            return file.read()

    def table(self, *words):
        done = report_case.program("table", *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_each_table_is_its_command_s(self):
        ones, twos = f"{self.one} --bases glibc", f"{self.two} --bases glibc"
        self.write("Before.\n\n", f"`bench/table {ones}`\n\n", ROWS, "\nBetween.\n\n",
                   f"`bench/table {twos}`\n\n", "After.\n\n", ROWS)
        done = report_case.program("quote", self.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        one, two = self.table(*ones.split()), self.table(*twos.split())
        self.assertNotEqual(one, two)
        self.assertEqual(self.read(), "".join((
            "Before.\n\n", f"`bench/table {ones}`\n\n", one, "\nBetween.\n\n",
            f"`bench/table {twos}`\n\n", two, "\nAfter.\n\n", ROWS)))
        self.assertEqual(report_case.program("quote", "--check", self.path).returncode, 0)

    def test_what_is_no_paragraph_of_its_own(self):
        text = f"Printed by\n`bench/table {self.one}`\n\n{ROWS}\nSee `bench/table {self.one}`.\n"
        self.write(text)
        self.assertEqual(report_case.program("quote", self.path).returncode, 0)
        self.assertEqual(self.read(), text)

    def test_check_changes_nothing(self):
        text = f"Before.\n\n`bench/table {self.one}`\n\n{ROWS}"
        self.write(text)
        done = report_case.program("quote", "--check", self.path)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(f"{self.path}:3: differs from bench/table", done.stdout)
        self.assertIn(f"bench/quote {self.path}\n", done.stdout)
        self.assertEqual(self.read(), text)

    def test_errors_leave_the_document(self):
        for command, wanted in (("bench/table none.json", "none.json"),
                                ("bench/targets --wrong x", "--wrong"),
                                ("bench/table --help", "no table"),
                                ("bench/table 'x", "No closing quotation"),
                                ("bench/run --quick", "only bench/table and bench/targets")):
            text = f"`{command}`\n\n{ROWS}"
            self.write(text)
            done = report_case.program("quote", self.path)
            self.assertEqual(done.returncode, 2, command)
            self.assertIn(wanted, done.stderr)
            self.assertEqual(self.read(), text)


class Tree(unittest.TestCase):
    def test_quotes_are_true(self):
        done = report_case.program("quote", "--check", *DOCUMENTS)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_no_ratio_without_its_command(self):
        for path in DOCUMENTS:
            with open(path, encoding="utf-8") as file:
                text = file.read()
            quoted = sum(match.group(2).count("\n") for match in quote.QUOTE.finditer(text))
            rest = quote.QUOTE.sub("", text)
            self.assertGreater(quoted, 30, path)
            self.assertEqual(re.findall(r"^\|.* time / .*|^\| target \|.*", rest, re.M), [], path)


if __name__ == "__main__":
    unittest.main()
