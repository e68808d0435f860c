# SPDX-License-Identifier: MIT
"""What the tests of bench/report and bench/compare share: where things are, and what they need."""
import json
import os
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path[:0] = [os.path.join(ROOT, "bench", "suite"), os.path.join(ROOT, "tests", "lib")]
sys.dont_write_bytecode = True

import debian  # noqa: E402
import pg64test  # noqa: E402


def need(names):
    """Go on under a Python that has the packages, or skip."""
    try:
        debian.need_packages(names)
    except SystemExit:
        pg64test.skip(f"no {' and '.join(names)} for Python: scripts/setup bench")


def save(data, folder, name="result.json"):
    """Write a result.json; its path."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(data, file)
    return path


def program(name, *words):
    """Run bench/<name>; what subprocess.run() gives, with text."""
    return subprocess.run([sys.executable, os.path.join(ROOT, "bench", name), *words],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                          timeout=120)
