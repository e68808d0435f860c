# SPDX-License-Identifier: MIT
"""What really backs a process's memory: /proc/PID/pagemap and /proc/kpageflags, read directly.

Independent of pg64's own code, so that it can be its judge. A granule (64 KiB, naturally aligned)
is backed when its 16 pages map one naturally aligned 64 KiB piece of one compound page.
"""
import contextlib
import mmap
import os
import re
from array import array

PAGE = mmap.PAGESIZE
GRANULE = 65536
PER_GRANULE = max(1, GRANULE // PAGE)
PRESENT, SWAPPED, PFN_MASK = 1 << 63, 1 << 62, (1 << 55) - 1
KPF_HEAD, KPF_TAIL, KPF_ZERO = 1 << 15, 1 << 16, 1 << 24


class Region:
    """One line of /proc/PID/maps."""

    def __init__(self, line):
        parts = line.split(None, 5)
        self.start, self.end = (int(word, 16) for word in parts[0].split("-"))
        self.perms, self.inode = parts[1], int(parts[4])
        self.name = parts[5].strip() if len(parts) > 5 else ""

    @property
    def size(self):
        return self.end - self.start

    @property
    def private_anonymous(self):
        """Writable private memory of no file: heap, arenas, mappings; not stacks."""
        return (self.perms.startswith("rw") and self.perms.endswith("p") and self.inode == 0
                and not self.name.startswith(("[stack", "[v", "[uprobes")))

    @property
    def shared_anonymous(self):
        return self.perms.endswith("s") and (
            self.name.startswith(("/dev/zero", "/memfd:", "/SYSV", "/dev/shm/", "[anon_shmem")))


def regions(pid="self"):
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        return [Region(line) for line in file]


class Coverage:
    """Resident and backed bytes; `known` is False where the kernel does not let us look."""

    def __init__(self, known=True):
        self.known, self.resident, self.backed = known, 0, 0

    @property
    def ratio(self):
        return self.backed / self.resident if self.known and self.resident else None

    def __iadd__(self, other):
        self.known &= other.known
        self.resident += other.resident
        self.backed += other.backed
        return self

    def __str__(self):
        if not self.known:
            return "cannot be seen without privilege"
        return "nothing resident" if not self.resident else f"{self.ratio:.3f}"


def _granule_backed(pfns, flags_fd):
    """Do 16 present entries of one granule map one aligned piece of one compound page?"""
    first = pfns[0]
    if first % PER_GRANULE or any(pfn != first + i for i, pfn in enumerate(pfns)):
        return False
    flags = array("Q", os.pread(flags_fd, 8 * PER_GRANULE, first * 8))
    if len(flags) < PER_GRANULE or not flags[0] & (KPF_HEAD | KPF_TAIL):
        return False
    return all(flag & KPF_TAIL for flag in flags[1:])


def _measure(pagemap_fd, flags_fd, start, end, result):
    step = 1024 * GRANULE
    for low in range(start // GRANULE * GRANULE, end, step):
        first, last = max(low, start), min(low + step, end)
        data = os.pread(pagemap_fd, (last - first) // PAGE * 8, first // PAGE * 8)
        entries = array("Q", data)
        at = 0
        while at < len(entries):
            offset = (first // PAGE + at) % PER_GRANULE
            granule = entries[at:at + PER_GRANULE - offset]
            at += len(granule)
            present = [entry & PFN_MASK for entry in granule if entry & PRESENT]
            if 0 in present:
                result.known = False
                return
            if len(present) == PER_GRANULE and _granule_backed(present, flags_fd):
                result.backed += GRANULE
                result.resident += GRANULE
                continue
            for pfn in present:  # the zero page is nobody's memory
                flag = array("Q", os.pread(flags_fd, 8, pfn * 8))
                if flag and not flag[0] & KPF_ZERO:
                    result.resident += PAGE


def _merged(ranges):
    """Sorted, with neighbours joined: a granule may lie in two mappings."""
    merged = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return merged


def coverage(pid, ranges):
    """Coverage of [(start, end)...] of a process (int or "self")."""
    result = Coverage()
    try:
        pagemap_fd = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return Coverage(known=False)
    try:
        flags_fd = os.open("/proc/kpageflags", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        os.close(pagemap_fd)
        return Coverage(known=False)
    try:
        for start, end in _merged(ranges):
            _measure(pagemap_fd, flags_fd, start, end, result)
            if not result.known:
                break
    finally:
        os.close(pagemap_fd)
        os.close(flags_fd)
    return result


def pss_bytes(pid):
    """Proportional set size of a process; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            match = re.search(r"^Pss:\s+(\d+) kB", file.read(), flags=re.M)
    except OSError:
        return 0
    return int(match.group(1)) * 1024 if match else 0


def faults(pid):
    """(minor faults of the process, minor faults of its children that were waited for)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0, 0
    return int(fields[7]), int(fields[8])


def free_on_cpu_lists():
    """Bytes that are free and not in MemFree: what the kernel keeps in its lists for each CPU,
    which grow to tens of MiB and shrink again."""
    with open("/proc/zoneinfo", encoding="ascii") as file:
        return PAGE * sum(int(count) for count in re.findall(r"^ +count: +(\d+)", file.read(),
                                                             flags=re.M))


def children(pid):
    """Process ids of the children of a process, of all its threads."""
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += [int(word) for word in file.read().split()]
    except OSError:
        pass
    return found


MADV_COLLAPSE = 25  # Linux 6.1


def prime(size_bytes, collapse=False):
    """Touch and free memory right before a measured run, in a process of its own: a host that
    took free memory back makes the first pass over it ten times slower than any that follow. In
    pages of the size that advice brings now: large ones are taken from other free lists. With
    `collapse` in 2 MiB pages by MADV_COLLAPSE, which no setting forbids."""
    pid = os.fork()
    if pid == 0:
        try:
            block = mmap.mmap(-1, size_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            if collapse:
                for at in range(0, size_bytes, 1 << 21):  # a stretch with nothing in it is refused
                    block[at] = 0
            with contextlib.suppress(OSError):
                block.madvise(MADV_COLLAPSE if collapse else mmap.MADV_HUGEPAGE)
            with open("/dev/zero", "rb", buffering=0) as zero:
                view = memoryview(block)
                for low in range(0, size_bytes, 1 << 26):
                    zero.readinto(view[low:low + (1 << 26)])
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def available_bytes():
    with open("/proc/meminfo", encoding="ascii") as file:
        match = re.search(r"^MemAvailable:\s+(\d+) kB", file.read(), flags=re.M)
    return int(match.group(1)) * 1024 if match else 0
