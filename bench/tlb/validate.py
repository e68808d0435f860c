# SPDX-License-Identifier: MIT
"""The model of bench/tlb-model against the processor's own counter, for a synthetic stream.

`perf stat` watches tlb-sim read real memory twice: once as many words as warm the TLBs, and once as
many more as the model counts. The difference is the misses of the counted reads alone: that the
memory is filled, and all that a process does besides, is in both.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

EVENTS = ("dTLB-load-misses:u", "dTLB-loads:u")
# Misses an access that the model may always be off by: what else the process does is not all the
# same in both runs, and where the model has no miss there is no ratio.
SLACK = 0.01
MIN_ON_HUGE, MIN_COUNTED = 0.95, 0.90
OUTSIDE, NOTHING = 3, 77
# (vendor, family, models) of /proc/cpuinfo, as far as the geometries go.
X86 = (("AuthenticAMD", 25, (*range(0x10, 0x20), *range(0x60, 0x80), *range(0xa0, 0xb0)), "zen4"),
       ("AuthenticAMD", 26, range(256), "zen5"),
       ("GenuineIntel", 6, (143, 207), "golden-cove"))
# perf's event is walks on AMD and Intel, and refills of the first level on Arm.
COUNTED = {"zen4": "walks", "zen5": "walks", "golden-cove": "walks", "neoverse-v2": "l1_misses"}
# How scattered the kernel left 4 KiB pages is not known: anything between the two is right, and
# nothing can be said where they are further apart than the tolerance.
PAGES = (("small", "2 MiB pages refused", ("4k", "4k-run")), ("huge", "2 MiB pages", ("2m",)))


class BadOption(Exception):
    """Which, and what it takes."""


class Nothing(Exception):
    """Why there is nothing to compare with."""


def processor(path="/proc/cpuinfo"):
    """Name of the geometry of this machine's processor."""
    with open(path, encoding="utf-8", errors="replace") as file:
        found = dict(re.findall(r"^([\w ]+?)\s*: (.*)$", file.read().split("\n\n")[0], flags=re.M))
    if (found.get("CPU implementer"), found.get("CPU part")) == ("0x41", "0xd4f"):
        return "neoverse-v2"
    for vendor, family, models, name in X86:
        if (found.get("vendor_id"), found.get("cpu family")) == (vendor, str(family)) \
                and int(found.get("model", -1)) in models:
            return name
    raise Nothing(f"{found.get('model name', 'this processor')} is none of those that are modelled "
                  "(--processor chooses)")


def modelled(document, name):
    """{policy: misses an access} of a geometry, as the counter counts them."""
    geometries = {each["name"]: each for each in document["geometries"]}
    if name not in geometries:
        raise BadOption(f"no processor {name!r}; there are {', '.join(geometries)}")
    return {policy["policy"]: policy[COUNTED[name]] / policy["accesses"]
            for policy in geometries[name]["policies"]}


def counted(path):
    """Misses, from what perf stat -x wrote: value, unit, event, time on, per cent of the time."""
    with open(path, encoding="utf-8") as file:
        lines = [line.split(",") for line in file]
    rows = {columns[2].partition(":")[0]: columns for columns in lines if len(columns) >= 5}
    row = rows.get(EVENTS[0].partition(":")[0])  # without its ":u" where it is not supported
    if row is None:
        raise Nothing(f"perf stat wrote nothing of {EVENTS[0]}")
    if not row[0].isdigit():
        raise Nothing(f"perf stat: {EVENTS[0]} {row[0]} (a VM without a PMU?)")
    if not re.fullmatch(r"\d+(\.\d+)?", row[4]):
        raise Nothing(f"perf stat wrote {row[4]!r} for the time of {EVENTS[0]}")
    if float(row[4]) < 100 * MIN_COUNTED:
        raise Nothing(f"{EVENTS[0]} was counted for {row[4]} % of the time only")
    if rows.get(EVENTS[1].partition(":")[0], [""])[0] == "0":
        raise Nothing(f"the counter of {EVENTS[1]} stands at 0")
    return int(row[0])


def watched(simulator, words, pages, limit):
    """(misses, part of the memory on 2 MiB pages) of one walk."""
    with tempfile.NamedTemporaryFile(prefix="pg64-perf.") as file:
        done = subprocess.run(
            ["perf", "stat", "-x", ",", "-o", file.name, "-e", ",".join(EVENTS), "--", simulator,
             *words, "--walk", pages, "--limit", str(limit)],
            env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Nothing(f"perf stat ended with {done.returncode}: {done.stderr.strip()[-200:]}")
        misses = counted(file.name)
    part = re.search(r"^huge_part ([\d.]+)$", done.stdout, flags=re.M)
    if not part:
        raise Nothing(f"the walk said {done.stdout[:200]!r}")
    return misses, float(part.group(1))


def judge(measured, model, tolerance):
    """(ratio or None, whether it is within) of measured to modelled misses an access: to the
    nearest of the model's where there are several, and 1 between them."""
    low, high = min(model), max(model)
    nearest = min(max(measured, low), high)
    within = abs(measured - nearest) <= max(tolerance * nearest, SLACK)
    return (measured / nearest if nearest >= SLACK else None), within


def compare(simulator, words, count, model, tolerance):
    """Whether all that could be compared is within; Nothing where nothing could."""
    held, why = [], ""
    for pages, title, policies in PAGES:
        (before, _), (after, part) = (watched(simulator, words, pages, limit)
                                      for limit in (0, count))
        if pages == "huge" and part < MIN_ON_HUGE:
            print(f"  {title}: not compared: {100 * part:.0f} % of the memory is on them")
            why = "no row could be compared"
            continue
        measured = (after - before) / count
        wanted = [model[policy] for policy in policies]
        if max(wanted) - min(wanted) > max(tolerance * max(wanted), SLACK):
            print(f"  {title}: not compared: measured {measured:.4f} misses an access, and the "
                  f"model has {min(wanted):.4f} to {max(wanted):.4f}, by how scattered pages are")
            why = "no row could be compared"
            continue
        ratio, within = judge(measured, wanted, tolerance)
        said = " to ".join(f"{value:.4f}" for value in sorted(set(wanted)))
        print(f"  {title}: measured {measured:.4f} misses an access, the model has {said}: ratio "
              f"{'-' if ratio is None else f'{ratio:.2f}'}: {'within' if within else 'OUTSIDE'}")
        held.append(within)
    if not held:
        raise Nothing(why)
    return all(held)


def main(simulator, passed, name, percent):
    """The simulator's table, then the comparison; the exit status."""
    if not re.fullmatch(r"\d+(\.\d+)?", percent) or not 0 < float(percent) < 100:
        raise BadOption("--tolerance takes a number between 0 and 100")
    tolerance = float(percent) / 100
    given = passed[passed.index("--json") + 1] if "--json" in passed else None
    with tempfile.NamedTemporaryFile(prefix="pg64-model.") as file:
        path = given or file.name
        status = subprocess.run([simulator, *passed, *(() if given else ("--json", path))],
                                check=False).returncode
        if status:
            return status
        with open(path, encoding="utf-8") as text:
            document = json.load(text)
    sys.stdout.flush()
    words = ["--synthetic", document["trace"]["source"],
             "--warm", str(document["trace"]["warm"])]
    try:
        name = name or processor()
        model = modelled(document, name)
        if not shutil.which("perf"):
            raise Nothing("perf is not installed")
        print(f"VALIDATION of {name} by {EVENTS[0]}; tolerance {100 * tolerance:g} % or {SLACK} "
              "misses an access:")
        good = compare(simulator, words, document["trace"]["counted"], model, tolerance)
    except Nothing as reason:
        print(f"SKIP: nothing was validated: {reason}")
        return NOTHING
    print("the model is within the tolerance" if good else "the model is OUTSIDE of the tolerance")
    return 0 if good else OUTSIDE
