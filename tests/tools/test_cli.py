#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The outside of the pg64 command: help, versions, usage errors, completion, manual pages."""
import os
import re
import shutil
import subprocess
import unittest

from toolcase import TIMEOUT_S, TOOL, ToolCase, clean_env, main

COMMANDS = ("run", "doctor", "stat", "adopt", "enable", "disable")
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


class Cli(ToolCase):
    def test_help(self):
        said = self.expect(0, "--help")
        for command in COMMANDS:
            self.assertIn(command, said.stdout)
        self.assertEqual(self.expect(0, "help").stdout, said.stdout)

    def test_help_of_each(self):
        for command in COMMANDS:
            with self.subTest(command):
                said = self.expect(0, command, "--help")
                self.assertTrue(said.stdout.startswith("Usage: "))
                self.assertIn("Example: ", said.stdout)
                self.assertEqual(said.stderr, "")
                self.assertLessEqual(max(map(len, said.stdout.splitlines())), 100)
                self.assertEqual(self.expect(0, "help", command).stdout, said.stdout)

    def test_version(self):
        self.assertRegex(self.expect(0, "--version").stdout, r"^pg64 \d+\.\d+\.\d+\n$")

    def test_usage_errors(self):
        for words in (["--nonsense"], ["nonsense"], ["help", "nonsense"], ["run", "--nonsense"],
                      ["run"], ["run", "--backend"], ["run", "--dry-run=1", "true"],
                      ["run", "-x", "true"], ["run", "--require=101", "true"],
                      ["run", "--require=lots", "true"], ["run", "--stats=", "true"],
                      ["doctor", "--nonsense"], ["doctor", "1", "2"], ["doctor", "0"],
                      ["stat"], ["stat", "x"], ["stat", "1", "2"], ["stat", "99999999999"],
                      ["adopt"], ["adopt", "x"], ["adopt", "1", "0"], ["adopt", "--nonsense", "1"],
                      ["adopt", "--all=1", "1"],
                      ["enable", "--nonsense"], ["enable", "x"], ["disable", "--shmem"]):
            with self.subTest(words):
                said = self.expect(2, *words)
                lines = said.stderr.splitlines()
                self.assertEqual(len(lines), 2, said.stderr)
                self.assertRegex(lines[0], r"^pg64( \w+)?: ")
                self.assertRegex(lines[1], r"^Try 'pg64( \w+)? --help'\.$")
                self.assertEqual(said.stdout, "")

    def test_no_command(self):
        said = self.expect(2)
        self.assertIn("Usage: pg64", said.stderr)

    def test_closed_output(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            said = subprocess.run([TOOL, "--help"], env=clean_env(), stdout=full,
                                  stderr=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=False)
        self.assertEqual(said.returncode, 1)
        self.one_line(said.stderr)


class Completion(ToolCase):
    def complete(self, *words):
        script = r'''
            source "$1"; shift
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            _pg64; printf '%s\n' "${COMPREPLY[@]}"
        '''
        said = subprocess.run(
            ["bash", "--norc", "-c", script, "bash", os.path.join(SOURCE, "tools/completion/pg64"),
             TOOL, *words], env=clean_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, timeout=TIMEOUT_S, check=False)
        self.assertEqual(said.stderr, "")
        return said.stdout.split()

    def setUp(self):
        super().setUp()
        if not shutil.which("bash"):
            self.skipTest("no bash")

    def test_command(self):
        self.assertEqual(self.complete("ru"), ["run"])
        self.assertEqual(sorted(self.complete("")),
                         sorted([*COMMANDS, "help", "--help", "--version"]))

    def test_options(self):
        self.assertEqual(self.complete("run", "--req"), ["--require="])
        self.assertIn("--mmap-min=", self.complete("run", "--m"))
        self.assertEqual(self.complete("stat", "--a"), ["--all"])
        self.assertIn("--dry-run", self.complete("adopt", "--"))
        self.assertEqual(sorted(self.complete("enable", "--")), ["--help", "--persist", "--shmem"])

    def test_values(self):
        self.assertEqual(self.complete("run", "--backend", "=", "mt"), ["mthp"])
        self.assertEqual(sorted(self.complete("run", "--pmd", "=")), ["allow", "auto", "off"])

    def test_command_line(self):
        self.assertIn("true", self.complete("run", "--", "tru"))
        self.assertIn(str(os.getpid()), self.complete("stat", str(os.getpid())))
        self.assertIn(str(os.getpid()), self.complete("adopt", "--all", str(os.getpid())))


class Manual(ToolCase):
    def test_pages(self):
        if not shutil.which("mandoc"):
            self.skipTest("no mandoc")
        docs = os.path.join(SOURCE, "docs")
        page = self.path("pg64.7")
        subprocess.run(["python3", os.path.join(docs, "options_man.py"),
                        os.path.join(docs, "pg64.7.in"),
                        os.path.join(SOURCE, "lib/config/options.def"),
                        os.path.join(SOURCE, "lib/base/counters.def"), page],
                       timeout=TIMEOUT_S, check=True)
        others = [os.path.join(docs, name) for name in ("pg64.1", "pg64.h.3", "pagesize_64k.7")]
        said = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *others, page],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              timeout=TIMEOUT_S, check=False)
        self.assertEqual(said.stdout, "")
        self.assertEqual(said.returncode, 0)

    def test_numbers_of_the_kernel_are_those_that_are_called(self):
        for name, page in (("docs/pagesize_64k.7", r"#define (MADV_PAGESIZE_\w+) (\d+)"),
                           ("kernel-patch/ABI.md", r"`(MADV_PAGESIZE_\w+)` \| (\d+) \|")):
            with open(os.path.join(SOURCE, name), encoding="utf-8") as file:
                said = dict(re.findall(page, file.read()))
            self.assertEqual(said, {"MADV_PAGESIZE_64K": "164", "MADV_PAGESIZE_DEFAULT": "165"})
            with open(os.path.join(SOURCE, "lib/page/patched.c"), encoding="utf-8") as file:
                self.assertRegex(file.read(), rf"PAGESIZE_64K {said['MADV_PAGESIZE_64K']}\b")

    def test_options_are_documented(self):
        """Each option of the help is in pg64(1) or in the table that pg64(7) is made of."""
        with open(os.path.join(SOURCE, "docs/pg64.1"), encoding="utf-8") as file:
            page = file.read().replace("\\-", "-")
        with open(os.path.join(SOURCE, "lib/config/options.def"), encoding="utf-8") as file:
            table = re.findall(r"^PG64_OPTION\((\w+)", file.read(), flags=re.M)
        for command in COMMANDS:
            for option in re.findall(r"^ +(?:-\w, )?--([a-z-]+)",
                                     self.expect(0, command, "--help").stdout, flags=re.M):
                self.assertTrue(f"-{option}" in page or option.replace("-", "_") in table,
                                f"{command} --{option} is not in pg64.1")


if __name__ == "__main__":
    unittest.TestCase.maxDiff = None
    main()
