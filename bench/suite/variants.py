# SPDX-License-Identifier: MIT
"""What is compared: allocators, and how the kernel is set for each.

A variant is an allocator with its options, by environment alone, on one setting of the kernel's
transparent hugepage knobs. `glibc` (4 KiB pages) and `glibc64` (what a user has for free) are what
the others are compared with; `pg64-base` is pg64 with its advice off, so that the gain of the
allocator and the gain of the pages can be told apart.
"""
import glob
import os

import knobs
import pg64test

# The 64 KiB size on request or for all, all other sizes off; 2 MiB likewise. `enabled` matters to
# no size here, as none inherits from it, but glibc and jemalloc read it, and ask for nothing unless
# it says madvise.
SETTINGS = {
    "4k": {},
    "64k": {"enabled": "madvise", "hugepages-64kB/enabled": "madvise",
            "hugepages-64kB/shmem_enabled": "advise"},
    "64k-always": {"hugepages-64kB/enabled": "always", "hugepages-64kB/shmem_enabled": "always"},
    "2m-always": {"hugepages-2048kB/enabled": "always",
                  "hugepages-2048kB/shmem_enabled": "always"},
    # As distributions ship it, with `pg64 enable --shmem` done.
    "64k-and-2m": {"enabled": "madvise", "hugepages-2048kB/enabled": "inherit",
                   "hugepages-64kB/enabled": "madvise",
                   "hugepages-64kB/shmem_enabled": "advise"},
}


class Variant:
    """`preload`: file name of a library, or None. `setting`: a key of SETTINGS."""

    def __init__(self, name, label, setting, preload=None, env=None, family=None, patched=False):
        self.name, self.label, self.setting = name, label, setting
        self.preload, self.env, self.patched = preload, dict(env or {}), patched
        self.family = family or name

    def library(self):
        """Path of what is preloaded, or None. FileNotFoundError: it is not installed."""
        if self.preload is None:
            return None
        if self.family == "pg64":
            return pg64test.library()
        for folder in library_folders():
            for path in sorted(glob.glob(os.path.join(folder, self.preload))):
                return path
        raise FileNotFoundError(f"{self.preload} is not installed (scripts/setup bench)")

    def environment(self):
        """The variables that make a program run under this variant."""
        library = self.library()
        return {**({"LD_PRELOAD": library} if library else {}), **self.env}

    @property
    def collapses(self):
        """Whether its memory is 2 MiB pages by MADV_COLLAPSE, whatever the knobs are."""
        return self.env.get("PG64_BACKEND") == "collapse"

    def knobs(self):
        """All knobs of this variant: every size that SETTINGS does not name is off."""
        off = {name: "never" for name in knobs.state() if name.endswith("enabled")}
        return {**off, **SETTINGS[self.setting]}

    def missing(self):
        """None, or why this variant cannot be had here."""
        try:
            self.library()
        except FileNotFoundError as error:
            return str(error)
        names = knobs.state()
        lacking = [name for name in SETTINGS[self.setting] if name not in names]
        if lacking:
            return f"this kernel has no {lacking[0]}"
        if self.patched and pg64test.probe(self.library())["heap"][0] != "patched":
            return "this kernel does not have pg64's patch series (kernel-patch/README.md)"
        return None

    def record(self):
        """For the result file."""
        return {"label": self.label, "family": self.family, "env": self.env,
                "preload": self.preload, "setting": self.setting, "knobs": self.knobs()}


def library_folders():
    """Where the loader finds libraries: the folders of multiarch systems and the plain ones."""
    return [*sorted(glob.glob("/usr/lib/*-linux-gnu*")), "/usr/lib64", "/usr/lib",
            "/usr/local/lib"]


GLIBC64 = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
ALL = {variant.name: variant for variant in (
    Variant("glibc", "glibc, 4 KiB", "4k"),
    Variant("glibc64", "glibc hugetlb=1, 64 KiB", "64k", env=GLIBC64, family="glibc"),
    Variant("glibc64-always", "glibc, 64 KiB always", "64k-always", family="glibc"),
    Variant("glibc2m", "glibc, 2 MiB always", "2m-always", family="glibc"),
    Variant("mimalloc", "mimalloc", "4k", preload="libmimalloc.so.2*"),
    Variant("mimalloc64", "mimalloc, large pages, 64 KiB", "64k", preload="libmimalloc.so.2*",
            env={"MIMALLOC_LARGE_OS_PAGES": "1"}, family="mimalloc"),
    Variant("jemalloc", "jemalloc", "4k", preload="libjemalloc.so.2"),
    Variant("jemalloc64", "jemalloc thp:always, 64 KiB", "64k", preload="libjemalloc.so.2",
            env={"MALLOC_CONF": "thp:always"}, family="jemalloc"),
    Variant("tcmalloc", "tcmalloc", "4k", preload="libtcmalloc_minimal.so.4"),
    Variant("tcmalloc64", "tcmalloc, 64 KiB always", "64k-always",
            preload="libtcmalloc_minimal.so.4", family="tcmalloc"),
    Variant("pg64-base", "pg64, advice off (control)", "64k", preload="libpg64.so",
            env={"PG64_BACKEND": "base"}, family="pg64"),
    Variant("pg64", "pg64, mthp", "64k", preload="libpg64.so", family="pg64"),
    Variant("pg64-collapse", "pg64, collapse (no privilege)", "4k", preload="libpg64.so",
            env={"PG64_BACKEND": "collapse"}, family="pg64"),
    Variant("pg64-auto", "pg64, 2 MiB where dense", "64k-and-2m", preload="libpg64.so",
            env={"PG64_PMD": "auto"}, family="pg64"),
    Variant("pg64-allow", "pg64, 2 MiB allowed", "64k-and-2m", preload="libpg64.so",
            env={"PG64_PMD": "allow"}, family="pg64"),
    Variant("pg64-patched", "pg64, patched kernel", "4k", preload="libpg64.so", family="pg64",
            patched=True),
)}
BASELINES = ("glibc", "glibc64")
# No other allocator: pg64's own heap, its advice off, stands for what is won without the pages.
QUICK = ("glibc", "glibc64", "pg64-base", "pg64")
