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


def run(kind):
    ran = boot("sh", "-c", 'swapon=$(command -v swapon) && echo 256M >/sys/block/zram0/disksize && '
               'mkswap /dev/zram0 >/dev/null && "$swapon" /dev/zram0; exec "$0"', binary(),
               kind=kind, options=GUEST, timeout=1500)
    return ran, Tap(ran.out)


@case
def on_the_patched_kernel():
    ran, tap = run(KIND)
    check(ran.status == 0 and not tap.failed,
          f"status {ran.status}: {tap}\n{ran.out[-6000:]}{ran.err[-3000:]}")
    tap.complete()
    check(tap.passed, f"nothing passed: {tap}")
    return f"{tap} ({ran.took:.0f} s)"


@case
def on_the_stock_kernel():
    """A test that passes there shows nothing. The whole program may say that it is skipped."""
    ran, tap = run("stock")
    check(ran.status not in (0, 124, 125, 126, 127), f"status {ran.status}: {tap}\n{ran.err}")
    same = f"; pass there too: {', '.join(tap.passed)}" if tap.passed else ""
    return f"status {ran.status}, {len(tap.failed)} failed, as they must{same}"


if __name__ == "__main__":
    main()
