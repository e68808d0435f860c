#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A program of the allocator set does the same work under every allocator, and notices memory that
is handed out twice.

usage: program.py PROGRAM OVERLAP-LIBRARY
"""
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import pg64test  # noqa: E402

SCALE = "0.01"
TIMEOUT_S = 50


def run(program, preload, *words):
    env = pg64test.preload_environment(preload) if preload else pg64test.clean_environment()
    return subprocess.run([program, *words], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=TIMEOUT_S, check=False)


def metrics(program, preload, threads):
    """{metric: value} of a run that has to succeed."""
    done = run(program, preload, "--threads", str(threads), "--scale", SCALE)
    said = done.stdout.decode()
    what = f"{threads} threads, {'with' if preload else 'without'} pg64"
    if done.returncode or done.stderr:
        pg64test.fail(f"{what}: status {done.returncode}: {done.stderr.decode()}")
    if not re.fullmatch(r"([a-z_]+ \d+\n)+", said):
        pg64test.fail(f"{what}: unexpected output {said!r}")
    found = {name: int(value) for name, value in map(str.split, said.splitlines())}
    if not found.get("operations") or "checksum" not in found:
        pg64test.fail(f"{what}: no operations or no checksum in {said!r}")
    return found


def check_usage(program):
    for words in (["--threads", "0"], ["--threads", "1.5"], ["--threads"], ["--scale", "x"],
                  ["--scale", "-1"], ["--what", "1"], ["8"]):
        done = run(program, None, *words)
        if done.returncode != 2 or b"usage:" not in done.stderr:
            pg64test.fail(f"{words}: status {done.returncode}, not usage and 2")


def check_notices(program, overlap, threads):
    """One thread's run is the same every time, and ends with the message. Among several, the block
    that is handed out twice may be a table of addresses that a thread has just begun with, so that
    the program may follow a wrong one before it comes to compare: it dies, which is no result."""
    done = run(program, overlap, "--threads", str(threads), "--scale", SCALE)
    said = done.stderr.decode()
    if threads > 1 and done.returncode in (-signal.SIGSEGV, -signal.SIGBUS):
        said = signal.Signals(-done.returncode).name
    elif done.returncode != 1 or not said.startswith("corrupt: "):
        pg64test.fail(f"blocks handed out twice, {threads} threads: status {done.returncode}, "
                      f"{done.stdout + done.stderr!r}")
    print(f"blocks handed out twice, {threads} threads: {said.strip()}")


def main(argv):
    if len(argv) != 3:
        sys.exit(__doc__)
    program, overlap = map(os.path.realpath, argv[1:])
    for threads in (1, 4):
        plain = metrics(program, None, threads)
        again = metrics(program, pg64test.library(), threads)
        if plain != again:
            pg64test.fail(f"{threads} threads: {plain} without, {again} with pg64")
        print(f"{threads} threads: {plain}")
        check_notices(program, overlap, threads)
    check_usage(program)


if __name__ == "__main__":
    main(sys.argv)
