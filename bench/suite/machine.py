# SPDX-License-Identifier: MIT
"""Where a run was made: the machine, the kernel and the versions, for its record."""
import contextlib
import ctypes
import glob
import hashlib
import mmap
import os
import platform
import re
import shutil
import subprocess
import time

PACKAGES = ("libc6", "libmimalloc2.0", "libmimalloc3", "libjemalloc2", "libtcmalloc-minimal4",
            "libtcmalloc-minimal4t64", "postgresql-15", "postgresql-17", "redis-server",
            "memcached", "sqlite3", "python3", "gcc", "clang", "git", "coreutils", "xz-utils",
            "nodejs", "openjdk-17-jdk-headless", "openjdk-21-jdk-headless", "libbenchmark-dev")

# Of the tree, as paths: pg64, and what measures it.
MEASURED = ("lib", "preload", "subprojects/mimalloc.wrap", "subprojects/packagefiles/mimalloc",
            "meson.build", "meson_options.txt", "bench/run", "bench/suite", "bench/micro",
            "bench/alloc", "bench/load")


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _first(pattern, text, default=""):
    match = re.search(pattern, text, flags=re.M)
    return match.group(1).strip() if match else default


def _said(*words):
    if not shutil.which(words[0]):
        return ""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def tlb_counters():
    """None where the processor's event counters can be used, else why not."""
    units = [name for name in ("cpu", "cpu_core", *map(os.path.basename, glob.glob(
        "/sys/bus/event_source/devices/armv8_*")))
        if os.path.isdir(f"/sys/bus/event_source/devices/{name}")]
    return None if units else "the kernel sees no performance counters (a virtual machine?)"


def _least_ns(work, count, rounds=5):
    """What one of `count` steps of work() takes, in nanoseconds: the least of some rounds."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter_ns()
        work()
        times.append(time.perf_counter_ns() - begin)
    return min(times) / count


def costs(size=32 << 20, calls=20_000):
    """What a fault (a first write to a base page) and a system call take here, in nanoseconds.

    They differ by a factor of ten between machines of one processor, by the kind of virtual
    machine, and what fewer faults gain goes by them. About: what the loop itself takes, seen from a
    second pass and from a call that is none, is taken off.
    """
    page = os.sysconf("SC_PAGESIZE")
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        with contextlib.suppress(OSError):  # a kernel without huge pages
            memory.madvise(mmap.MADV_NOHUGEPAGE)

        def touch():
            for at in range(0, size, page):
                memory[at] = 1

        def first_touch():
            memory.madvise(mmap.MADV_DONTNEED)
            touch()

        fault = _least_ns(first_touch, size // page) - _least_ns(touch, size // page)
    call = _least_ns(lambda: [os.getppid() for _ in range(calls)], calls) - \
        _least_ns(lambda: [abs(1) for _ in range(calls)], calls)
    return {"fault_ns": max(0, round(fault)), "system_call_ns": max(0, round(call))}


def damon(root="/sys/kernel/mm/damon/admin/kdamonds"):
    """What DAMON is watching through sysfs, or "no".

    To see whether a page is in use it clears the accessed bits of all entries that map its folio:
    16 for a granule. Where a hypervisor shadows the page tables, each of these costs a fault of
    the host at the next access, so that memory on larger folios is slower while DAMON runs.
    """
    found = []
    for thread in sorted(glob.glob(os.path.join(root, "[0-9]*"))):
        if _read(os.path.join(thread, "state")).strip() != "on":
            continue
        for context in sorted(glob.glob(os.path.join(thread, "contexts", "[0-9]*"))):
            kind, least, most, micros = (
                _read(os.path.join(context, name)).strip() or "?" for name in (
                    "operations", "monitoring_attrs/nr_regions/min",
                    "monitoring_attrs/nr_regions/max", "monitoring_attrs/intervals/sample_us"))
            found.append(f"{kind}: {least} to {most} regions, a sample of each in {micros} us")
    return "; ".join(found) or "no"


def thp_disabled():
    """Has somebody switched transparent hugepages off for this process and all that it starts?
    prctl(PR_SET_THP_DISABLE) is inherited, and nothing else shows it."""
    prctl_get_thp_disable = 42
    return ctypes.CDLL(None, use_errno=True).prctl(prctl_get_thp_disable, 0, 0, 0, 0) > 0


def machine():
    """What matters of this machine for a comparison of two runs."""
    cpu = _read("/proc/cpuinfo")
    virtual = _said("systemd-detect-virt", "--vm") or ("hypervisor" if re.search(
        r"^flags.*\bhypervisor\b", cpu, flags=re.M) else "none")
    memory = int(_first(r"^MemTotal:\s+(\d+)", _read("/proc/meminfo"), "0")) * 1024
    return {
        "cpu": _first(r"^model name\s*:(.*)$", cpu) or platform.processor() or "unknown",
        "cpus": len(os.sched_getaffinity(0)), "memory_bytes": memory,
        "architecture": platform.machine(), "kernel": platform.release(),
        "distribution": _first(r'^PRETTY_NAME="?([^"\n]*)', _read("/etc/os-release")),
        "hypervisor": virtual, "page_bytes": os.sysconf("SC_PAGESIZE"),
        "tlb_counters": tlb_counters() or "yes", "damon": damon(), **costs(),
        "overcommit_memory": _read("/proc/sys/vm/overcommit_memory").strip(),
        "swap_bytes": int(_first(r"^SwapTotal:\s+(\d+)", _read("/proc/meminfo"), "0")) * 1024,
    }


def _commit(root):
    """Short name of the commit that is checked out, "+" for changes of what is measured."""
    git = ("git", "-c", "safe.directory=*", "-C", root)
    name = _said(*git, "rev-parse", "--short=12", "HEAD")
    if name and _said(*git, "status", "--porcelain", "--untracked-files=no", "--", *MEASURED):
        name += "+"
    return name


def sources(root):
    """A digest of all that is measured, and measures: the same for the same files only."""
    paths, digest = [], hashlib.sha256()
    for name in MEASURED:
        top = os.path.join(root, name)
        paths += [top] if os.path.isfile(top) else [
            os.path.join(folder, file) for folder, _, files in os.walk(top) for file in files
            if "__pycache__" not in folder]
    for path in sorted(paths):
        with open(path, "rb") as file:
            contents = file.read()
        digest.update(f"{os.path.relpath(path, root)} {len(contents)}\n".encode())
        digest.update(contents)
    return digest.hexdigest()[:16]


def versions(root):
    """{package or program: version} of what may be measured."""
    found = {}
    listed = _said("dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n")
    for line in listed.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == "installed" and words[1] in PACKAGES:
            found[words[1]] = words[2]
    version = _first(r"version: '([^']*)'", _read(os.path.join(root, "meson.build")))
    found["pg64"] = " ".join(filter(None, (version, _commit(root))))
    found["sources"] = sources(root)
    return found
