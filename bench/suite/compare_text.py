# SPDX-License-Identifier: MIT
"""What bench/compare prints: warnings, a table of the verdicts, and one line that sums up."""
import argparse
import json
import math
import sys
from collections import Counter

import compare
import noise
import record
from results import Run

ORDER = ("worse", "better", "cannot tell", "same", "control")
EPILOG = """\
A change is NEW / OLD of a cost (time, or time for an operation, or memory): above 1 is worse. The
change of the control, glibc, is taken out of the others. worse and better: the change is at least
the minimal effect, and is told from noise after correction for the number of comparisons
(Benjamini-Hochberg, 5 %). same: the interval (95 %) lies within the minimal effect. cannot tell:
all else; more rounds help. Faults are counts, compared by their medians: changes up to 2 % or 64
are none.

Exit status: 0; 1 with --fail-on-worse when something is worse; 2 when a result cannot be read.
"""


def _number(value):
    return "-" if value is None else f"{value:.3f}"


def _quantity(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _row(change):
    between = "" if change.low is None else f"{change.low:.3f}..{change.high:.3f}"
    return [change.verdict, change.result, change.variant, change.figure,
            _quantity(change.medians[0]), _quantity(change.medians[1]),
            f"{change.count[0]}/{change.count[1]}", _number(change.ratio), between, change.why]


def table(changes):
    """Lines of a table, the worst first."""
    head = ["verdict", "result", "variant", "figure", "OLD", "NEW", "n", "NEW/OLD", "95 %", ""]
    ordered = sorted(changes, key=lambda change: (ORDER.index(change.verdict),
                                                  -(change.ratio or 1)))
    rows = [head] + [_row(change) for change in ordered]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    right = {4, 5, 6, 7}
    return ["  ".join(cell.rjust(width) if column in right else cell.ljust(width)
                      for column, (cell, width) in enumerate(zip(row, widths))).rstrip()
            for row in rows]


def control_line(controls, control):
    """How much the control changed, in a sentence, or None."""
    shifts = [shift for shift, _ in controls.get("primary", {}).values()]
    if not shifts:
        return None
    mean = math.exp(sum(shifts) / len(shifts))
    return f"control {control}: changed to {mean:.3f} on average " \
           f"({math.exp(min(shifts)):.3f} to {math.exp(max(shifts)):.3f}); taken out of the others"


def summary(changes):
    """Counts, and what the intervals rule out."""
    counts = Counter(change.verdict for change in changes)
    words = ", ".join(f"{counts[name]} {name}" for name in ORDER if counts[name])
    unsure = [max(change.high - 1, 1 / change.low - 1) for change in changes
              if change.verdict == "cannot tell" and change.low]
    if unsure:
        words += f"; where it cannot be told, changes of up to {100 * max(unsure):.0f} % " \
                 "may be there"
    return words or "nothing to compare: no result of a variant is in both"


def _arguments(argv):
    parser = argparse.ArgumentParser(
        prog="bench/compare", description="Compare two runs of the benchmark suite.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", metavar="OLD", help="result.json, or the folder that holds it")
    parser.add_argument("new", metavar="NEW", help="likewise")
    parser.add_argument("--minimal-effect", type=float, default=100 * compare.MINIMAL_EFFECT,
                        metavar="PERCENT", help="smaller changes do not matter (default 2)")
    parser.add_argument("--control", default=compare.CONTROL, metavar="VARIANT",
                        help="whose change is the machine's (default glibc); '' for none")
    parser.add_argument("--all-figures", action="store_true",
                        help="latencies, CPU time and the rest too, not only the primary figure, "
                             "faults and memory")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--fail-on-worse", action="store_true", help="exit 1 if any is worse")
    options = parser.parse_args(argv)
    if not 0 <= options.minimal_effect < 100:
        parser.error(f"--minimal-effect {options.minimal_effect}: 0 to 100 percent")
    return options


def _print_text(changes, controls, warnings, options):
    for line in table(changes):
        print(line)
    print()
    line = control_line(controls, options.control)
    if line:
        print(line)
    print(summary(changes))
    for warning in warnings:
        print(f"WARNING: {warning}", file=sys.stderr)


def main(argv=None):
    options = _arguments(argv)
    runs = []
    for path in (options.old, options.new):
        try:
            runs.append(Run(record.read(path)))
        except record.RecordError as error:
            print(f"bench/compare: {error}", file=sys.stderr)
            return 2
        except (KeyError, TypeError, AttributeError) as error:
            print(f"bench/compare: {path}: not as the format says: {error!r}", file=sys.stderr)
            return 2
    old, new = runs
    changes, controls = compare.compare(old, new, options.minimal_effect / 100, options.control,
                                        options.all_figures)
    warnings = compare.differences(old, new)
    if warnings:
        warnings.insert(0, "THE RUNS DIFFER IN MORE THAN pg64; any change may come from that")
    if not controls.get("primary"):
        warnings.append(f"no control: {options.control or 'none wanted'}; a slower day of the "
                        "machine looks like a slower pg64")
    warnings += compare.unmatched(old, new)
    if options.json:
        print(json.dumps({
            "old": options.old, "new": options.new, "warnings": warnings,
            "minimal_effect": options.minimal_effect / 100, "control": options.control,
            "false_discoveries": noise.FALSE_DISCOVERIES,
            "controls": {kind: {result: {"ratio": math.exp(shift), "error": error}
                                for result, (shift, error) in found.items()}
                         for kind, found in controls.items()},
            "changes": [change.record() for change in changes]}, indent=1))
    else:
        _print_text(changes, controls, warnings, options)
    worse = any(change.verdict == "worse" for change in changes)
    return 1 if worse and options.fail_on_worse else 0
