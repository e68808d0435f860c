# SPDX-License-Identifier: MIT
"""What the tests of the pg64 command share: running it in a clean environment, a folder of their
own, and small programs to try it on.

PG64_TOOL is the command, PG64_LIBRARY the library, PG64_ARCHIVE libpg64.a; meson sets them.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

TOOL = os.environ.get("PG64_TOOL", "")
LIBRARY = os.environ.get("PG64_LIBRARY", "")
ARCHIVE = os.environ.get("PG64_ARCHIVE", "")
TIMEOUT_S = 60
NOBODY = 65534

SYSFS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "sysfs")
THP = "sys/kernel/mm/transparent_hugepage"
WAIT = "print('ready', flush=True); import time; time.sleep(60)"


def clean_env(**more):
    """The environment without anything that would change what the tool does."""
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("PG64_", "LD_", "MESON", "MALLOC_"))}
    env["LC_ALL"] = "C"
    env.update(more)
    return env


class ToolCase(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="pg64-tools-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        os.chmod(self.folder, 0o755)

    def tool(self, *words, env=None, prefix=(), **options):
        tool = self.public_tool() if prefix else TOOL
        return subprocess.run([*prefix, tool, *map(str, words)], env=env or clean_env(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              stdin=subprocess.DEVNULL, timeout=TIMEOUT_S, check=False, **options)

    def start_program(self, *words):
        """The id of a program that says when it is ready. The test ends it, and its children."""
        child = subprocess.Popen(words, env=clean_env(), stdout=subprocess.PIPE,
                                 start_new_session=True)

        def end():
            os.killpg(child.pid, 9)
            child.wait()
            child.stdout.close()
        self.addCleanup(end)
        self.assertEqual(child.stdout.readline(), b"ready\n")
        return child.pid

    def start_python(self, code, prefix=()):
        """A python that has run the code and then sleeps."""
        return self.start_program(*prefix, os.path.realpath(sys.executable), "-S", "-c",
                                  f"{code}\n{WAIT}")

    def public_tool(self):
        """A copy of tool and library that other users can reach."""
        tool = self.path("build/tools/pg64")
        if not os.path.exists(tool):
            for source, name in ((TOOL, tool), (LIBRARY, self.path("build/preload/libpg64.so"))):
                os.makedirs(os.path.dirname(name))
                shutil.copy(source, name)
        return tool

    def expect(self, status, *words, **options):
        said = self.tool(*words, **options)
        self.assertEqual(said.returncode, status, f"{words}: {said.stdout}{said.stderr}")
        return said

    def one_line(self, text):
        """Exactly one line, and one that begins as the tool's messages do."""
        self.assertEqual(len(text.splitlines()), 1, text)
        self.assertTrue(text.startswith("pg64"), text)
        return text

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def compile(self, name, *flags, source="int main(void) { return 3; }\n"):
        """A small program; the test is skipped where the flags do not work."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            self.skipTest("no C compiler")
        path = self.path(name)
        said = subprocess.run([compiler, "-x", "c", "-", "-o", path, *flags], input=source,
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=TIMEOUT_S, check=False)
        if said.returncode:
            self.skipTest(f"cannot compile with {flags}: {said.stdout.splitlines()[-1:]}")
        return path

    def compile_with_pg64(self, name, *flags):
        """A program that has libpg64.a linked in."""
        return self.compile(name, *flags, "-fno-builtin", "-pthread", "-x", "none", ARCHIVE,
                            source="#include <stdlib.h>\n"
                            "int main(void) { return malloc(9) ? 3 : 1; }\n")

    def capture(self, name):
        """A copy of a captured machine that may be written to."""
        root = self.path("root")
        shutil.copytree(os.path.join(SYSFS, name), root)
        return root

    def unprivileged(self):
        """The words in front of a command that has no privilege."""
        if os.geteuid() != 0:
            return []
        if not shutil.which("setpriv"):
            self.skipTest("no setpriv")
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                "--inh-caps=-all"]

    def need_root(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")

    def findings(self, *words, status=None, **options):
        """(doctor's JSON object, its findings by name)"""
        said = self.tool("doctor", "--json", *words, **options)
        if status is not None:
            self.assertEqual(said.returncode, status, said.stdout + said.stderr)
        data = json.loads(said.stdout)
        return data, {finding["name"]: finding for finding in data["findings"]}


def main():
    if not TOOL:
        sys.exit("set PG64_TOOL to the pg64 command")
    result = unittest.main(exit=False, verbosity=2).result
    if result.wasSuccessful() and result.skipped and len(result.skipped) == result.testsRun:
        sys.exit(77)
    sys.exit(not result.wasSuccessful())
