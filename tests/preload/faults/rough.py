#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs that do to their memory and their process what few do, and may."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from preload import case, check, main, program, run  # noqa: E402

MIB = 1 << 20
BACKENDS = ("mthp", "collapse", "base")


def on_each(name):
    for backend in BACKENDS:
        run(program(name), backend=backend).good()


@case
def fork_in_a_signal_handler():
    """It waited for its own thread's lock for ever."""
    on_each("fork_in_handler")


@case
def sealed_behind_the_fill():
    """What prepares a stretch for MADV_COLLAPSE wrote into read-only memory."""
    on_each("sealed")


@case
def sparse_growth():
    """The copy made resident what the program had never touched."""
    plain = run(program("sparse"), preload=False).good().values()["resident"]
    for backend in BACKENDS:
        ours = run(program("sparse"), backend=backend).good().values()["resident"]
        check(ours <= plain + 64 * MIB, f"{backend}: {ours} bytes resident, without pg64 {plain}")


if __name__ == "__main__":
    main()
