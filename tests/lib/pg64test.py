# SPDX-License-Identifier: MIT
"""What python tests of pg64 share: where the library is, skips, preloading, statistics.

PG64_LIBRARY and PG64_TOOL in the environment name libpg64.so and the pg64 command; meson sets
them. A skip is exit status 77 with one line "SKIP: reason", and never counts as a pass.
"""
import json
import os
import signal
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
KINDS = ("heap", "anon", "shared")
BACKENDS = ("unknown", "patched", "mthp", "collapse", "base")


def skip(reason):
    print(f"SKIP: {reason}")
    sys.exit(77)


def fail(message):
    print(f"FAIL: {message}")
    sys.exit(1)


def library():
    path = os.environ.get("PG64_LIBRARY", os.path.join(ROOT, "build", "preload", "libpg64.so"))
    if not os.path.exists(path):
        fail(f"PG64_LIBRARY: {path} does not exist")
    return os.path.realpath(path)


def clean_environment():
    """Our environment without anything of pg64's or the loader's."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith(("PG64_", "LD_PRELOAD", "LD_AUDIT", "MIMALLOC_", "MALLOC_",
                                    "GLIBC_TUNABLES"))}


def preload_environment(path, stats=None, **options):
    """clean_environment() with the library preloaded; options become PG64_<NAME>."""
    env = clean_environment()
    env["LD_PRELOAD"] = path
    if stats:
        env.update({"PG64_STATS": stats, "PG64_STATS_FORMAT": "json"})
    env.update({f"PG64_{name.upper()}": str(value) for name, value in options.items()})
    return env


def read_stats(path):
    """The objects of a JSON statistics file, one for each process that wrote to it."""
    try:
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.strip()]
    except OSError:
        return []


PROBE = """
import ctypes, sys
class Probe(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("version", ctypes.c_uint32), ("backend", ctypes.c_int),
                ("kind", ctypes.c_int), ("error", ctypes.c_int32), ("touched", ctypes.c_uint32),
                ("pmd_wins", ctypes.c_uint32), ("reason", ctypes.c_char * 160)]
library = ctypes.CDLL(sys.argv[1])
for kind in range(3):
    probe = Probe(size=ctypes.sizeof(Probe))
    if library.pg64_probe(0, kind, ctypes.byref(probe)):
        sys.exit(1)
    print(kind, probe.backend, probe.reason.decode())
"""


def probe(path):
    """{kind: (backend, reason)} that this kernel gives here and now; {} when it cannot be had."""
    said = subprocess.run([sys.executable, "-c", PROBE, path], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, env=clean_environment(), check=False)
    found = {}
    for line in said.stdout.decode("utf-8", "replace").split("\n"):
        words = line.split(" ", 2)
        if said.returncode == 0 and len(words) == 3:
            found[KINDS[int(words[0])]] = (BACKENDS[int(words[1])], words[2])
    return found


def end_strays(folder):
    """End what still runs inside a temporary folder of ours: only what we started does."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            where = os.readlink(f"/proc/{entry}/cwd")
            if where == folder or where.startswith(folder + "/"):
                os.kill(int(entry), signal.SIGKILL)
        except OSError:
            continue
