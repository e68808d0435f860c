# SPDX-License-Identifier: MIT
"""Every prefix of the series is a kernel that boots: who bisects may end anywhere.

For each patch that touches the kernel, the series up to it is built and booted, and runs the
selftest of the whole series. Cases of what is not there yet fail; but the machine comes to its
end without trouble in its log, and a case that passed with fewer patches passes from then on, but
for those that show nothing yet.

usage: prefixes.py [NUMBER...]    (default: all)
"""
import os
import re
import shutil
import sys
import tempfile
import time

from kernel import SERIES, build, case, check, main
from preload import Failed
import selftest

# Nothing is killed for 64 KiB units as long as there are none: patch 6 brings them, 12 and 13 have
# them give way.
EMPTY = {6: {"pagesize.dense_use_lives_where_pages_live",
             "pagesize.dense_use_lives_where_swap_is_full"}}
NUMBERS = [int(word) for word in sys.argv[1:] if word.isdecimal()]
KERNEL = re.compile(r"^\+\+\+ b/(?!Documentation/|tools/|samples/|MAINTAINERS)", re.M)


def read(name):
    with open(os.path.join(SERIES, name), encoding="utf-8") as file:
        return file.read()


def listed():
    lines = (line.partition("#")[0].strip() for line in read("series").splitlines())
    return [line for line in lines if line]


def prefixes():
    """[(number, last patch, all of them)], but for patches that change no kernel."""
    names = listed()
    found = [(number, name, names[:number]) for number, name in enumerate(names, 1)
             if KERNEL.search(read(name))]
    return [entry for entry in found if not NUMBERS or entry[0] in NUMBERS]


def kernel_of(names):
    with tempfile.TemporaryDirectory(prefix="pg64-prefix-") as folder:
        for name in ("BASE", *names):
            shutil.copy(os.path.join(SERIES, name), folder)
        with open(os.path.join(folder, "series"), "w", encoding="utf-8") as file:
            file.write("".join(f"{name}\n" for name in names))
        return build(series=folder).expect().out.splitlines()[-1]


def results(path):
    """Tap of the selftest on one kernel; cases that fail are no failure here."""
    # A case of patch 13 has the kernel choose between giving back and killing.
    ran, tap = selftest.run("patched", ["--image", path, "--env", "PAGESIZE_64K_FORCE=1",
                                        "--allow-oom"])
    tap.complete()
    check(ran.status in (0, 1), f"status {ran.status}: {tap}\n{ran.err[-3000:]}")
    return tap


@case
def each_boots():
    """From the whole series downwards: its kernel is there, or has the selftest built first."""
    above, troubles = set(selftest.run("patched")[1].complete().passed), []
    entries = prefixes()
    check(entries, f"no patch of {listed()} is for the kernel, or none of {NUMBERS}")
    for number, name, names in reversed(entries):
        started = time.monotonic()
        try:
            path = kernel_of(names)
            built = time.monotonic()
            tap = results(path)
        except Failed as failed:
            troubles.append(f"{name}: {failed}")
            print(f"{number:2} {name}: FAILED", flush=True)
            continue
        passed = set(tap.passed)
        lost = passed - above - EMPTY.get(number + 1, set())
        if lost:
            troubles.append(f"pass with {name} last, and with more no longer: {lost}")
        above = passed
        print(f"{number:2} {name}: {len(passed)} of {tap.count} cases pass "
              f"(built in {built - started:.0f} s)", flush=True)
    check(not troubles, "\n".join(troubles))
    return f"{len(entries)} kernels"


if __name__ == "__main__":
    sys.argv[1:] = [each_boots.__name__]
    main()
