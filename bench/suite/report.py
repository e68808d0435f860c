# SPDX-License-Identifier: MIT
"""The report of one run: report.html, which needs nothing else, and pictures for a README."""
import argparse
import json
import os
import shlex
import sys

import record
import sections
from analysis import Analysis
from charts import esc
from results import Run

HERE = os.path.dirname(os.path.realpath(__file__))


def _asset(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return file.read()


def memory_text(value):
    return f"{value / (1 << 30):.0f} GiB" if isinstance(value, (int, float)) else "?"


def cost_text(value):
    return f"{value / 1000:.2g} µs" if isinstance(value, (int, float)) else "?"


def virtual_text(hypervisor):
    """What systemd-detect-virt said: "none" on bare metal."""
    return f", virtual machine or container ({hypervisor})" \
        if hypervisor and hypervisor != "none" else ""


def watched_text(damon):
    """What clears accessed bits while programs run; see machine.py."""
    return f"; DAMON watches {damon}" if damon and damon != "no" else ""


def facts(run):
    """Machine, kernel, versions, command: what a reader needs to judge and to repeat it."""
    data, machine = run.data, run.machine
    least, most = run.rounds_done()
    done = f"{least}" if least == most else f"{least} to {most}"
    shown = {
        "machine": f"{machine.get('cpu', '?')}, {machine.get('cpus', '?')} CPUs, "
                   f"{memory_text(machine.get('memory_bytes'))}"
                   + virtual_text(machine.get("hypervisor")),
        "costs": f"a fault of one base page takes {cost_text(machine.get('fault_ns'))}, a system "
                 f"call {cost_text(machine.get('system_call_ns'))}",
        "kernel": f"{machine.get('kernel', '?')}, {machine.get('distribution', '?')}, base pages "
                  f"of {machine.get('page_bytes', '?')} bytes"
                  + watched_text(machine.get("damon")),
        "TLB": "hardware counters tell the misses" if machine.get("tlb_counters") == "yes" else
               f"misses are not counted: {machine.get('tlb_counters') or 'no counters'}",
        "versions": ", ".join(f"{name} {version}"
                              for name, version in (data.get("versions") or {}).items()) or "?",
        "measured": f"{data.get('started', '?')} to {data.get('ended') or '(not finished)'}; "
                    f"level {data.get('level', '?')}; {done} of "
                    f"{data.get('rounds', '?')} rounds good, for each number",
    }
    rows = "".join(f"<dt>{esc(name)}</dt><dd>{esc(text)}</dd>" for name, text in shown.items())
    command = shlex.join(str(word) for word in data.get("command") or ["?"])
    return f'<dl class="facts">{rows}<dt>to repeat it</dt><dd><code>{esc(command)}</code></dd></dl>'


def settings(run):
    """The knobs, whole, for those who want to know."""
    variants = {name: {key: entry.get(key) for key in ("setting", "env", "preload", "knobs")}
                for name, entry in run.variants.items()}
    parts = (("machine", run.machine), ("knobs before the run", run.data.get("knobs") or {}),
             ("variants", variants))
    return '<h2 id="settings">Settings</h2>' + "".join(
        f"<details><summary>{name}</summary><div class=\"scroll\"><pre>"
        f"{esc(json.dumps(content, indent=1, ensure_ascii=False))}</pre></div></details>"
        for name, content in parts)


def controls(analysis):
    buttons = "".join(f'<button type="button" data-base="{esc(base)}">{esc(base)}</button>'
                      for base in analysis.bases)
    return f'<nav class="controls"><span class="soft">ratio to</span>{buttons}</nav>'


def page(analysis):
    """The whole of report.html."""
    run = analysis.run
    others = [name for name in analysis.variants if run.family(name) != "pg64"]
    title = f"pg64 against {len(others)} other allocator set-ups: {len(analysis.results)} results"
    cautions = "".join(f'<p class="caution">{esc(text)}</p>' for text in analysis.cautions())
    parts = [controls(analysis)]
    if analysis.results and analysis.bases:
        parts += [sections.summary(analysis), sections.wins_and_losses(analysis),
                  sections.planes(analysis), sections.matrices(analysis)]
    parts += [sections.groups(analysis), sections.skips(analysis), sections.METHOD, settings(run)]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{esc(title)}</title><style>{_asset('report.css')}</style>"
        f"<script>{_asset('report.js')}</script></head><body>"
        f"<header><h1>{esc(title)}</h1><p>64 KiB pages for programs on 4 KiB kernels: what they "
        "gain and what they cost, against the C library's allocator and others. Ratios below 1 "
        f"are better.</p>{cautions}{facts(run)}</header><main>{''.join(parts)}</main>"
        "</body></html>\n")


def write(data, folder, resamples=None):
    """Write report.html and the pictures into a folder; the paths."""
    import pictures  # pylint: disable=import-outside-toplevel  # matplotlib takes a second
    analysis = Analysis(Run(data), **({"resamples": resamples} if resamples else {}))
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "report.html")
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(page(analysis))
    os.replace(path + ".new", path)
    return [path, *pictures.write(analysis, folder)]


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="bench/report", description="Write report.html and pictures of a run.",
        epilog="Exit status: 0, or 2 when the result cannot be read.")
    parser.add_argument("result", help="result.json, or the folder that holds it")
    parser.add_argument("--out", metavar="FOLDER", help="where to write; default: beside the "
                                                        "result")
    options = parser.parse_args(argv)
    try:
        data = record.read(options.result)
    except record.RecordError as error:
        print(f"bench/report: {error}", file=sys.stderr)
        return 2
    beside = options.result if os.path.isdir(options.result) else os.path.dirname(options.result)
    for path in write(data, options.out or beside or "."):
        print(path)
    return 0
