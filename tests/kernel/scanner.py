# SPDX-License-Identifier: MIT
"""kernel-patch/scan-log on logs that are known: what it must find, let through, and refuse.

logs/good.log is whole and clean. logs/chatter.txt is harmless, and each file of logs/trouble is one
kind of trouble: they are put in the middle of the good log. No kernel is needed.
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
LOGS = os.path.join(HERE, "logs")
SCAN = os.path.join(HERE, "..", "..", "kernel-patch", "scan-log")
MIDDLE = 20


def read(name):
    with open(os.path.join(LOGS, name), "rb") as file:
        return file.read()


def troubles():
    return sorted(os.path.basename(path) for path in glob.glob(os.path.join(LOGS, "trouble", "*")))


class Scan(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="pg64-scan-")
        self.addCleanup(holder.cleanup)
        self.path = os.path.join(holder.name, "console.log")

    def scan(self, content, *options):
        with open(self.path, "wb") as file:
            file.write(content)
        return self.run_on(self.path, *options)

    def run_on(self, *words):
        said = subprocess.run([SCAN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, timeout=60, check=False)
        return said.returncode, (said.stdout + said.stderr).decode("utf-8", "replace")

    def expect(self, status, content, *options):
        got, said = self.scan(content, *options)
        self.assertEqual(got, status, said)
        return said

    @staticmethod
    def with_middle(extra):
        lines = read("good.log").splitlines(keepends=True)
        return b"".join(lines[:MIDDLE]) + extra + b"".join(lines[MIDDLE:])

    def test_good(self):
        self.assertEqual(self.expect(0, read("good.log")), "")

    def test_carriage_returns(self):
        self.expect(0, read("good.log").replace(b"\n", b"\r\n"))

    def test_firmware_first(self):
        self.expect(0, b"SeaBIOS (version 1.16.2)\n\n" + read("good.log"))

    def test_restart_is_an_end(self):
        self.expect(0, read("good.log").replace(b"Power down", b"Restarting system"))

    def test_chatter(self):
        self.assertEqual(self.expect(0, self.with_middle(read("chatter.txt"))), "")

    def test_each_trouble(self):
        self.assertGreater(len(troubles()), 35)
        for name in troubles():
            with self.subTest(name):
                text = read(os.path.join("trouble", name))
                said = self.expect(1, self.with_middle(text))
                self.assertRegex(said, rf"(?m)^{MIDDLE + 1}:|^{MIDDLE + 2}:")
                self.assertEqual(self.expect(1, self.with_middle(text), "--quiet"), "")

    def test_trouble_among_lines_without_time(self):
        for name in troubles():
            with self.subTest(name):
                text = read(os.path.join("trouble", name))
                bare = b"".join(line.split(b"] ", 1)[-1] for line in text.splitlines(True))
                self.expect(1, self.with_middle(bare))

    def test_oom_is_allowed_only_on_demand(self):
        for name in troubles():
            with self.subTest(name):
                text = self.with_middle(read(os.path.join("trouble", name)))
                allowed = name.startswith(("oom", "stack-only"))
                self.expect(0 if allowed else 1, text, "--allow-oom")

    def test_trouble_comes_before_a_missing_end(self):
        lines = self.with_middle(read("trouble/panic.txt")).splitlines(keepends=True)
        self.expect(1, b"".join(lines[:MIDDLE + 2]))

    def test_trouble_in_binary_noise(self):
        noise = bytes(range(256)) * 8 + b"\n"
        self.expect(1, self.with_middle(noise + read("trouble/warn.txt")))

    def test_cut_off(self):
        lines = read("good.log").splitlines(keepends=True)
        self.assertIn("cut off", self.expect(2, b"".join(lines[:-1])))
        self.assertIn("cut off", self.expect(2, b"".join(lines[:2])))

    def test_no_start(self):
        lines = read("good.log").splitlines(keepends=True)
        self.assertIn("no log of a kernel", self.expect(2, b"".join(lines[1:])))

    def test_cannot_be_judged(self):
        self.assertIn("is empty", self.expect(2, b""))
        self.expect(2, b"\n")
        self.expect(2, bytes(range(256)) * 64)
        self.assertIn("cannot be read", self.run_on(self.path + ".none")[1])
        for words in ((self.path + ".none",), (os.path.dirname(self.path),), (), ("--what",),
                      (self.path, self.path)):
            self.assertEqual(self.run_on(*words)[0], 2, words)

    def test_unreadable(self):
        with open(self.path, "wb") as file:
            file.write(read("good.log"))
        os.chmod(self.path, 0)
        copy = os.path.join(os.path.dirname(self.path), "scan-log")
        shutil.copy(SCAN, copy)
        os.chmod(os.path.dirname(self.path), 0o755)
        nobody = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
        said = subprocess.run([copy, self.path], stdout=subprocess.PIPE, timeout=60, check=False,
                              **nobody)
        self.assertEqual((said.returncode, b"cannot be read" in said.stdout), (2, True))

    def test_help(self):
        status, said = self.run_on("--help")
        self.assertEqual(status, 0)
        self.assertIn("--allow-oom", said)


if __name__ == "__main__":
    sys.exit(0 if unittest.main(exit=False).result.wasSuccessful() else 1)
