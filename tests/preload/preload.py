# SPDX-License-Identifier: MIT
"""What the drivers in this folder share: running a program with and without the library, and a
list of cases.

PG64_LIBRARY names libpg64.so, PG64_PROGRAMS the folder of the built test programs; meson sets both.
A case is a function; it fails by check() or any exception, and skips by Skip("reason").
A program that does not end in time is taken to be in a deadlock.
"""
import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import knobs  # noqa: E402
import pg64test  # noqa: E402

TIMEOUT_S = 120
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
LIBRARY = pg64test.library()
CASES = []


class Skip(Exception):
    """This case cannot be tried here; the text says why."""


class Failed(Exception):
    """Something did not hold."""


def check(condition, message):
    if not condition:
        raise Failed(message)


def case(function):
    CASES.append(function)
    return function


def known(bug):
    """A case that fails by a bug that is known and not mended. That it passes is a failure too: the
    mark has to go then."""
    def mark(function):
        def expect_failure():
            try:
                function()
            except Failed:
                return f"KNOWN BUG: {bug}"
            raise Failed(f"passes, so take away the mark of a known bug: {bug}")
        expect_failure.__name__ = function.__name__
        return expect_failure
    return mark


def need(*names):
    for name in names:
        if not shutil.which(name):
            raise Skip(f"{name} is not installed")


def need_root():
    if os.geteuid() != 0:
        raise Skip("takes root")


def program(name, optional=False):
    folder = os.environ.get("PG64_PROGRAMS")
    if not folder:
        pg64test.fail("PG64_PROGRAMS is not set")
    path = os.path.join(os.path.realpath(folder), name)
    if not os.path.exists(path):
        raise (Skip if optional else Failed)(f"{name} was not built")
    return path


class Result:
    """What can be seen of a run."""

    def __init__(self, words, status, out, err, stats):
        self.words, self.status, self.out, self.err, self.stats = words, status, out, err, stats

    def counter(self, name):
        """Of the process that wrote last: the program itself."""
        return self.stats[-1]["counters"][name]

    def values(self):
        """Output of "name value" lines."""
        return {name: int(value) for name, value in
                (line.split() for line in self.out.splitlines())}

    def good(self, status=0, how=""):
        """The status is this one; `how` it was run is told if not."""
        check(self.status == status, f"{' '.join(self.words)[:200]} {how}: ended with "
              f"{self.status}, not {status}\n{self.out[-2000:]}{self.err[-2000:]}")
        return self


def run(*words, preload=True, stats=False, timeout=TIMEOUT_S, env=None, first=(), **options):
    """Run one command. `options`: of pg64. `first`: a launcher that is not to be preloaded."""
    with tempfile.TemporaryDirectory(prefix="pg64-") as folder:
        os.chmod(folder, 0o777)
        sink = os.path.join(folder, "stats") if stats else None
        if preload is True:
            preload = LIBRARY
        if preload:
            full = pg64test.preload_environment(preload, sink, **options)
        else:
            full = pg64test.clean_environment()
        full.update({"LC_ALL": "C", **(env or {})})
        if first:  # only the program itself is to be preloaded
            own = {name: full.pop(name) for name in list(full)
                   if name.startswith(("LD_PRELOAD", "PG64_"))}
            words = (*first, "env", *(f"{name}={value}" for name, value in own.items()), *words)
        status, out, err = wait(words, full, timeout)
        return Result(words, status, out, err, read_stats(sink))


def for_anybody(folder, *paths):
    """Copies of files in a folder that every user can read: a checkout may be private."""
    os.chmod(folder, 0o755)
    copies = []
    for path in paths:
        copy = os.path.join(folder, os.path.basename(path))
        shutil.copyfile(path, copy)
        os.chmod(copy, 0o755)
        copies.append(copy)
    return copies


def wait(words, env, timeout):
    """(status, output, standard error) of a command that gets `timeout` seconds. All that it
    started is in a session of its own, and ended with it."""
    with subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, start_new_session=True) as child:
        try:
            out, err = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
            raise Failed(f"{' '.join(words)[:200]}: not at its end after {timeout} s: a deadlock?\n"
                         + err.decode("utf-8", "replace")[-2000:]) from None
    return child.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def read_stats(sink):
    """The statistics; a line that is no JSON is a failure."""
    if not sink or not os.path.exists(sink):
        return []
    with open(sink, encoding="utf-8") as file:
        try:
            return [json.loads(line) for line in file]
        except ValueError as error:
            raise Failed(f"statistics are not JSON: {error}") from None


def same(*words, status=0, variants=({},), **options):
    """The program must do the same with and without the library, with each set of options."""
    plain = run(*words, preload=False).good(status, "without the library")
    for variant in variants:
        ours = run(*words, **options, **variant).good(status, {**options, **variant})
        for what, wanted, got in (("output", plain.out, ours.out),
                                  ("standard error", plain.err, ours.err)):
            if wanted != got:
                raise Failed(f"{' '.join(words)} {variant}: {what} differs:\n"
                             + difference(wanted, got))


def difference(wanted, got):
    pairs = zip(wanted.splitlines() + ["(end)"], got.splitlines() + ["(end)"])
    return "\n".join([f"-{a}\n+{b}" for a, b in pairs if a != b][:20])


def main_under(presets):
    """main() under the THP settings that the first argument names."""
    preset = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if preset not in presets:
        pg64test.fail(f"usage: {os.path.basename(sys.argv[0])} {'|'.join(presets)} [CASE...]")
    try:
        with knobs.Knobs(preset):
            main()
    except knobs.Unavailable as reason:
        pg64test.skip(str(reason))


def side_by_side(function, items, at_once=2):
    """[function(item) for each], in the order of `items`: as many at a time as this process has
    processors, but no more than `at_once`. One at a time is in the main thread, which alone can
    handle signals. Of failures, that of the first item is raised. For what does not count or set
    anything that belongs to the machine."""
    workers = min(at_once, len(os.sched_getaffinity(0)))
    if workers == 1:
        return list(map(function, items))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, items))


def outcome(function):
    """(FAIL, SKIP or ok, the line to print) of one case."""
    name = function.__name__
    try:
        said = function()
    except Skip as reason:
        return "SKIP", f"SKIP: {name}: {reason}"
    except Failed as what:
        return "FAIL", f"FAIL: {name}: {what}"
    except Exception:  # pylint: disable=broad-except
        return "FAIL", f"FAIL: {name}:\n{traceback.format_exc()}"
    return "ok", f"ok   {name}" + (f": {said}" if said else "")


def main(at_once=1):
    """Run all cases, or those named on the command line; `at_once` of them beside each other."""
    wanted = sys.argv[1:]
    todo = [function for function in CASES if not wanted or function.__name__ in wanted]
    seen = []
    lock = threading.Lock()

    def one(function):
        result, line = outcome(function)
        with lock:  # or lines are mixed
            seen.append(result)
            print(line, flush=True)
    side_by_side(one, todo, at_once)
    failed, skipped = seen.count("FAIL"), seen.count("SKIP")
    print(f"{len(todo)} cases, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed or not todo else 77 if skipped == len(todo) else 0)
