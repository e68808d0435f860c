#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The micro benchmarks run at small sizes, without and with pg64, and say what they should.

usage: micro.py MICRO
"""
import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import pg64test  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "bench", "suite"))
import micro as suite  # noqa: E402

TIMEOUT_S = 100
LATENCY = ("p50_ns", "p99_ns", "p999_ns", "max_ns")
# Group: (what of it is run here, the counters that it reports).
GROUPS = {
    "startup": ("", ("faults", "rss_bytes")),
    "first_touch": ("/block:(64|4096)/total:8388608/", ("faults", "rss_bytes")),
    "map_touch": ("/total:65536/", ("faults",)),
    "fault_latency": ("/(malloc|heap|mmap|shared)/total:8388608/",
                      ("faults", "samples", *LATENCY)),
    "churn": ("/size:(0|64)/live:256/", ("items_per_second",)),
    "cross_thread_free": ("/size:64/", ("items_per_second",)),
    "realloc_growth": ("/to:65536/by:0", ("faults",)),
    "aligned_churn": ("/align:(64|65536)/size:64$", ("items_per_second",)),
    "mmap_munmap": ("/(libc|syscall)/len:65536/", ("faults", "items_per_second")),
    "mremap_grow": ("/(libc|syscall)/len:65536", ("faults",)),
    "mprotect_half": ("/(libc|syscall)/len:65536", ("faults",)),
    "madvise_dontneed": ("/(libc|syscall)/len:65536", ("faults",)),
    "purge": ("/block:16384/.*keep_one_in:16",
              ("rss_bytes", "rss_full_bytes", "rss_freed_bytes", "rss_after_1s_bytes",
               "rss_trimmed_bytes")),
    "copy_out": ("/values:4096/later:[01]", ("rss_bytes", "items_per_second", *LATENCY)),
    "fork_cow": ("/heap_mb:16/", ("faults", "held_bytes", "rss_bytes", "pss_bytes", *LATENCY)),
    "random_read": ("/total:4194304/dependent:[01]", ("rss_bytes", "items_per_second")),
}
CONTEXT = ("malloc", "page_size", "tlb_counters", "held_bytes_by", "clock_ns")


def environment(preload):
    return pg64test.preload_environment(preload) if preload else pg64test.clean_environment()


def run(micro, preload, *words):
    """The JSON document of one run."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "result.json")
        done = subprocess.run(
            [micro, "--benchmark_min_time=0.001", f"--benchmark_out={path}",
             "--benchmark_out_format=json", *words], env=environment(preload), timeout=TIMEOUT_S,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            pg64test.fail(f"status {done.returncode}: {done.stdout.decode()}")
        with open(path, encoding="utf-8") as file:
            return json.load(file)


def check_list(micro):
    said = subprocess.run([micro, "--benchmark_list_tests"], env=environment(None), check=True,
                          stdout=subprocess.PIPE, timeout=TIMEOUT_S).stdout.decode()
    found = {line.split("/")[0] for line in said.splitlines() if line}
    if found != set(GROUPS):
        pg64test.fail(f"groups that are not as expected: {sorted(found ^ set(GROUPS))}")
    for size in (4 << 20, 64 << 20, 1 << 30, 4 << 30):
        if f"random_read/total:{size}/dependent:1\n" not in said:
            pg64test.fail(f"no random_read of {size} bytes")


def check_suite(micro):
    """What the suite asks for by name is there, once."""
    said = subprocess.run([micro, "--benchmark_list_tests"], env=environment(None), check=True,
                          stdout=subprocess.PIPE, timeout=TIMEOUT_S).stdout.decode().splitlines()
    for workload in suite.ALL:
        for name in workload.benchmarks.values():
            found = [line for line in said if line == name or line.startswith(name + "/")]
            if len(found) != 1:
                pg64test.fail(f"{workload.name}: {len(found)} benchmarks are named {name}")


def check_figures(entry):
    """The figures that the suite makes of a benchmark have those that results are made of."""
    group = entry["name"].split("/")[0]
    primary = {workload.results[result].primary for workload in suite.ALL
               for result, name in workload.benchmarks.items() if name.split("/")[0] == group}
    missing = primary - set(suite.Micro.figures(entry["name"], [entry]))
    if missing:
        pg64test.fail(f"{entry['name']} does not give {sorted(missing)}")


def check_context(context, preload):
    missing = [name for name in CONTEXT if not context.get(name)]
    if missing:
        pg64test.fail(f"not in the context: {missing}")
    if (os.path.basename(context["malloc"]) == "libpg64.so") != bool(preload):
        pg64test.fail(f"malloc is said to come from {context['malloc']}")
    if not re.match("not here: .|dTLB load misses", context["tlb_counters"]):
        pg64test.fail(f"TLB counters: {context['tlb_counters']}")


def check_values(name, entry):
    """What can be said of the numbers on any machine."""
    if name == "first_touch" and not 0 < entry["faults"] < 6000:
        pg64test.fail(f"{entry['name']}: {entry['faults']} faults for 8 MiB")
    if name == "first_touch" and not 8 << 20 < entry["rss_bytes"] < 64 << 20:
        pg64test.fail(f"{entry['name']}: RSS of {entry['rss_bytes']} for 8 MiB")
    if name == "fault_latency" and entry["samples"] % 2048:
        pg64test.fail(f"{entry['name']}: {entry['samples']} samples of 8 MiB, 4 KiB each")
    if name == "fault_latency" and entry["samples"] != sum(
            suite.Micro.octaves(entry["name"], [entry]).values()):
        pg64test.fail(f"{entry['name']}: the histogram does not have all samples")
    if "p50_ns" in entry and not (
            0 < entry["p50_ns"] <= entry["p99_ns"] <= entry["p999_ns"] <= entry["max_ns"]):
        pg64test.fail(f"{entry['name']}: the quantiles do not grow")
    if name == "copy_out" and (entry["rss_bytes"] < 4 << 20 or entry["iterations"] != 16):
        pg64test.fail(f"{entry['name']}: {entry['iterations']} iterations, {entry['rss_bytes']} B")
    if name == "random_read" and entry["rss_bytes"] < 4 << 20:
        pg64test.fail(f"{entry['name']}: reads what was never touched")


def check_run(micro, preload):
    chosen = "|".join(f"^{name}{which}" for name, (which, _) in GROUPS.items())
    document = run(micro, preload, f"--benchmark_filter={chosen}")
    seen = set()
    check_context(document["context"], preload)
    for entry in document["benchmarks"]:
        name = entry["name"].split("/")[0]
        if entry.get("error_occurred"):
            pg64test.fail(f"{entry['name']}: {entry['error_message']}")
        missing = [counter for counter in GROUPS[name][1] if counter not in entry]
        if missing:
            pg64test.fail(f"{entry['name']} does not report {missing}")
        has_misses = "dtlb_misses_per_read" in entry
        if has_misses and not document["context"]["tlb_counters"].startswith("dTLB"):
            pg64test.fail(f"{entry['name']}: TLB misses without counters")
        check_values(name, entry)
        check_figures(entry)
        seen.add(name)
    if seen != set(GROUPS):
        pg64test.fail(f"did not run: {sorted(set(GROUPS) - seen)}")
    print(f"{len(document['benchmarks'])} benchmarks {'with' if preload else 'without'} pg64")


def check_group(micro):
    """A memory cgroup is believed; one that is none is an error and not a number."""
    with tempfile.TemporaryDirectory() as folder:
        words = (f"--memory_group={folder}", "--benchmark_filter=^fork_cow/heap_mb:16/")
        entry = run(micro, None, *words)["benchmarks"][0]
        if not entry.get("error_occurred"):
            pg64test.fail("a folder that is no cgroup is taken for one")
        for name, content in (("memory.current", "123456\n"), ("cgroup.procs", "")):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(content)
        document = run(micro, None, *words)
        if document["benchmarks"][0]["held_bytes"] != 0:
            pg64test.fail("what is held is not the change of the group's charge")
        if folder not in document["context"]["held_bytes_by"]:
            pg64test.fail("the context does not name the group")


def main(argv):
    if len(argv) != 2:
        sys.exit(__doc__)
    micro = os.path.realpath(argv[1])
    check_list(micro)
    check_suite(micro)
    check_group(micro)
    for preload in (None, pg64test.library()):
        check_run(micro, preload)


if __name__ == "__main__":
    main(sys.argv)
