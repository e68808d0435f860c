#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Statistics at the end of a process reach their place; the program's status and files are kept."""
import json
import os
import sys
import tempfile

sys.path[0] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
from preload import (LIBRARY, NOBODY, case, check, for_anybody, main, need,  # noqa: E402
                     need_root, program, run)


class Folder(tempfile.TemporaryDirectory):
    def __init__(self):
        super().__init__(prefix="pg64-")
        os.chmod(self.name, 0o777)

    def __enter__(self):
        return lambda name: os.path.join(self.name, name)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def objects(text):
    return [json.loads(line) for line in text.splitlines()]


@case
def a_file_for_each_process():
    with Folder() as path:
        run(program("crowd"), "10", env={"PG64_STATS": path("stats.%p.json")},
            stats_format="json").good()
        names = os.listdir(os.path.dirname(path("x")))
        check(len(names) == 11, f"11 processes, {names}")
        for name in names:
            found = objects(read(path(name)))
            check(len(found) == 1 and name == f"stats.{found[0]['pid']}.json", name)


@case
def one_file_for_all():
    """Forked children, and such that execute a program; no line is torn or lost."""
    said = run(program("crowd"), "40", stats=True).good()
    check(len(said.stats) == 41, f"41 processes, {len(said.stats)} lines")
    check(len({process["pid"] for process in said.stats}) == 41, "a process wrote twice")
    check(sum(process["forked"] for process in said.stats) == 20, "20 are forked without exec")
    parent = said.stats[-1]
    check(all(process["ppid"] == parent["pid"] for process in said.stats[:-1]), "ppid")
    check(parent["counters"]["forks"] == 0 and said.stats[0]["counters"] != {}, "counters")


@case
def descriptor():
    with Folder() as path:
        run(program("closes"), "0", "2", first=("sh", "-c", 'exec 7>"$0"; exec "$@"', path("out")),
            env={"PG64_STATS": "fd:7"}, stats_format="json").good(7)
        found = objects(read(path("out")))
        check(len(found) == 1 and found[0]["pid"] > 0, "fd:7")
    said = run(program("closes"), "9", "9", env={"PG64_STATS": "fd:7"}).good(7)
    check(said.err == "pg64: stats = fd:7: the descriptor is not open; no statistics are "
          "written\n", said.err)


def check_stderr(*words, status):
    said = run(*words, env={"PG64_STATS": "stderr"}, stats_format="json").good(status)
    check(len(objects(said.err)) == 1, f"{words}: {said.err!r}")


@case
def standard_error():
    """Also of programs that close it before they end."""
    check_stderr("/bin/true", status=0)
    check_stderr(program("closes"), "9", "9", status=7)
    check_stderr(program("closes"), "0", "2", status=7)
    check_stderr(program("closes"), "2", "2", status=7)
    for shell in ("bash",):  # dash ends by _exit()
        need(shell)
        check_stderr(shell, "-c", "exec 2>&-; exit 3", status=3)
    said = run(program("closes"), "9", "9", env={"PG64_STATS": "stderr"}, stats_format="json",
               first=("sh", "-c", 'ulimit -n 20; exec "$@"', "sh")).good(7)
    check(len(objects(said.err)) == 1, f"few descriptors: {said.err!r}")
    said = run(program("closes"), "9", "9", env={"PG64_STATS": "stderr"},
               first=("sh", "-c", 'exec "$@" 2>&-', "sh")).good(7)
    check(said.err == "", "closed from the start")


@case
def all_descriptors_closed():
    """A daemon's file that got the number of ours, or of standard error, is not written to."""
    for sink in ("stderr", "/nonexistent/stats"):
        with Folder() as path:
            said = run(program("closes"), "0", "1000", path("own"),
                       env={"PG64_STATS": sink}).good(7)
            check(said.err == "" and said.out == "", f"{sink}: {said.err}")
            check(read(path("own")) == "mine", f"{sink}: wrote into the program's file")
    with Folder() as path:
        run(program("closes"), "0", "1000", path("own"), env={"PG64_STATS": path("stats")},
            stats_format="json").good(7)
        check(len(objects(read(path("stats")))) == 1, "a path needs no descriptor")


@case
def formats():
    with Folder() as path:
        for name in ("text", "json", "openmetrics"):
            run(program("heavy"), env={"PG64_STATS": path(name)}, stats_format=name).good()
        text, metrics = read(path("text")), read(path("openmetrics"))
        found = objects(read(path("json")))
    check(len(found) == 1, "JSON is one line")
    stats = found[0]
    for member in ("pid", "ppid", "exe", "forked", "active", "backend", "reason", "memory",
                   "coverage", "faults", "counters"):
        check(member in stats, f"JSON has no {member}")
    check(stats["exe"] == program("heavy"), stats["exe"])
    check(metrics.endswith("\n# EOF\n") and metrics.count("# EOF") == 1, metrics[-100:])
    check("pg64_heap_reserve_total" in metrics, "OpenMetrics: no counter")
    check(all(line.startswith(("# TYPE pg64_", "# HELP pg64_", "# UNIT pg64_", "pg64_", "# EOF"))
              for line in metrics.splitlines()), "OpenMetrics: a line that is none")
    check("heap_reserve" in text and program("heavy") in text, text[:500])


@case
def not_to_be_written():
    for sink, error in (("/nonexistent/stats", 2), ("/dev/full", 28), ("/", 21)):
        said = run(program("closes"), "9", "9", env={"PG64_STATS": sink}).good(7)
        check(said.err == f"pg64: stats = {sink}: cannot be written (error {error})\n", said.err)
    said = run(program("crowd"), "3", env={"PG64_STATS": "/nonexistent/%p"}).good()
    check(len(said.err.splitlines()) == 4, f"a line for each process: {said.err}")


@case
def no_permission():
    need_root()
    need("setpriv")
    with Folder() as path:
        [library] = for_anybody(os.path.dirname(path("x")), LIBRARY)
        with open(path("stats"), "w", encoding="ascii") as file:
            file.write("theirs")
        os.chmod(path("stats"), 0o600)
        said = run("/bin/true", preload=library, first=NOBODY,
                   env={"PG64_STATS": path("stats")}).good()
        check(said.err == f"pg64: stats = {path('stats')}: cannot be written (error 13)\n",
              said.err)
        check(read(path("stats")) == "theirs", "written all the same")


@case
def fifo_without_reader():
    with Folder() as path:
        os.mkfifo(path("fifo"))
        said = run(program("closes"), "9", "9", env={"PG64_STATS": path("fifo")}).good(7)
        check(said.err == f"pg64: stats = {path('fifo')}: cannot be written (error 6)\n", said.err)


if __name__ == "__main__":
    main()
