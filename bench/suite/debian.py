# SPDX-License-Identifier: MIT
"""Find the Python that has numpy and matplotlib.

They come from Debian's packages, which only Debian's own Python sees; on a machine whose `python3`
is another one, the program starts over under that.
"""
import importlib.util
import os
import sys

SYSTEM = "/usr/bin/python3"


def need_packages(names=("numpy", "matplotlib")):
    """Return if this Python has the packages; go on under Debian's, or end with the mend."""
    lacking = [name for name in names if importlib.util.find_spec(name) is None]
    if not lacking:
        return
    again = os.environ.get("PG64_BENCH_PYTHON") == "again"
    if not again and os.path.exists(SYSTEM):
        os.environ["PG64_BENCH_PYTHON"] = "again"
        os.execv(SYSTEM, [SYSTEM, *sys.argv])
    print(f"{os.path.basename(sys.argv[0])}: Python has no {' and no '.join(lacking)}: "
          f"scripts/setup bench", file=sys.stderr)
    sys.exit(2)
