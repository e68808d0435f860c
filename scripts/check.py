# SPDX-License-Identifier: MIT
"""The steps of scripts/check: each builds or tests something, counts, and says how long it took.

A skipped test is listed with its reason; with CI=true in the environment, one that
tests/skips.allowed does not allow counts as failed. The last line is the sum of everything.
"""
import argparse
import fnmatch
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))
BUILD = os.path.join(ROOT, "build-check")
KNOBS = os.path.join(ROOT, "tests", "lib", "knobs.py")
PASSED = ("OK", "EXPECTEDFAIL")
# The tests' own limits are for an idle machine; a busy or slow one is no failure, a hang still is.
PATIENCE = 4
ENDING_S = 60  # for a command that is to end, and ends its tests
DROPPED = ("LD_PRELOAD", "PG64_", "MIMALLOC_", "MALLOC_", "GLIBC_TUNABLES", "CFLAGS", "CPPFLAGS",
           "CXXFLAGS", "LDFLAGS", "DESTDIR", "MESON", "ASAN_", "UBSAN_")
NOT_UNDER_VALGRIND = {
    "args": "runs itself again through /proc/self/exe, which is valgrind then",
    "args-static": "valgrind does not know the string functions of a static C library",
}
# Of suite preload, all but what takes long and is about the kernel's answers, which are the same
# for a library that another compiler made: heap, limits, faults-kernels, two of the three maps.
QUICK_PRELOAD = ("family", "fork", "api", "maps-mthp", "startup", "profile-table", "profile-hook",
                 "profile", "faults-corruption", "faults-statistics", "faults-loading",
                 "faults-rough")
COMPILERS = {"gcc": {"CC": "gcc", "CXX": "g++"}, "clang": {"CC": "clang", "CXX": "clang++"}}


class StepError(Exception):
    """A step cannot go on; the text says why."""


def environment(extra=None):
    env = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED)}
    env.update({"LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": "1", **(extra or {})})
    return env


def run(name, *words, env=None, cwd=ROOT, quiet=True, timeout=3000):
    """One command, its output in build-check/NAME.log; a failure shows the end of it."""
    os.makedirs(BUILD, exist_ok=True)
    log = os.path.join(BUILD, f"{name}.log")
    with open(log, "ab") as file:
        file.write(f"$ {' '.join(words)}\n".encode())
        file.flush()
        status = status_of(words, timeout, cwd=cwd, env=environment(env),
                           stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    if status and quiet:
        with open(log, encoding="utf-8", errors="replace") as file:
            tail = "".join(file.readlines()[-40:])
        raise StepError(f"`{' '.join(words)[:200]}` ended with {status}:\n{tail}")
    return status


def status_of(words, timeout, **options):
    """Run to the end. If we are to end before, or the time is up, the command is asked to end what
    it has started itself, as meson does with tests: killed at once it would leave them running."""
    with subprocess.Popen(words, **options) as child:
        try:
            return child.wait(timeout)
        except BaseException:
            child.terminate()
            try:
                child.wait(ENDING_S)
            except subprocess.TimeoutExpired:
                child.kill()
            raise


def read_text(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class Report:
    """Counts, skips and failures of all steps."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.ci = os.environ.get("CI") == "true"
        self.allowed = self._allowed()
        self.skips, self.failures = [], []

    @staticmethod
    def _allowed():
        """[(pattern of STEP/TEST, reason)] of tests/skips.allowed."""
        found = []
        with open(os.path.join(ROOT, "tests", "skips.allowed"), encoding="utf-8") as file:
            for line in file:
                words = line.split(None, 1)
                if words and not words[0].startswith("#"):
                    found.append((words[0], words[1].strip() if len(words) > 1 else ""))
        if any(not reason for _, reason in found):
            raise StepError("tests/skips.allowed: each line is a pattern and a reason")
        return found

    def ok(self):
        self.passed += 1

    def fail(self, name, text=""):
        self.failed += 1
        self.failures.append("\n    ".join([name, *failure_lines(text)]))
        print(f"  FAILED {name}")
        if text:
            print("\n".join("    " + line for line in text.rstrip().split("\n")[-40:]))

    def skip(self, name, reason):
        allowed = any(fnmatch.fnmatchcase(name, pattern) for pattern, _ in self.allowed)
        if self.ci and not allowed:
            self.fail(f"{name}: skipped in CI, and not in tests/skips.allowed", reason)
            return
        self.skipped += 1
        self.skips.append(f"{name}: {reason}")

    def meson_tests(self, step, path):
        """Count what `meson test` wrote down."""
        count = 0
        with open(path, encoding="utf-8") as file:
            for line in file:
                test = json.loads(line)
                name = f"{step}/{test['name'].split(' / ')[-1]}"
                said = (test.get("stdout") or "") + (test.get("stderr") or "")
                count += 1
                if test["result"] in PASSED:
                    self.ok()
                elif test["result"] == "SKIP":
                    self.skip(name, skip_reason(said))
                else:
                    self.fail(f"{name} ({test['result']}, {test['duration']:.0f} s)", said)
        if not count:
            raise StepError("no test was run")
        return count


def failure_lines(said):
    """The lines that say what failed, for the summary: who reads only the end learns it too."""
    told = [line.strip() for line in said.split("\n")
            if line.lstrip().startswith(("FAIL", "not ok"))]
    return [line[:600] for line in told[:4]]


def skip_reason(said):
    """The line that says why: "SKIP: reason", or else the last one."""
    lines = [line.strip() for line in said.split("\n") if line.strip()]
    told = [line for line in lines if "skip" in line.lower()]
    return (told or lines or ["no reason given"])[-1].removeprefix("SKIP: ")


class Check:
    """The steps. Each is a method; its first line of help is what is shown."""

    def __init__(self, report, jobs):
        self.report, self.jobs = report, jobs

    def configure(self, name, *options, compiler="gcc", source=ROOT, werror=True):
        """Configure (once) and build build-check/NAME."""
        build = os.path.join(BUILD, name)
        env = COMPILERS[compiler]
        words = ["meson", "setup", "--wrap-mode=nodownload", *(["--werror"] if werror else []),
                 *options, build, source]
        stamp = os.path.join(build, "configured-as")
        if not os.path.exists(stamp) or read_text(stamp) != "\n".join(words):
            shutil.rmtree(build, ignore_errors=True)
            run(name, *words, env=env)
            with open(stamp, "w", encoding="utf-8") as file:
                file.write("\n".join(words))
        run(name, "ninja", "-C", build, *([f"-j{self.jobs}"] if self.jobs else []), env=env)
        self.report.ok()
        return build

    def test(self, step, build, *words, prefix=(), env=None, timeout=5400, count=None):
        """meson test, counted; `words` choose the tests, `count` of them: meson says nothing of a
        name that is no test's."""
        logs = os.path.join(build, "meson-logs", "testlog*.json")  # a wrapper is in the name
        for log in glob.glob(logs):
            os.unlink(log)
        status = run(f"{step}-test", *prefix, "meson", "test", "-C", build, "--no-rebuild",
                     "--print-errorlogs", "--timeout-multiplier", str(PATIENCE), *words, env=env,
                     quiet=False, timeout=timeout)
        if not glob.glob(logs):
            raise StepError(f"meson test ended with {status} and left no log: "
                            f"see build-check/{step}-test.log")
        failed = self.report.failed
        found = self.report.meson_tests(step, glob.glob(logs)[0])
        if status and failed == self.report.failed:
            raise StepError(f"meson test ended with {status}")
        if count not in (None, found):
            raise StepError(f"{found} tests were run, not {count}: is each of these one? "
                            + " ".join(words))
        print(f"  {found} tests")

    def fetch(self):
        """sources that are not in the tree"""
        run("fetch", os.path.join(ROOT, "scripts", "fetch-mimalloc"))
        self.report.ok()

    def gcc_quick(self):
        """gcc: build, lints, fast tests"""
        build = self.configure("gcc")
        self.test("gcc", build, "--no-suite", "compat", "--no-suite", "pg", "--no-suite", "demo")

    def gcc(self):
        """gcc: build, every test"""
        self.test("gcc", self.configure("gcc"))

    def mthp(self):
        """64 KiB pages by mTHP: programs and PostgreSQL's regression suite"""
        build = self.configure("gcc")
        probe = subprocess.run([sys.executable, KNOBS, "mthp", "--", "true"], check=False,
                               stdout=subprocess.PIPE, env=environment())
        if probe.returncode == 77:
            self.report.skip("mthp", skip_reason(probe.stdout.decode()))
            return
        self.test("mthp", build, "--suite", "compat", "--suite", "pg",
                  prefix=(sys.executable, KNOBS, "mthp-pmd", "--"))

    def kernel_build(self):
        """The build with the tests in QEMU; the kernels are built by the tests, once."""
        return self.configure("kernel", "-Dkernel_tests=true")

    def kernel(self):
        """lint of the series; the patched kernel in QEMU: selftest, runtime, stress, pressure"""
        self.test("kernel", self.kernel_build(), "--suite", "kernel", timeout=14400)

    def kernel_debug(self):
        """the same under lockdep and KASAN: selftest, stress; each patch: W=1, and it boots"""
        self.test("kernel_debug", self.kernel_build(), "--suite", "kernel-debug",
                  timeout=28800)

    def clang(self):
        """clang: build, unit tests, most of suite preload"""
        build = self.configure("clang", compiler="clang")
        self.test("clang", build, "--suite", "unit")
        self.test("clang", build, *QUICK_PRELOAD, count=len(QUICK_PRELOAD))

    def clang_preload(self):
        """clang: every test of suite preload, what counts faults and meets limits too"""
        self.test("clang_preload", self.configure("clang", compiler="clang"),
                  "--suite", "preload")

    def sanitizers(self):
        """gcc with AddressSanitizer and UBSan: unit tests"""
        build = self.configure("sanitizers", "-Db_sanitize=address,undefined", "-Db_lundef=false",
                               "-Db_ndebug=false", "-Doptimization=1",
                               werror=False)  # gcc warns falsely with them
        patience = str(3 * PATIENCE)
        self.test("sanitizers", build, "--suite", "unit", "--timeout-multiplier", patience, env={
            "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"})

    def valgrind(self):
        """valgrind: unit tests that are programs"""
        build = self.configure("gcc")
        listed = json.loads(subprocess.run(["meson", "introspect", "--tests", build], check=True,
                                           stdout=subprocess.PIPE, env=environment()).stdout)
        names = [test["name"] for test in listed
                 if any(suite.split(":")[-1] == "unit" for suite in test["suite"])
                 and test["cmd"][0].startswith(build)]
        for name, reason in NOT_UNDER_VALGRIND.items():
            if name in names:
                names.remove(name)
                self.report.skip(f"valgrind/{name}", reason)
        supp = os.path.join(ROOT, "tests", "valgrind.supp")
        wrapper = (f"valgrind -q --suppressions={supp} --error-exitcode=99 --leak-check=full "
                   "--errors-for-leak-kinds=definite --child-silent-after-fork=yes")
        self.test("valgrind", build, "--timeout-multiplier", "10", f"--wrapper={wrapper}", *names)

    def system_mimalloc(self):
        """-Dmimalloc=system: build, unit tests, smoke tests"""
        build = self.configure("system", "-Dmimalloc=system")
        self.test("system", build, "--suite", "unit")
        self.test("system", build, "compat-bash", "compat-sqlite", "lint-exports",
                  env={"PG64_MIMALLOC": "system"})

    def install(self):
        """meson install into a folder, and a program built against it"""
        build = self.configure("gcc")
        place = os.path.join(BUILD, "install")
        shutil.rmtree(place, ignore_errors=True)
        run("install", "meson", "install", "-C", build, "--no-rebuild", "--destdir", place)
        found = [os.path.join(folder, name) for folder, _, names in os.walk(place)
                 for name in names]
        for wanted in ("libpg64.so", "libpg64.a", "pg64.h", "pg64.pc", "bin/pg64", "pg64.1",
                       "pg64.7", "pg64.h.3", "pagesize_64k.7"):
            if not any(path.endswith("/" + wanted) or path.endswith("/" + wanted + ".gz")
                       for path in found):
                self.report.fail(f"install/{wanted}", "is not installed")
            else:
                self.report.ok()
        self.use_installed(place, found)

    def use_installed(self, place, found):
        """Compile against what was installed, as a user would."""
        source = os.path.join(BUILD, "install-user.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write('#include <pg64.h>\n#include <stdio.h>\n'
                       'int main(void) { puts(pg64_version()); return 0; }\n')
        folder = os.path.dirname(next(path for path in found if path.endswith("/pg64.pc")))
        env = {"PKG_CONFIG_PATH": folder, "PKG_CONFIG_SYSROOT_DIR": place}
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "pg64"], check=True,
                               stdout=subprocess.PIPE, env=environment(env)).stdout.decode()
        program = os.path.join(BUILD, "install-user")
        run("install", "gcc", source, "-o", program, *flags.split())
        library = os.path.dirname(next(path for path in found if path.endswith("/libpg64.so")))
        run("install", program, env={"LD_LIBRARY_PATH": library})
        self.report.ok()

    def dist(self):
        """meson dist of this very tree, and a build from the tarball"""
        if not os.path.exists(os.path.join(ROOT, ".git")):
            self.report.skip("dist", "this is no git checkout")
            return
        place = os.path.join(BUILD, "dist")
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place)
        clone = os.path.join(place, "clone")
        listed = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others",
             "--exclude-standard"], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
        for name in filter(None, listed.decode().split("\0")):
            if os.path.isfile(os.path.join(ROOT, name)):
                os.makedirs(os.path.dirname(os.path.join(clone, name)), exist_ok=True)
                shutil.copy2(os.path.join(ROOT, name), os.path.join(clone, name),
                             follow_symlinks=False)
        who = ["-c", "user.name=check", "-c", "user.email=check@example.org",
               "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"]
        run("dist", "git", "init", "-q", clone)
        run("dist", "git", "add", "-A", cwd=clone)
        run("dist", "git", *who, "commit", "-q", "-m", "dist", cwd=clone)
        tarball = "subprojects/packagefiles"
        for name in os.listdir(os.path.join(ROOT, tarball)):
            if ".tar." in name:
                shutil.copy2(os.path.join(ROOT, tarball, name), os.path.join(clone, tarball))
        build = os.path.join(place, "build")
        run("dist", "meson", "setup", "--wrap-mode=nodownload", build, clone)
        run("dist", "meson", "dist", "-C", build, "--no-tests", "--formats", "gztar")
        self.report.ok()
        made = [name for name in os.listdir(os.path.join(build, "meson-dist"))
                if name.endswith(".tar.gz")]
        with tarfile.open(os.path.join(build, "meson-dist", made[0])) as archive:
            archive.extractall(place)
        source = os.path.join(place, made[0].removesuffix(".tar.gz"))
        shutil.copytree(os.path.join(clone, tarball), os.path.join(source, tarball),
                        dirs_exist_ok=True)
        shutil.rmtree(os.path.join(BUILD, "from-dist"), ignore_errors=True)
        build = self.configure("from-dist", source=source)
        self.test("from-dist", build, "--suite", "unit", "--suite", "lint")


QUICK = ("fetch", "gcc_quick")
NORMAL = ("fetch", "gcc", "mthp", "clang", "sanitizers", "valgrind", "system_mimalloc", "install",
          "dist", "kernel")
FULL = (*NORMAL, "clang_preload", "kernel_debug")


def arguments(argv):
    lines = [f"  {name:16}{getattr(Check, name).__doc__.splitlines()[0]}"
             for name in dict.fromkeys((*QUICK, *FULL))]
    parser = argparse.ArgumentParser(
        prog="scripts/check", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Install what is missing, build pg64 and run its tests.",
        epilog="steps:\n" + "\n".join(lines) + "\nbuilds and logs are kept in build-check/")
    parser.add_argument("--quick", action="store_true", help="one build, lints and fast tests")
    parser.add_argument("--full", action="store_true",
                        help="the default, clang's build with every test of suite preload, and the "
                             "kernel under lockdep and KASAN, patch by patch")
    parser.add_argument("--fresh", action="store_true", help="remove build-check/ first")
    parser.add_argument("-j", dest="jobs", type=int, help="compile jobs (default: ninja's)")
    parser.add_argument("steps", nargs="*", metavar="STEP", help="only these steps")
    options = parser.parse_args(argv)
    if options.quick and options.full:
        parser.error("--quick or --full, not both")
    unknown = [name for name in options.steps if name not in (*QUICK, *FULL)]
    if unknown:
        parser.error(f"no such step: {', '.join(unknown)}")
    if options.steps and "fetch" not in options.steps:
        options.steps.insert(0, "fetch")  # which a new clone cannot do without
    if not options.steps:
        options.steps = QUICK if options.quick else FULL if options.full else NORMAL
    return options


def main(argv):
    options = arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.fresh:
        shutil.rmtree(BUILD, ignore_errors=True)
    report = Report()
    check = Check(report, options.jobs)
    begin = time.monotonic()
    for name in options.steps:
        step = getattr(check, name)
        start = time.monotonic()
        log = os.path.join(BUILD, f"{name}.log")
        if os.path.exists(log):
            os.unlink(log)
        print(f"==> {name}: {step.__doc__.splitlines()[0]}", flush=True)
        try:
            step()
        except (StepError, OSError, subprocess.SubprocessError, StopIteration) as error:
            report.fail(name, str(error) or repr(error))
        print(f"  {time.monotonic() - start:.0f} s", flush=True)
    if report.skips:
        print("skipped:\n  " + "\n  ".join(report.skips))
    if report.failures:
        print("failed:\n  " + "\n  ".join(report.failures))
    print(f"{time.monotonic() - begin:.0f} s in all; logs are in build-check/")
    print(f"{report.passed} passed, {report.failed} failed, {report.skipped} skipped")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
