#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The heap-growth profile: which function made the heap grow, and by how much.

usage: profile.py [CASE]...
PG64_PROGRAMS names the folder of the built programs.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import preload  # noqa: E402
from preload import case, check, Skip  # noqa: E402
import pg64test  # noqa: E402

MIB = 1 << 20
PROFILER = os.path.join(os.path.dirname(preload.LIBRARY), "libpg64-profile.so")
BOTH = f"{preload.LIBRARY}:{PROFILER}"
UNWINDERS = ("libunwind", "fp")
# What the engine needs itself to serve blocks, over the bytes of these blocks.
OVERHEAD = 1.03


class Profile:
    """A profile in pprof's text form."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        head, _, maps = text.partition("\n\nMAPPED_LIBRARIES:\n")
        lines = head.split("\n")
        # The regular expressions of pprof's own reader.
        header = re.fullmatch(r"heap profile: *(\d+): *(\d+) *\[ *(\d+): *(\d+) *\] @ growthz",
                              lines[0])
        check(header, f"{path}: not a growth profile: {lines[0]!r}")
        self.count, self.bytes = int(header.group(1)), int(header.group(2))
        dropped = re.search(r"unwinder (\w+), dropped (\d+): (\d+)", lines[1])
        self.unwinder, self.dropped = dropped.group(1), int(dropped.group(3))
        self.samples = []
        for line in lines[2:]:
            found = re.fullmatch(r" *(\d+): *(\d+) *\[ *(\d+): *(\d+) *\] @([ x0-9a-f]*)", line)
            check(found, f"{path}: not understood: {line!r}")
            self.samples.append((int(found.group(1)), int(found.group(2)),
                                 [int(word, 16) for word in found.group(5).split()]))
        self.maps = [line.split() for line in maps.split("\n") if line]
        check(sum(s[0] for s in self.samples) == self.count, f"{path}: counts do not add up")
        check(sum(s[1] for s in self.samples) == self.bytes, f"{path}: bytes do not add up")

    def load_address(self, path):
        starts = [int(words[0].split("-")[0], 16) for words in self.maps
                  if len(words) > 5 and words[5] == path and int(words[2], 16) == 0]
        check(starts, f"{path} is not among the mapped files")
        return min(starts)

    def bytes_under(self, path):
        """{function: bytes} that grew in or below each function of the program `path`."""
        said = subprocess.run(["nm", "-S", "--defined-only", path], stdout=subprocess.PIPE,
                              check=True).stdout.decode()
        base = self.load_address(path)
        functions = [(base + int(start, 16), base + int(start, 16) + int(size, 16), name)
                     for start, size, kind, name in
                     (line.split() for line in said.split("\n") if len(line.split()) == 4)
                     if kind in "tT"]
        total = {}
        for _, grown, stack in self.samples:
            places = [stack[0] if i == 0 else pc - 1 for i, pc in enumerate(stack)]
            names = {name for start, end, name in functions for pc in places if start <= pc < end}
            for name in names:
                total[name] = total.get(name, 0) + grown
        return total


def need_profiler():
    if not os.path.exists(PROFILER):
        pg64test.skip("built without libunwind: there is no libpg64-profile.so")


def grow(*words, unwinder="libunwind", name="profile.%p", show=False, **options):
    """Run the program; it must print what it prints without pg64. Returns ({pid: Profile or
    text}, output)."""
    path = preload.program("grow")
    plain = preload.run(path, *words, preload=False).good()
    with tempfile.TemporaryDirectory(prefix="pg64-") as folder:
        env = {"PG64_PROFILE": os.path.join(folder, name), "PG64_PROFILE_UNWIND": unwinder}
        if show:
            env["GROW_SHOW_COUNTER"] = "1"
        ours = preload.run(path, *words, preload=BOTH, env=env, **options).good()
        if not show:
            check(plain.out == ours.out, f"other output:\n{ours.out}")
        check(ours.err == "", f"standard error: {ours.err}")
        found = {}
        for file in glob.glob(os.path.join(folder, "*")):
            check(not file.endswith("~"), f"{file} was left behind")
            if name.endswith(".folded"):
                with open(file, encoding="utf-8") as text:
                    found[file] = text.read()
            else:
                found[file] = Profile(file)
        return found, ours


def check_shares(profile, unwinder, total_a=64 * MIB, total_b=16 * MIB):
    under = profile.bytes_under(preload.program("grow"))
    a, b = under.get("grow_a", 0), under.get("grow_b", 0)
    check(profile.unwinder == unwinder, f"taken by {profile.unwinder}")
    check(profile.dropped == 0, f"{profile.dropped} bytes dropped")
    for name, got, wanted in (("grow_a", a, total_a), ("grow_b", b, total_b)):
        check(wanted <= got <= wanted * OVERHEAD,
              f"{name}: {got / MIB:.2f} MiB under it, not {wanted / MIB}")
    return f"{a / MIB:.2f} and {b / MIB:.2f} MiB"


@case
def main_thread():
    """Both unwinders; the profile's sum is what the library counted while it was on."""
    said = []
    for unwinder in UNWINDERS:
        found, ours = grow(unwinder=unwinder, show=True)
        profile, = found.values()
        said.append(f"{unwinder} {check_shares(profile, unwinder)}")
        counted = dict(line.split() for line in ours.out.splitlines() if " " in line)
        before, after = int(counted["before"]), int(counted["after"])
        check(after - before <= profile.bytes <= after + MIB,
              f"profile of {profile.bytes} bytes, committed from {before} to {after}")
    return "; ".join(said)


@case
def threads_and_dlclose():
    said = []
    for unwinder in UNWINDERS:
        found, _ = grow("threads", preload.program("libplugin.so"), unwinder=unwinder)
        profile, = found.values()
        said.append(f"{unwinder} {check_shares(profile, unwinder)}")
    return "; ".join(said)


@case
def fork():
    """A thread that children do not have holds the linker's lock. Each child writes its own growth
    and nothing else, the parent does not count theirs."""
    for unwinder in UNWINDERS:
        found, _ = grow("fork", unwinder=unwinder)
        check(len(found) == 41, f"{len(found)} files for 40 children and the parent")
        parents = 0
        for path, profile in found.items():
            under = profile.bytes_under(preload.program("grow"))
            child = under.get("grow_child", 0)
            if not child:
                parents += 1
                # While a fork is under way other threads' stacks are taken by frame pointers.
                check_shares(profile, unwinder)
                continue
            check(4 * MIB <= child <= 4.5 * MIB, f"{path}: {child} bytes in a child")
            check("grow_a" not in under, f"{path}: a child has the parent's growth")
        check(parents == 1, f"{parents} files of parents")


@case
def fork_without_pid_in_the_name():
    found, _ = grow("fork", name="profile")
    check(len(found) == 1, f"files: {list(found)}")
    check_shares(*found.values(), "libunwind")


@case
def small_and_foreign_stacks():
    """A thread with the smallest stack, and a coroutine."""
    for unwinder in UNWINDERS:
        found, _ = grow("stacks", unwinder=unwinder)
        check_shares(*found.values(), unwinder)


@case
def folded():
    for unwinder in UNWINDERS:
        found, _ = grow(unwinder=unwinder, name="profile.folded")
        text, = found.values()
        total = {}
        for line in text.splitlines():
            stack, number = line.rsplit(" ", 1)
            check(" " not in stack, f"a space in {line!r}")
            for name in set(stack.split(";")):
                total[name] = total.get(name, 0) + int(number)
        check(64 * MIB <= total["grow_a"] <= 64 * MIB * OVERHEAD, f"grow_a: {total}")
        check(16 * MIB <= total["grow_b"] <= 16 * MIB * OVERHEAD, f"grow_b: {total}")
        check(total["grow_both"] == total["grow_a"] + total["grow_b"], f"grow_both: {total}")
        check(re.search(r";grow_both;grow_a[^ ;]*(;[^ ;]+)? \d+$", text, flags=re.M),
              f"not from the root to the leaf:\n{text}")


@case
def descriptors():
    """No descriptor is left open, none of the program's is read or written."""
    for unwinder in UNWINDERS:
        grow("descriptors", unwinder=unwinder)


@case
def nothing_without_the_variable():
    with tempfile.TemporaryDirectory(prefix="pg64-") as folder:
        ours = preload.run("sh", "-c", f"cd {folder} && exec {preload.program('grow')}",
                           preload=BOTH).good()
        check((ours.out, ours.err) == ("done\n", ""), f"other output: {ours.out}{ours.err}")
        check(os.listdir(folder) == [], f"written: {os.listdir(folder)}")


@case
def relative_path_and_chdir():
    with tempfile.TemporaryDirectory(prefix="pg64-") as folder:
        script = f"cd {folder} && env {' '.join(f'{n}={v}' for n, v in PROFILE_HERE.items())} " \
            f"{sys.executable} -c 'import os; os.chdir(\"/\"); x = bytearray(9 << 20)'"
        preload.run("sh", "-c", script, preload=False).good()
        check(os.listdir(folder) == ["here"], f"written: {os.listdir(folder)}")
        check(Profile(os.path.join(folder, "here")).bytes >= 9 * MIB, "less than the array")


PROFILE_HERE = {"LD_PRELOAD": BOTH, "PG64_PROFILE": "here"}


@case
def mistakes():
    """One line each, and the program runs."""
    path = preload.program("grow")
    for env, wanted in (
            ({"PG64_PROFILE": "/nowhere/at/all"}, "/nowhere/at/all: cannot be written"),
            ({"PG64_PROFILE": "/dev/null", "PG64_PROFILE_UNWIND": "magic"},
             'PG64_PROFILE_UNWIND: "magic" is not one of fp|libunwind')):
        ours = preload.run(path, preload=BOTH, env=env).good()
        check(ours.out == "done\n", f"other output: {ours.out}")
        check(wanted in ours.err and ours.err.count("\n") == 1, f"standard error: {ours.err}")
    ours = preload.run(path, preload=PROFILER, env={"PG64_PROFILE": "/dev/null"}).good()
    check("must be preloaded too" in ours.err, f"standard error: {ours.err}")


@case
def stepping_aside():
    found, _ = grow(enable=0)
    check(not found, f"written: {list(found)}")


@case
def pg64_run():
    """The command sets both preloads and makes the path absolute."""
    tool = os.environ.get("PG64_TOOL")
    if not tool:
        raise Skip("the pg64 command is not built")
    with tempfile.TemporaryDirectory(prefix="pg64-") as folder:
        script = f"cd {folder} && exec {tool} run --profile=here -- {preload.program('grow')}"
        ours = preload.run("sh", "-c", script, preload=False,
                           env={"PG64_LIBRARY": preload.LIBRARY}).good()
        check((ours.out, ours.err) == ("done\n", ""), f"other output: {ours.out}{ours.err}")
        return check_shares(Profile(os.path.join(folder, "here")), "libunwind")


if __name__ == "__main__":
    need_profiler()
    preload.main()
