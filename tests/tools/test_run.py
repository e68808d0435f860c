#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""pg64 run: environment, exit statuses, signals, statistics, and programs that cannot take it."""
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import unittest

from toolcase import LIBRARY, NOBODY, TIMEOUT_S, TOOL, ToolCase, clean_env, main

# Fills 64 MiB of heap; run by the python that runs the tests, so that no shell is in between.
FILL = "x = [bytearray(100000) for i in range(640)]"
FILL_C = """
#include <stdlib.h>
#include <string.h>
int main(void)
{
	for (int i = 0; i < 640; i++)
		memset(malloc(100000), 1, 100000);
	return 0;
}
"""
PYTHON = os.path.realpath(sys.executable)


class Environment(ToolCase):
    def show(self, *options, env=None, name="LD_PRELOAD"):
        said = self.expect(0, "run", *options, "--", "sh", "-c", f'echo "${name}"', env=env)
        return said.stdout.strip()

    def test_library(self):
        preload = self.show()
        self.assertTrue(preload.endswith("/libpg64.so"), preload)
        self.assertTrue(os.path.isabs(preload))
        if LIBRARY:
            self.assertEqual(os.path.realpath(preload), os.path.realpath(LIBRARY))

    def test_preload_is_kept(self):
        env = clean_env(LD_PRELOAD="libc.so.6")
        self.assertRegex(self.show(env=env), r"/libpg64\.so:libc\.so\.6$")

    def test_nested(self):
        said = self.expect(0, "run", "--", TOOL, "run", "--", "sh", "-c", "echo $LD_PRELOAD")
        self.assertEqual(said.stdout.count("libpg64.so"), 1)

    def test_options(self):
        self.assertEqual(self.show("--backend=base", name="PG64_BACKEND"), "base")
        self.assertEqual(self.show("--mmap-min", "1M", name="PG64_MMAP_MIN"), "1M")
        self.assertEqual(self.show("--mmap_min=2M", name="PG64_MMAP_MIN"), "2M")
        self.assertEqual(self.show("--no-malloc", name="PG64_MALLOC"), "0")
        self.assertEqual(self.show("--no-mmap", name="PG64_MMAP"), "0")
        self.assertEqual(self.show("--mmap=0", "--mmap=1", name="PG64_MMAP"), "1")

    def test_bad_value(self):
        said = self.expect(2, "run", "--backend=none", "--", "true")
        self.assertIn("auto|patched|mthp|collapse|base", said.stderr)

    def test_dry_run(self):
        said = self.expect(0, "run", "--dry-run", "--backend=mthp", "--", "sh", "-c", "echo 'a b'")
        words = shlex.split(said.stdout)
        self.assertEqual(words[0], "env")
        self.assertEqual(words[-3:], ["sh", "-c", "echo 'a b'"])
        self.assertIn("PG64_BACKEND=mthp", words)
        again = subprocess.run(["sh", "-c", said.stdout], env=clean_env(), stdout=subprocess.PIPE,
                               text=True, timeout=TIMEOUT_S, check=True)
        self.assertEqual(again.stdout, "a b\n")

    def test_given_library(self):
        copy = self.path("libpg64.so")
        shutil.copy(self.show(), copy)
        said = self.expect(0, "run", "--dry-run", "--", "true", env=clean_env(PG64_LIBRARY=copy))
        words = shlex.split(said.stdout)
        self.assertIn(f"LD_PRELOAD={copy}", words)
        # The program must not see a variable that the library does not know.
        self.assertEqual(words[1:3], ["-u", "PG64_LIBRARY"])

    def test_no_library(self):
        """Whatever runs without pg64 runs with it, even when pg64 is broken."""
        said = self.expect(0, "run", "--", "echo", "runs", env=clean_env(PG64_LIBRARY="/nowhere"))
        self.assertEqual(said.stdout, "runs\n")
        self.assertIn("PG64_LIBRARY", said.stderr)

    def test_library_with_a_space(self):
        copy = self.write("a b/libpg64.so", "")
        said = self.expect(0, "run", "--", "echo", "runs", env=clean_env(PG64_LIBRARY=copy))
        self.assertEqual(said.stdout, "runs\n")
        self.assertIn("space or colon", said.stderr)

    def test_stats_path_is_absolute(self):
        said = self.expect(0, "run", "--dry-run", "--stats=out", "--", "true", cwd=self.folder)
        self.assertIn(f"PG64_STATS={self.path('out')}", shlex.split(said.stdout))


class Status(ToolCase):
    def test_status(self):
        for options in ([], ["--stats"], ["--require=0"]):
            with self.subTest(options):
                self.expect(7, "run", *options, "--", "sh", "-c", "exit 7")

    def test_killed(self):
        for options in (["--stats"], ["--require=100"]):
            with self.subTest(options):
                self.expect(128 + 9, "run", *options, "--", "sh", "-c", "kill -9 $$")
        # Without a parent in between, the shell that called sees the signal itself.
        self.expect(-9, "run", "--", "sh", "-c", "kill -9 $$")

    def test_not_found(self):
        for command in ("pg64-no-such-command", "./nope", ""):
            with self.subTest(command):
                self.one_line(self.expect(127, "run", "--", command).stderr)

    def test_not_executable(self):
        plain = self.write("plain", "text\n")
        self.one_line(self.expect(126, "run", "--", plain).stderr)
        self.one_line(self.expect(126, "run", "--", self.folder).stderr)

    def test_interpreter_missing(self):
        script = self.write("script", "#!/no/such/interpreter\n", 0o755)
        self.one_line(self.expect(127, "run", "--", script).stderr)
        self.one_line(self.expect(127, "run", "--stats", "--", script).stderr.splitlines()[0])

    def test_script_without_head(self):
        script = self.write("script", "echo ran\n", 0o755)
        self.assertEqual(self.expect(0, "run", "--", script).stdout, "ran\n")

    def test_forwarded_signal(self):
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
            with self.subTest(number):
                child = subprocess.Popen(
                    [TOOL, "run", "--stats", "--", "sh", "-c",
                     f"trap 'exit 42' {number.value}; echo ready; while :; do sleep 0.05; done"],
                    env=clean_env(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                    # Under nohup(1) it is ignored, and stays so whatever a shell traps.
                    preexec_fn=lambda number=number: signal.signal(number, signal.SIG_DFL))
                with child:
                    self.addCleanup(lambda child=child: child.poll() is None and child.kill())
                    child.stdout.readline()
                    child.send_signal(number)
                    self.assertEqual(child.wait(TIMEOUT_S), 42)

    def test_ignored_signal_stays_ignored(self):
        said = subprocess.run(["sh", "-c", 'trap "" HUP; exec "$0" run --stats -- sh -c '
                               '"kill -HUP \\$\\$; echo alive"', TOOL], env=clean_env(),
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              timeout=TIMEOUT_S, check=False)
        self.assertEqual((said.returncode, said.stdout), (0, "alive\n"))


class Require(ToolCase):
    def leftovers(self):
        return [name for name in os.listdir(self.folder) if name.startswith("pg64-run")]

    def run_fill(self, *options, code=FILL, prefix=(), folder=None):
        os.chmod(self.folder, 0o1777)
        return self.tool("run", *options, "--", PYTHON, "-S", "-c", code, prefix=prefix,
                         env=clean_env(TMPDIR=folder or self.folder))

    def test_not_met(self):
        said = self.run_fill("--require=50", "--backend=base")
        self.assertEqual(said.returncode, 125, said.stderr)
        self.one_line(said.stderr)
        self.assertIn("below the required 50 %", said.stderr)
        self.assertIn("pg64 ", said.stderr)
        self.assertEqual(self.leftovers(), [])

    def test_zero_is_met(self):
        said = self.run_fill("--require=0", "--backend=base")
        self.assertEqual((said.returncode, said.stderr), (0, ""))

    def test_met(self):
        data, _ = self.findings()
        if data["backend"]["heap"] == "base":
            self.skipTest("this machine has no 64 KiB pages for heaps")
        said = self.run_fill("--require=50", "--collapse-min=0", "--heap-min=0")
        self.assertEqual((said.returncode, said.stderr), (0, ""))

    def test_own_status_wins(self):
        said = self.run_fill("--require=100", "--backend=base", code=FILL + "; raise SystemExit(9)")
        self.assertEqual((said.returncode, said.stderr), (9, ""))

    def test_nothing_measured(self):
        self.assertIn("could not be measured",
                      self.one_line(self.expect(125, "run", "--require=1", "--", "true").stderr))
        static = self.compile("static", "-static", source="int main(void) { return 0; }\n")
        said = self.expect(125, "run", "--require=1", "--", static)
        self.assertIn("could not be measured", said.stderr.splitlines()[-1])

    def test_lower_bound(self):
        os.chmod(self.folder, 0o1777)
        # A program of our own: the python that runs the tests may be out of reach.
        fill = self.compile("fill", source=FILL_C)
        said = self.tool("run", "--require=100", "--backend=base", "--", fill,
                         prefix=self.unprivileged(), env=clean_env(TMPDIR=self.folder))
        self.assertEqual(said.returncode, 125, said.stderr)
        self.one_line(said.stderr)
        self.assertIn("sudo pg64", said.stderr)

    def test_after_root_is_given_up(self):
        """A service that changes its user before it ends can still leave its figures."""
        self.need_root()
        said = self.run_fill("--require=100", "--backend=base",
                             code=f"{FILL}; import os; os.setgid({NOBODY}); os.setuid({NOBODY})")
        self.assertEqual(said.returncode, 125, said.stderr)
        self.assertNotIn("no process left statistics", said.stderr)

    def test_stats_shown(self):
        said = self.run_fill("--stats", "--backend=base")
        self.assertEqual((said.returncode, said.stdout), (0, ""))
        self.assertIn("together: ", said.stderr)
        self.assertEqual(self.leftovers(), [])

    def test_stats_json(self):
        said = self.run_fill("--require=0", "--stats", "--stats-format=json", "--backend=base")
        lines = [json.loads(line) for line in said.stderr.splitlines()]
        self.assertEqual([line["pg64_stats"] for line in lines], [1])
        said = self.run_fill("--stats", "--stats-format=json")
        self.assertEqual(json.loads(said.stderr)["exe"], PYTHON)

    def test_stats_file(self):
        out = self.path("out")
        for options in ([], ["--require=0"]):
            with self.subTest(options):
                said = self.run_fill(*options, f"--stats={out}", "--stats-format=json")
                self.assertEqual((said.returncode, said.stderr), (0, ""))
                with open(out, encoding="utf-8") as file:
                    self.assertEqual(json.loads(file.read())["exe"], PYTHON)
                os.unlink(out)

    def test_openmetrics_cannot_be_judged(self):
        self.expect(2, "run", "--require=1", "--stats", "--stats-format=openmetrics", "--", "true")

    def test_no_temporary_folder(self):
        said = self.run_fill("--stats", folder=self.path("missing"), code="print('runs')")
        self.assertEqual((said.returncode, said.stdout), (0, "runs\n"))
        self.assertIn("TMPDIR", said.stderr)


class Unsuitable(ToolCase):
    """Programs that cannot take the preload run all the same, and one line says why."""

    def check(self, program, text, env=None):
        said = self.expect(3, "run", "--", program, env=env)
        self.assertIn(text, self.one_line(said.stderr))

    def test_static(self):
        self.check(self.compile("static", "-static"), "statically linked")

    def test_static_with_libpg64(self):
        """It needs no preload, and heeds the options all the same."""
        program = self.compile_with_pg64("static", "-static")
        said = self.expect(3, "run", "--stats=fd:2", "--stats-format=json", "--", program)
        self.assertIn('"active":{"malloc":true', said.stderr.replace(" ", ""))
        self.assertEqual(len(said.stderr.splitlines()), 1, said.stderr)

    def test_asan(self):
        self.check(self.compile("asan", "-fsanitize=address"), "AddressSanitizer")

    def test_static_asan(self):
        self.check(self.compile("asan", "-fsanitize=address", "-static-libasan"),
                   "AddressSanitizer")

    def test_set_id(self):
        self.need_root()
        program = self.compile("setid")
        os.chown(program, NOBODY, NOBODY)
        os.chmod(program, 0o4755)
        self.check(program, "set-id")

    def test_other_libc(self):
        program = self.compile("other", "-Wl,--dynamic-linker=/lib/ld-musl-none.so.1")
        said = self.expect(127, "run", "--", program)
        self.assertIn("not linked with the GNU C library", said.stderr)

    def test_damaged(self):
        """A file that only looks like a program is the kernel's to refuse."""
        whole = self.compile("whole")
        with open(whole, "rb") as file:
            content = file.read()
        for length in (4, 20, 64, 100, 1000, len(content) // 2):
            with self.subTest(length):
                path = self.path("cut")
                with open(path, "wb") as file:
                    file.write(content[:length])
                os.chmod(path, 0o755)
                self.assertIn(self.tool("doctor", path).returncode, (0, 1))


if __name__ == "__main__":
    unittest.TestCase.maxDiff = None
    main()
