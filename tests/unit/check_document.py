#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the statistics that a process writes when it ends, in all forms and sinks.

usage: check_document.py STATS_DOCUMENT
"""
import json
import os
import re
import subprocess
import sys
import tempfile

PROGRAM = sys.argv[1]
KINDS = ["heap", "anon", "shared"]
TOP = ["pg64_stats", "version", "pid", "ppid", "exe", "forked", "active", "backend", "reason",
       "page_bytes", "memory", "coverage", "faults", "counters"]
MEMORY = ["resident_bytes", "heap_reserved_bytes", "heap_committed_bytes", "heap_advised_bytes",
          "heap_collapsed_bytes"]
COVERAGE = ["ppm", "source", "resident_bytes", "backed_bytes"]
SAMPLE = re.compile(r'([a-z][a-z0-9_]*)\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+)\} '
                    r'([0-9]+(?:\.[0-9]+)?)')
SUFFIX = {"counter": "_total", "gauge": "", "info": "_info"}


def run(*args, **options):
    return subprocess.run([PROGRAM, *args], check=True, text=True, **options)


def unique(pairs):
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), f"names twice: {names}"
    return dict(pairs)


def check_json(text):
    """One object on one line, with exactly the keys of the schema, in its order."""
    assert text.endswith("\n") and text.count("\n") == 1, text
    stats = json.loads(text, object_pairs_hook=unique)
    assert list(stats) == TOP, list(stats)
    assert stats["pg64_stats"] == 1 and re.fullmatch(r"\d+\.\d+\.\d+", stats["version"])
    assert stats["exe"] == os.path.realpath(PROGRAM)
    assert stats["active"] == {"malloc": True, "mmap": True}
    assert list(stats["backend"]) == KINDS and list(stats["reason"]) == KINDS
    assert stats["page_bytes"] == os.sysconf("SC_PAGESIZE")
    assert list(stats["memory"]) == MEMORY and stats["memory"]["resident_bytes"] > 0
    check_coverage(stats)
    assert list(stats["faults"]) == ["minor", "major"] and stats["faults"]["minor"] > 0
    assert stats["counters"]["skip_file"] == 5 and stats["counters"]["skip_small"] == 0
    assert all(isinstance(value, int) for value in stats["counters"].values())
    return stats


def check_coverage(stats):
    coverage = stats["coverage"]
    assert list(coverage) == COVERAGE
    assert coverage["source"] in ("kpageflags", "fault-bound", "none")
    if coverage["source"] == "none":
        assert coverage["ppm"] is None
    else:
        assert 0 <= coverage["ppm"] <= 1000000
        share = coverage["backed_bytes"] * 1000000 // max(1, coverage["resident_bytes"])
        assert abs(share - coverage["ppm"]) <= 1, coverage
    if stats["forked"]:
        assert coverage["source"] != "fault-bound"


def check_openmetrics(text):
    """The grammar of the exposition, and one family a name, TYPE and HELP before its sample."""
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""], lines[-2:]
    families = {}
    lines = lines[:-2]
    assert len(lines) % 3 == 0
    for head, helped, sample in zip(lines[::3], lines[1::3], lines[2::3]):
        kind = re.fullmatch(r"# TYPE (pg64_[a-z0-9_]+) (counter|gauge|info)", head)
        assert kind, head
        name = kind.group(1)
        assert name not in families, f"{name} twice"
        assert re.fullmatch(rf"# HELP {name} \S.*", helped), helped
        value = SAMPLE.fullmatch(sample)
        assert value and value.group(1) == name + SUFFIX[kind.group(2)], sample
        assert 'pid="' in value.group(2)
        families[name] = value.group(3)
    assert families["pg64_skip_file"] == "5" and families["pg64_backend_heap"] == "1"
    # A family must not look like the sample of another.
    for name in families:
        for suffix in ("_total", "_info"):
            assert name + suffix not in families, name


def check_text(text):
    lines = text.splitlines()
    assert lines[0].startswith("pg64 ") and ": process " in lines[0], lines[0]
    assert len(lines) < 40 and all(line.startswith("  ") for line in lines[1:]), text
    for word in ("backend_heap", "coverage_ratio", "faults_minor", "skip_file"):
        assert any(line.split()[0] == word for line in lines[1:]), word
    assert "skip_small" not in text


def check_sinks(folder):
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # Standard error is closed before the process ends, which is what programs do.
    check_json(run("stderr", "json", "closed", **pipe).stderr)
    # The descriptor belongs to something else by now: nothing is written to it.
    assert run("fd:1", "json", "reused", **pipe).stdout == ""
    refused = run("fd:77", "json", **pipe)
    assert refused.stderr == ("pg64: stats = fd:77: the descriptor is not open; "
                              "no statistics are written\n"), refused.stderr

    # Parent and child append to one file; %p gives each its own.
    path = os.path.join(folder, "both")
    run(path, "json", "fork")
    with open(path, encoding="utf-8") as file:
        child, parent = [check_json(line) for line in file]
    assert child["forked"] and not parent["forked"] and child["ppid"] == parent["pid"]
    run(os.path.join(folder, "one-%p-%p"), "json", "fork")
    names = [f"one-{stats['pid']}-{stats['pid']}" for stats in (child, parent)]
    found = [name for name in os.listdir(folder) if name.startswith("one-")]
    assert len(found) == 2 and all(re.fullmatch(r"one-(\d+)-\1", name) for name in found), names

    # A FIFO that nobody reads, a folder that is not there, and a reader that went away.
    os.mkfifo(os.path.join(folder, "fifo"))
    run(os.path.join(folder, "fifo"), "json", timeout=20)
    run(os.path.join(folder, "none", "x"), "json")
    ends = os.pipe()
    os.close(ends[0])
    run("fd:%d" % ends[1], "json", pass_fds=[ends[1]])


def main():
    def out(form):
        return run("fd:1", form, stdout=subprocess.PIPE).stdout
    assert not check_json(out("json"))["forked"]
    check_openmetrics(out("openmetrics"))
    check_text(out("text"))
    with tempfile.TemporaryDirectory() as folder:
        check_sinks(folder)
    print("all forms and sinks are right")


if __name__ == "__main__":
    main()
