#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""pg64 stat: processes with and without the library, families, no privilege, processes that end."""
import json
import os
import subprocess
import unittest

from toolcase import TOOL, ToolCase, clean_env, main

HEAP = "x = [bytearray(100000) for i in range(400)]"
# For users who may not reach the python that runs the tests.
WAIT_C = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void)
{
	memset(malloc(10 << 20), 1, 10 << 20);
	puts("ready");
	fflush(stdout);
	return (int)sleep(60);
}
"""
MIB = 1 << 20


class Stat(ToolCase):
    def start(self, *prefix, code=HEAP):
        return self.start_python(code, prefix)

    def json(self, *words, **options):
        return json.loads(self.expect(0, "stat", "--json", *words, **options).stdout)

    def test_name_of_the_program(self):
        """It is another user's to choose: no escapes for the terminal, no rows, UTF-8 in JSON."""
        name = os.path.join(os.fsencode(self.folder), b"a\x1b[31m\nb\xff")
        os.rename(self.compile("waits", source=WAIT_C), name)
        pid = self.start_program(name)
        shown = f"{self.folder}/a?[31m?b?"
        for command in ("stat", "adopt"):
            words = (command, *(["--dry-run"] if command == "adopt" else []), pid)
            said = self.tool(*words)
            self.assertIn(shown, said.stdout)
            self.assertNotIn("\x1b", said.stdout)
            data = json.loads(self.tool(*words, "--json").stdout)
            self.assertEqual(data.get("exe") or data["processes"][0]["exe"], shown)

    def test_with_pg64(self):
        data = self.json(self.start(TOOL, "run", "--backend=base", "--"))
        self.assertEqual(data["pg64_stat"], 1)
        self.assertEqual(data["pg64"]["backend"]["heap"], "base")
        self.assertTrue(data["pg64"]["malloc"])
        self.assertGreater(data["pg64"]["counters"]["heap_commit_bytes"], 40 * MIB)
        total = data["memory"]["total_without_files"]
        self.assertGreater(total["resident_bytes"], 38 * MIB)
        self.assertGreater(data["faults"]["minor"], 0)

    def test_counters_in_text(self):
        said = self.expect(0, "stat", self.start(TOOL, "run", "--"))
        self.assertRegex(said.stdout, r"heap_commit_bytes +\d+  heap memory committed")
        self.assertIn("backends  heap ", said.stdout)

    def test_without_pg64(self):
        pid = self.start()
        self.assertIsNone(self.json(pid)["pg64"])
        self.assertIn("pg64 run", self.expect(0, "stat", pid).stdout)

    def test_coverage(self):
        """What the tool adds up is what the process would be told by the library."""
        self.need_root()
        data = self.json(self.start(TOOL, "run", "--collapse-min=0", "--heap-min=0", "--"))
        self.assertEqual(data["coverage"]["source"], "kpageflags")
        total = data["memory"]["total_without_files"]
        self.assertAlmostEqual(data["coverage"]["ppm"],
                               1e6 * total["backed_bytes"] / total["resident_bytes"], delta=1)
        doctor, _ = self.findings()
        if doctor["backend"]["heap"] != "base":
            self.assertGreater(data["coverage"]["ppm"], 500000)

    def test_no_privilege(self):
        """One's own process without privilege: sizes, but not what backs them."""
        prefix = self.unprivileged()
        pid = self.start_program(*prefix, self.public_tool(), "run", "--",
                                 self.compile("wait", source=WAIT_C))
        said = self.expect(0, "stat", pid, prefix=prefix)
        self.assertIn(f"cannot be seen without privilege; run: sudo pg64 stat {pid}", said.stdout)
        data = self.json(pid, prefix=prefix)
        self.assertEqual(data["coverage"], {"ppm": None, "source": "none"})
        self.assertIsNone(data["memory"]["total_without_files"]["backed_bytes"])

    def test_of_another_user(self):
        self.need_root()
        pid = self.start()
        said = self.expect(1, "stat", pid, prefix=self.unprivileged())
        self.assertIn(f"sudo pg64 stat {pid}", self.one_line(said.stderr))

    def test_gone(self):
        with subprocess.Popen(["true"]) as child:
            pid = child.pid
            child.wait()
        for words in ([pid], ["--all", pid], ["--json", pid]):
            self.assertIn("no process", self.one_line(self.expect(1, "stat", *words).stderr))

    def test_zombie(self):
        with subprocess.Popen(["true"], stdout=subprocess.PIPE) as child:
            child.stdout.read()
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            self.one_line(self.expect(1, "stat", child.pid).stderr)

    def test_shared_memory(self):
        code = ("import mmap; m = mmap.mmap(-1, 8 << 20); m.write(b'x' * (8 << 20))")
        data = self.json(self.start(TOOL, "run", "--", code=code))
        self.assertGreaterEqual(data["memory"]["shared"]["resident_bytes"], 8 * MIB)

    def test_all(self):
        """Memory that parent and child share counts once."""
        pid = self.start(code=HEAP + "\nimport os, time\nif not os.fork(): time.sleep(60)")
        data = self.json("--all", pid)
        self.assertEqual(len(data["processes"]), 2)
        pss = data["total_without_files"]["pss_bytes"]
        single = self.json(pid)["memory"]["total_without_files"]["resident_bytes"]
        self.assertLess(pss, 1.5 * single)
        self.assertIn("2 processes", self.expect(0, "stat", "--all", pid).stdout)

    def test_odd_name(self):
        """A program may have any name, brackets and spaces included."""
        path = self.path("a) R 1 (b")
        with open("/bin/sleep", "rb") as source, open(path, "wb") as copy:
            copy.write(source.read())
        os.chmod(path, 0o755)
        with subprocess.Popen([path, "60"]) as child:
            self.addCleanup(child.kill)
            data = self.json(child.pid)
            child.kill()
        self.assertEqual((data["exe"], data["ppid"]), (path, os.getpid()))

    def test_deleted_library(self):
        """An upgrade removes the file of the library that runs."""
        self.need_root()
        library = self.path("libpg64.so")
        said = self.expect(0, "run", "--", "sh", "-c", "echo $LD_PRELOAD")
        with open(said.stdout.strip(), "rb") as source, open(library, "wb") as copy:
            copy.write(source.read())
        pid = self.start("env", f"LD_PRELOAD={library}")
        os.unlink(library)
        self.assertIn("(deleted)", self.json(pid)["pg64"]["object"])


if __name__ == "__main__":
    unittest.TestCase.maxDiff = None
    main()
