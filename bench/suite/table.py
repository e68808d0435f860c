# SPDX-License-Identifier: MIT
"""Results as a Markdown table, for a README: a line for each, the ratios of one variant."""
import argparse
import sys

import charts
import record
from analysis import Analysis
from results import Run

TEXT = {"time": "time", "faults": "faults", "memory": "memory", "private": "private memory",
        "after": "a second later", "held": "held after fork", "fork": "fork()", "p99": "p99",
        "p999": "p99.9"}
SHOWN = ("time", "faults", "memory", "after", "p99")
WITH_INTERVAL = ("time", "fork", "p99", "p999")
# Figures that are a time, or the time of an operation. Others have a column of their own.
TIMES = ("wall_s", "cpu_s", "rate")


def cell(estimate, interval):
    """A ratio as a reader sees it; in brackets where the interval holds 1."""
    if estimate is None or estimate.ratio is None:
        return ""
    text = charts.ratio_text(estimate.ratio)
    if not interval:
        return text
    if estimate.low is None:
        return f"({text})"
    ends = f"{charts.ratio_text(estimate.low)} to {charts.ratio_text(estimate.high)}"
    return f"({text}; {ends})" if estimate.verdict == "same" else f"**{text}** ({ends})"


def columns(analyses, bases, metrics):
    """[(metric, base)]: times to each base, the others to the first one."""
    known = {metric for analysis in analyses for metric in analysis.metrics()}
    return [(metric, base) for metric in metrics if metric in known
            for base in (bases if metric == "time" else bases[:1])]


def ratio(analysis, metric, base, result, variant):
    """A cell; empty for the time of a result that is no time, which another column has."""
    if metric == "time" and analysis.run.primary(result) not in TIMES:
        return ""
    return cell(analysis.estimate(metric, base, result, variant), metric in WITH_INTERVAL)


def title(run, result):
    """Group and label of a result."""
    known = run.results[result]
    group = known.get("group")
    return f"{group}: " * bool(group) + known.get("label", result)


def rows(runs, variant, bases, wanted=(), latest=False, metrics=SHOWN):
    """The head and a row for each result that was measured under the variant and a base.

    `metrics`: names of analysis.METRICS, for the columns.
    `latest`: a result of several runs has one row, of the last of them, in the first one's place.
    """
    analyses = [Analysis(run) for run in runs]
    shown, found = columns(analyses, bases, metrics), {}
    for position, analysis in enumerate(analyses):
        for result in analysis.results:
            if wanted and result not in wanted:
                continue
            cells = [ratio(analysis, metric, base, result, variant) for metric, base in shown]
            if any(cells):
                found[0 if latest else position, result] = [
                    title(analysis.run, result), *cells]
    head = ["", *(f"{TEXT[metric]} / {base}" for metric, base in shown)]
    return head, list(found.values())


def by_variant(runs, base, wanted=(), metric="time"):
    """The head and a row for each variant: one metric to one base, a column for each result."""
    analyses = [Analysis(run) for run in runs]
    shown = [(analysis, result) for analysis in analyses for result in analysis.results
             if not wanted or result in wanted]
    head = [f"{TEXT[metric]} / {base}", *(title(analysis.run, result)
                                          for analysis, result in shown)]
    found = {}
    for variant in dict.fromkeys(name for run in runs for name in run.measured()):
        cells = [ratio(analysis, metric, base, result, variant) for analysis, result in shown]
        if any(cells):
            found[variant] = [f"`{variant}`", *cells]
    return head, list(found.values())


def markdown(head, lines):
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(cells).strip() + " |" for cells in (head, rule, *lines))


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="bench/table", description="Print the ratios of one variant as a Markdown table; "
        "below 1 is better. Bold: the 95 % interval, which follows, excludes 1. In brackets: it "
        "does not.")
    parser.add_argument("result", nargs="+", help="result.json, or its folder")
    parser.add_argument("--variant", default="pg64")
    parser.add_argument("--bases", default="glibc,glibc64", metavar="LIST",
                        help="what to compare with, with commas (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="LIST", help="these results, with commas")
    parser.add_argument("--latest", action="store_true",
                        help="of a result in several RESULTs, the last one's row only")
    parser.add_argument("--by-variant", action="store_true",
                        help="a row for each variant, and a column for each result: the first "
                        "metric to the first base")
    parser.add_argument("--metrics", default=",".join(SHOWN), metavar="LIST",
                        help=f"columns, of {', '.join(TEXT)} (default: %(default)s)")
    options = parser.parse_args(argv)
    metrics = options.metrics.split(",")
    if unknown := [metric for metric in metrics if metric not in TEXT]:
        print(f"bench/table: no metric {unknown[0]}; there are {', '.join(TEXT)}", file=sys.stderr)
        return 2
    bases, runs = options.bases.split(","), []
    wanted = set(filter(None, options.only.split(",")))
    for path in options.result:
        try:
            runs.append(Run(record.read(path)))
        except record.RecordError as error:
            print(f"bench/table: {error}", file=sys.stderr)
            return 2
        measured = runs[-1].measured()
        for name in (bases[:1] if options.by_variant else (options.variant, *bases)):
            if name not in measured:
                print(f"bench/table: {path}: {name} was not measured; "
                      f"there are {', '.join(measured) or 'none'}", file=sys.stderr)
                return 2
    if unknown := wanted - {name for run in runs for name in run.results}:
        print(f"bench/table: no result {', '.join(sorted(unknown))} in any of these",
              file=sys.stderr)
        return 2
    print(markdown(*(by_variant(runs, bases[0], wanted, metrics[0]) if options.by_variant else
                     rows(runs, options.variant, bases, wanted, options.latest, metrics))))
    return 0
