#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counting benchmarks with budgets: what does not depend on the machine's speed or its noise.

    instructions   of small programs of bench/alloc/ under pg64, by callgrind, whole process
    pairs          instructions of one malloc and free, by the difference of two counts
    faults         minor faults of a growing heap, as a share of glibc's on 4 KiB pages
    system calls   of a program that allocates 64 MiB, by strace
    RSS            of programs of bench/alloc/, as a share of glibc's
    heap-faults    of a program that fills and frees 256 MiB, as a share of glibc's, with
                   every THP knob at never: on base pages, as any kernel has, and on collapse
    heap-rss       its peak RSS, likewise

Each budget is in budgets.json, with the value that was measured when it was set. A regression
fails; so does a value that is far below its budget, because the budget then guards nothing: set it
anew with budgets.py --write, and say in the commit why it changed.

usage: budgets.py [--write] [KIND...]
"""
import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path[:0] = [os.path.join(ROOT, "bench", "suite"), os.path.join(ROOT, "tests", "lib")]
sys.dont_write_bytecode = True

import knobs  # noqa: E402
import pg64test  # noqa: E402
import variants  # noqa: E402
from place import Place  # noqa: E402

BUILD = os.environ.get("PG64_BUILD", os.path.join(ROOT, "build"))
TABLE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "budgets.json")

# Room above what was measured, and how far below it a value is stale; by kind.
ROOM = {"instructions": 1.03, "pairs": 1.03, "faults": 1.10, "syscalls": 1.10, "rss": 1.08,
        "heap-faults": 1.10, "heap-rss": 1.05}
STALE = {"instructions": 0.85, "pairs": 0.85, "faults": 0.70, "syscalls": 0.70, "rss": 0.80,
         "heap-faults": 0.70, "heap-rss": 0.85}

# Programs that are one thread all the time: others wait for each other, and count that.
INSTRUCTIONS = (("cfrac", "0.02"), ("glibc-simple", "0.01"), ("alloc-test", "0.01"),
                ("mstress", "0.01"), ("espresso", "0.02"))
# In bytes: small, medium and large blocks, and two sizes in turn.
PAIRS = (("16",), ("64",), ("1024",), ("4096",), ("32768",), ("262144",), ("1048576",),
         ("64", "4096"), ("4096", "262144"))
COUNTED = ("instructions", "pairs")  # depend on the toolchain
PAIRS_COUNT = 2000  # until all is warm, and again for what is counted
# Of more than a few MiB, or a page more or less is a per cent.
RSS = (("mstress", "0.2"), ("rptest", "0.2"), ("alloc-test", "0.2"))
HEAP_MIB = 256
FAULTS = (64, 4096, 65536, 1 << 20)


def place(folder):
    return Place(BUILD, folder)


def toolchain():
    """What instruction counts depend on, beside the sources."""
    return " ".join((os.environ.get("PG64_COMPILER", "?"), os.environ.get("PG64_BUILDTYPE", "?"),
                     os.confstr("CS_GNU_LIBC_VERSION"), os.uname().machine))


def callgrind(folder, *words):
    """Instructions of a program under pg64 on base pages: the same on every kernel."""
    env = pg64test.preload_environment(pg64test.library(), backend="base")
    out = os.path.join(folder, "callgrind")
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *words],
        env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    match = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not match:
        pg64test.fail(f"callgrind of {' '.join(words)}: {done.stderr[-300:]}")
    return int(match.group(1))


def instructions(folder):
    """{name: instructions} of whole programs."""
    return {f"{program}, scale {scale}":
            callgrind(folder, place(folder).program(f"alloc/{program}"), "--threads", "1",
                      "--scale", scale)
            for program, scale in INSTRUCTIONS}


def pairs(folder):
    """{name: instructions of a pair}, the loop around it included."""
    program = os.path.join(BUILD, "tests", "bench", "pairs")
    found = {}
    for sizes in PAIRS:
        warm, twice = (callgrind(folder, program, str(count), *sizes)
                       for count in (PAIRS_COUNT, 2 * PAIRS_COUNT))
        found[" and ".join(sizes) + " bytes"] = round((twice - warm) / PAIRS_COUNT)
    return found


def faults(folder):
    """{name: faults under pg64 / faults under glibc} of a heap of 64 MiB, on mthp."""
    found = {}
    for block in FAULTS:
        count = {}
        for name in ("glibc", "pg64"):
            variant = variants.ALL[name]
            out = os.path.join(folder, "micro.json")
            with knobs.Knobs(variant.knobs()):
                place(folder).command(
                    [place(folder).program("micro/micro"), f"--benchmark_out={out}",
                     "--benchmark_out_format=json", "--benchmark_min_time=0.001",
                     f"--benchmark_filter=^first_touch/block:{block}/total:67108864/workers:0/"],
                    variant)
            with open(out, encoding="utf-8") as file:
                count[name] = json.load(file)["benchmarks"][0]["faults"]
        found[f"64 MiB in blocks of {block}"] = round(count["pg64"] / count["glibc"], 4)
    return found


def syscalls(folder):
    """{name: calls} of a program that fills a heap, on the backend that needs no privilege."""
    found = {}
    out = os.path.join(folder, "strace")
    with knobs.Knobs("never"):
        for backend in ("base", "collapse"):
            env = pg64test.preload_environment(pg64test.library(), backend=backend)
            preload = env.pop("LD_PRELOAD")
            env.pop("LD_LIBRARY_PATH", None)  # each of its folders is a few calls more
            done = subprocess.run(
                ["strace", "-f", "-c", "-o", out, "-E", f"LD_PRELOAD={preload}",
                 place(folder).program("alloc/mstress"), "--threads", "1", "--scale", "0.05"],
                env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                check=False)
            with open(out, encoding="ascii") as file:
                match = re.search(r"^100\.00\s.*?\s(\d+)\s+\d*\s*total$", file.read(), re.M)
            if done.returncode or not match:
                pg64test.fail(f"strace of mstress: {done.stderr[-300:]}")
            found[f"mstress on {backend}"] = int(match.group(1))
    return found


def rss(folder):
    """{name: peak RSS under pg64 / under glibc}, on mthp."""
    found = {}
    for program, scale in RSS:
        peak = {}
        for name in ("glibc", "pg64"):
            variant = variants.ALL[name]
            words = [place(folder).program(f"alloc/{program}"), "--threads", "1",
                     "--scale", scale]
            with knobs.Knobs(variant.knobs()):
                samples = [place(folder).command(words, variant)[0]["rss_bytes"]
                           for _ in range(3)]
            peak[name] = sorted(samples)[1]
        found[f"{program}, scale {scale}"] = round(peak["pg64"] / peak["glibc"], 4)
    return found


def heap(folder, figure):
    """{name: figure under pg64 / figure under glibc}; the least of three runs, to which a stretch
    of memory that the kernel has no 2 MiB for at this moment adds."""
    program = os.path.join(BUILD, "tests", "bench", "heap")
    never = [variants.Variant("glibc", "glibc", "4k")] + [
        variants.Variant(f"{HEAP_MIB} MiB on {backend}", "pg64", "4k", preload="libpg64.so",
                         env={"PG64_BACKEND": backend}, family="pg64")
        for backend in ("base", "collapse")]
    found = {}
    with knobs.Knobs("never"):
        for variant in never:
            samples = [place(folder).command([program, str(HEAP_MIB)], variant)[0][figure]
                       for _ in range(3)]
            found[variant.name] = min(samples)
    glibc = found.pop("glibc")
    return {name: round(value / glibc, 4) for name, value in found.items()}


def heap_faults(folder):
    return heap(folder, "minor_faults")


def heap_rss(folder):
    return heap(folder, "rss_bytes")


KINDS = {"instructions": instructions, "pairs": pairs, "faults": faults, "syscalls": syscalls,
         "rss": rss, "heap-faults": heap_faults, "heap-rss": heap_rss}


def judge(kind, found, table):
    """Lines of what is wrong."""
    wrong = []
    budgets = table.get(kind, {})
    for name in sorted(set(found) | set(budgets)):
        if name not in found or name not in budgets:
            wrong.append(f"{kind}: {name}: is not in both, budgets.json and the test")
            continue
        value, measured, budget = found[name], budgets[name]["measured"], budgets[name]["budget"]
        said = f"{kind}: {name}: {value:,} of {budget:,}"
        print(f"  {said} ({measured:,} when it was set)")
        if value > budget:
            wrong.append(f"{said}: over the budget")
        elif value < measured * STALE[kind]:
            wrong.append(f"{said}: so far below that the budget guards nothing")
    return wrong


def write(kind, found, table):
    table[kind] = {name: {"measured": value, "budget": round(value * ROOM[kind], 4)
                          if isinstance(value, float) else round(value * ROOM[kind])}
                   for name, value in found.items()}


def self_test():
    """A budget that is broken is seen, and so is one that guards nothing."""
    table = {}
    write("faults", {"x": 0.1}, table)
    assert judge("faults", {"x": 0.1}, table) == []
    assert "over" in judge("faults", {"x": 0.12}, table)[0]
    assert "guards nothing" in judge("faults", {"x": 0.05}, table)[0]
    assert "not in both" in judge("faults", {"y": 0.1}, table)[0]


def main(argv):
    kinds = [word for word in argv if word != "--write"] or list(KINDS)
    with open(TABLE, encoding="utf-8") as file:
        table = json.load(file)
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for kind in kinds:
                if kind in COUNTED and "--write" not in argv and \
                        table.get("toolchain") != toolchain():
                    pg64test.skip(f"instructions were counted with {table.get('toolchain')}, and "
                                  f"this is {toolchain()}")
                found = KINDS[kind](folder)
                if "--write" in argv:
                    write(kind, found, table)
                else:
                    wrong += judge(kind, found, table)
        except knobs.Unavailable as reason:
            pg64test.skip(str(reason))
    if "--write" in argv:
        if set(COUNTED) & set(kinds):
            table["toolchain"] = toolchain()
        with open(TABLE, "w", encoding="utf-8") as file:
            json.dump(table, file, indent=1, sort_keys=True)
            file.write("\n")
    else:
        self_test()
    if wrong:
        pg64test.fail("\n".join(wrong))


if __name__ == "__main__":
    main(sys.argv[1:])
