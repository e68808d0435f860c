#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What small programs pay for the library: /bin/true, and a shell script of 100 commands.

Extra system calls, extra minor faults and extra anonymous memory, counted, against a budget. The
figures are printed, and the extra resident memory with them: most of it is the library's file,
which all programs share, and how much of that a fault maps depends on the page cache. Of several
runs the least is taken: what is random (the layout of a process) only ever adds. The faults of the
script are summed over the shell and its children; the memory is the shell's.
"""
import os
import subprocess
import tempfile

import bounds  # noqa: F401  # pylint: disable=unused-import
from preload import LIBRARY, case, check, main, need, program

# Budgets: what was measured (in brackets), and a little.
TRUE_CALLS = 17  # [15, of them 8 the dynamic linker's to load the library]
TRUE_FAULTS = 45  # [27 to 34; how much a fault maps around depends on the page cache]
TRUE_ANON_KIB = 72  # [52 to 56]
OVER_NOTHING_FAULTS = 26  # [16 to 20] beyond those of a preloaded library with nothing in it
SCRIPT_CALLS = 2200  # [2017: 15 for each of 101 programs, 5 for each of 100 forks of the shell]
SCRIPT_FAULTS = 7000  # [5208 to 6348, 60 for each program and its fork]
SCRIPT_ANON_KIB = 232  # [184 to 196]

RUNS = 5
# Ours would add to the figures: folders for the loader to search, variables for the shell to copy.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
TRUE = ("/bin/true",)
SCRIPT = ("/bin/bash", "-c", "for i in {1..100}; do /bin/echo $i >/dev/null; done")


def system_calls(command, preload=None):
    """Lines of strace -f that are system calls."""
    given = [f"-ELD_PRELOAD={preload}"] if preload else []
    with tempfile.NamedTemporaryFile(prefix="pg64-", mode="r") as file:
        subprocess.run(["strace", "-f", "-qq", "-e", "signal=none", "-o", file.name, *given,
                        *command], env=ENVIRONMENT, check=True, timeout=30,
                       stdin=subprocess.DEVNULL)
        return sum(1 for line in file
                   if " resumed>" not in line and "+++" not in line and "(" in line)


def cost(command, preload=None):
    """{minor_faults, rss_max, anonymous} of a command that a small process starts."""
    given = [f"LD_PRELOAD={preload}"] if preload else []
    read_fd, write_fd = os.pipe()
    words = [program("spawn"), *given, *command]
    # The shell gives the launcher its descriptor 3, whatever ours is.
    with subprocess.Popen(["/bin/sh", "-c", f'exec "$@" 3>&{write_fd} {write_fd}>&-', "sh", *words],
                          env=ENVIRONMENT, pass_fds=(write_fd,),
                          stdin=subprocess.DEVNULL) as child:
        os.close(write_fd)
        with os.fdopen(read_fd) as file:
            said = file.read()
        check(child.wait(30) == 0, f"{words}: ended with {child.returncode}")
    return {name: int(value) for name, value in (line.split() for line in said.splitlines())}


def least(command, preload=None):
    runs = [cost(command, preload) for _ in range(RUNS)]
    return {name: min(one[name] for one in runs) for name in runs[0]}


def calls_within(command, budget):
    need("strace")
    plain, ours = (min(system_calls(command, preload) for _ in range(2))
                   for preload in (None, LIBRARY))
    said = f"{plain} -> {ours} system calls: {ours - plain} more, budget {budget}"
    check(ours - plain <= budget, said)
    return said


def cost_within(command, faults, anonymous_kib):
    plain, ours = least(command), least(command, LIBRARY)
    more = {name: ours[name] - plain[name] for name in plain}
    said = (f"{plain['minor_faults']} -> {ours['minor_faults']} minor faults: "
            f"{more['minor_faults']} more, budget {faults}; {plain['anonymous'] >> 10} -> "
            f"{ours['anonymous'] >> 10} KiB anonymous: {more['anonymous'] >> 10} more, budget "
            f"{anonymous_kib} ({more['rss_max'] >> 10} KiB more resident at most)")
    check(more["minor_faults"] <= faults and more["anonymous"] <= anonymous_kib << 10, said)
    return said


@case
def true_calls():
    return calls_within(TRUE, TRUE_CALLS)


@case
def true_cost():
    return cost_within(TRUE, TRUE_FAULTS, TRUE_ANON_KIB)


@case
def true_beside_nothing():
    plain, nothing, ours = (least(TRUE, preload)["minor_faults"] for preload in (
        None, program("libnothing.so"), LIBRARY))
    said = (f"{plain} minor faults, {nothing} with an empty library, {ours} with pg64: "
            f"{ours - nothing} more, budget {OVER_NOTHING_FAULTS}")
    check(plain < nothing and ours - nothing <= OVER_NOTHING_FAULTS, said)
    return said


@case
def script_calls():
    return calls_within(SCRIPT, SCRIPT_CALLS)


@case
def script_cost():
    return cost_within(SCRIPT, SCRIPT_FAULTS, SCRIPT_ANON_KIB)


if __name__ == "__main__":
    main()
