# SPDX-License-Identifier: MIT
"""What the drivers of the kernel tests share: building, booting, and reading what came out.

The cases, checks and skips are those of tests/preload/preload.py. KERNEL_SERIES may name
another folder with BASE, series and patches.
"""
import glob
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "preload"))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from preload import Failed, Skip, case, check, main  # noqa: E402,F401
import pg64test  # noqa: E402,F401

PATCH = os.path.realpath(os.path.join(HERE, "..", "..", "kernel-patch"))
SERIES = os.environ.get("KERNEL_SERIES", PATCH)
BUILD, BOOT = os.path.join(PATCH, "build"), os.path.join(PATCH, "boot")
TIMED_OUT, TROUBLE, DIED = 124, 125, 126
BUILD_S, BOOT_S = 3000, 300
SILENCE_S = 120  # at most, by default: see kernel-patch/boot --help
KINDS = {"patched": [], "stock": ["--stock"], "debug": ["--debug"],
         "stock-debug": ["--stock", "--debug"]}
_images = {}


class Ran:
    """Status, output and standard error of a command that came to its end."""

    def __init__(self, words, timeout, env=None, cwd=None):
        started = time.monotonic()
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=env, cwd=cwd) as child:
            try:
                out, err = child.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                child.terminate()  # it ends what it has started
                out, err = child.communicate()
                raise Failed(f"{' '.join(words)[:300]}: not at its end after {timeout} s\n"
                             + err.decode("utf-8", "replace")[-2000:]) from None
        self.words, self.status, self.raw = words, child.returncode, out
        self.out, self.err = (text.decode("utf-8", "replace") for text in (out, err))
        self.took = time.monotonic() - started

    def expect(self, status=0, said=None):
        """The status, and a pattern that standard error must have."""
        check(self.status == status, f"{' '.join(self.words)[:300]}: ended with {self.status}, not "
              f"{status}\n{self.out[-3000:]}{self.err[-3000:]}")
        if said is not None:
            check(re.search(said, self.err), f"{said!r} is not in: {self.err[-3000:]}")
        return self


def build(*options, series=SERIES, env=None, timeout=BUILD_S):
    return Ran([BUILD, "--series", series, *options], timeout, env=env)


def image(kind="patched"):
    """Path of the kernel, built if it has to be."""
    if kind not in _images:
        if kind in ("patched", "debug") and not os.path.exists(os.path.join(SERIES, "series")):
            raise Failed(f"there is no series of patches in {SERIES}")
        _images[kind] = build(*KINDS[kind]).expect().out.splitlines()[-1]
    return _images[kind]


def boot(*words, kind="patched", options=(), timeout=BOOT_S, cwd=None, env=None):
    """Run a command in a guest. The guest's own time limits end it: two starts may be silent."""
    command = [BOOT, "--image", image(kind), "--timeout", str(timeout), *options, "--",
               *map(str, words)]
    return Ran(command, timeout + 2 * SILENCE_S + 120, cwd=cwd, env=env)


def guest(script, *words, kind="patched", options=(), timeout=BOOT_S):
    """Run a python script of this folder in a guest, with the library and command of the build."""
    names = ["PG64_LIBRARY", "PG64_TOOL", "PG64_PROGRAMS", "KERNEL_SERIES"]
    passed = [word for name in names for word in ("--env", name)]
    return boot(sys.executable, os.path.join(HERE, script), *words, kind=kind, timeout=timeout,
                options=[*passed, "--env", "PYTHONDONTWRITEBYTECODE=1", *options])


def main_in_guest(script, kind="patched", options=(), timeout=BOOT_S):
    """main() of a driver whose cases run in a guest: outside, boot one and pass on what it says."""
    if os.environ.get("KERNEL_GUEST"):
        main()
    ran = guest(os.path.abspath(script), *sys.argv[1:], kind=kind, timeout=timeout,
                options=["--env", "KERNEL_GUEST=1", *options])
    print(f"{ran.out}{ran.err}{kind} kernel, {ran.took:.0f} s with the boot")
    sys.exit(ran.status)


def knobs_to_never():
    """Every THP knob of this guest, as a user without root would find them at worst."""
    found = glob.glob("/sys/kernel/mm/transparent_hugepage/**/*enabled", recursive=True)
    check(len(found) >= 3, f"only {found}")
    for path in found:
        with open(path, "w", encoding="ascii") as file:
            file.write("never")


class Tap:
    """Results of a program that writes TAP: names by result."""

    def __init__(self, text):
        self.passed, self.failed, self.skipped = [], [], []
        self.planned = None
        for line in text.splitlines():
            plan = re.match(r"1\.\.(\d+)", line)
            result = re.match(r"(not )?ok \d+\s*-?\s*(.*)", line)
            if plan:
                self.planned = int(plan.group(1))
            elif result:
                name, _, directive = result.group(2).partition("#")
                skipped = re.search(r"\bSKIP\b", directive, re.I)
                place = (self.skipped if skipped else
                         self.failed if result.group(1) else self.passed)
                place.append(result.group(2).strip() if skipped else name.strip())

    @property
    def count(self):
        return len(self.passed) + len(self.failed) + len(self.skipped)

    def complete(self):
        check(self.planned, "no TAP plan was written")
        check(self.count == self.planned, f"{self.count} results, but {self.planned} were planned")
        return self

    def __str__(self):
        told = [f"{len(self.passed)} passed, {len(self.failed)} failed, "
                f"{len(self.skipped)} skipped"]
        return "\n".join(told + [f"  FAILED: {name}" for name in self.failed]
                         + [f"  SKIPPED: {name}" for name in self.skipped])
