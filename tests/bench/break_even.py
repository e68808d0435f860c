#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/break-even says all that it promises, of memory that was moved for real.

usage: break_even.py PROGRAM
"""
import os
import re
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import knobs  # noqa: E402
import pg64test  # noqa: E402

MIB = 256
ROWS = ("born by faults", "born by collapse", "wait", "run of 1", "run of 2", "run of 4",
        "run of 8", "run of 16", "independent read, 64 KiB", "independent read, 2 MiB",
        "dependent read, 64 KiB", "dependent read, 2 MiB")
VARIANTS = 2


def run(*words, status=0):
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=100)
    if done.returncode != status:
        pg64test.fail(f"{words}: {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def whole_command():
    said = run(os.path.join(ROOT, "bench", "break-even"), str(MIB), "1")
    for row in ROWS:
        found = [float(value) for value in re.findall(rf"^  {row} +([\d.]+) [un]s  \(", said, re.M)]
        if len(found) != VARIANTS or min(found) <= 0:
            pg64test.fail(f"{row}: {found} in {said}")
    if len(re.findall(r"^  pays after +(\d+|never) reads .* by runs of \d+ (\d+|never)$", said,
                      re.M)) != 2 * VARIANTS:
        pg64test.fail(f"no break-even in {said}")


def nothing_moved(program):
    """Memory on other pages than it is about, and a size that is no power of two, are refused."""
    with knobs.Knobs("never"):
        said = run(program, "64")
    faults = float(re.search(r"^born_faults ([\d.]+)$", said, re.M).group(1))
    if faults < 500:
        pg64test.fail(f"{faults} faults for 2 MiB of base pages: the judge of page sizes is blind")
    run(program, "100", status=2)


def main(program):
    try:
        with knobs.Knobs("mthp"):
            pass
    except knobs.Unavailable as reason:
        pg64test.skip(str(reason))
    whole_command()
    nothing_moved(program)


if __name__ == "__main__":
    main(*sys.argv[1:])
