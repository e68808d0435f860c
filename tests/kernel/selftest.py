# SPDX-License-Identifier: MIT
"""The selftest of the series: every case passes on the patched kernel, and none can on the stock
one. Its TAP is read whole; a case that is skipped is named.

usage: selftest.py [patched|debug]    (default: patched)
"""
import os
import sys

from kernel import Skip, Tap, boot, case, check, image, main

KIND = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1] in ("patched", "debug") else "patched"
GUEST = ["--memory", "2G", "--numa"]


def binary():
    path = os.path.join(os.path.dirname(image(KIND)), "pagesize_64k")
    if not os.path.exists(path):
        raise Skip("the series has no tools/testing/selftests/mm/pagesize_64k.c")
    return path


def run(kind, options=()):
    ran = boot("sh", "-c", 'swapon=$(command -v swapon) && echo 256M >/sys/block/zram0/disksize && '
               'mkswap /dev/zram0 >/dev/null && "$swapon" /dev/zram0; exec "$0"', binary(),
               kind=kind, options=[*GUEST, *options], timeout=1500)
    return ran, Tap(ran.out)


@case
def on_the_patched_kernel():
    ran, tap = run(KIND)
    check(ran.status == 0 and not tap.failed,
          f"status {ran.status}: {tap}\n{ran.out[-6000:]}{ran.err[-3000:]}")
    tap.complete()
    check(tap.passed, f"nothing passed: {tap}")
    # The guest has all that a case could want: a skip is what was to happen and did not.
    check(not tap.skipped, f"skipped: {tap}")
    return f"{tap} ({ran.took:.0f} s)"


@case
def on_the_stock_kernel():
    """A case that passes there shows nothing. By itself the program says that it is skipped."""
    ran, tap = run("stock", ["--env", "PAGESIZE_64K_FORCE=1"])
    check(ran.status not in (0, 124, 125, 126, 127), f"status {ran.status}: {tap}\n{ran.err}")
    tap.complete()
    check(len(tap.failed) == tap.count, f"not all fail: {tap}")
    ran, tap = run("stock")
    check(len(tap.skipped) == tap.count and tap.count, f"not all are skipped: {tap}\n{ran.err}")
    return f"all {tap.count} fail, as they must; they are skipped if not forced"


if __name__ == "__main__":
    main()
