# SPDX-License-Identifier: MIT
"""The parts of the report's page: each takes an Analysis and gives HTML."""
import math

import charts
import pairs
import results
from analysis import CONTROL, EXACT, METRICS
from charts import esc

SHORT = {**{metric: metric for metric in METRICS}, "after": "after free", "p999": "p99.9"}
# With more variants than this, the numbers of an axis are repeated for each result.
SCALE_AGAIN = 8
WORD = {"same": "not told apart", "better": "better", "worse": "worse", "none": "no interval"}


def quantity(value, unit):
    """A number with its unit, short: 0.85 s, 12.3 ms, 264 MiB, 193,280."""
    if value is None:
        return "–"
    if unit == "s":
        for factor, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")):
            if value >= factor or name == "ns":
                return f"{value / factor:.3g} {name}" if value < 100 else f"{value:.0f} s"
    if unit == "B":
        for factor, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
            if value >= factor:
                return f"{value / factor:.3g} {name}" if value / factor < 1000 else \
                    f"{value / factor:,.0f} {name}"
        return f"{value:.0f} B"
    if unit == "1/s":
        return f"{value:,.0f}/s" if value >= 100 else f"{value:.3g}/s"
    if unit == "ratio":
        return f"{value:.3f}"
    return f"{value:,.0f}"


def per_base(analysis, draw):
    """draw(base) for each baseline, in boxes of which the page's script shows one."""
    return "".join(
        f'<div data-for="{esc(base)}"><div class="base-name">ratio to {esc(base)} '
        f"({esc(analysis.run.label(base))})</div>{draw(base)}</div>" for base in analysis.bases)


def family_class(analysis, variant):
    return charts.colour(analysis.run.family(variant))


def ours_class(analysis, variant):
    return " ours" if variant in analysis.ours() else ""


def key(analysis):
    """What colours and dots mean."""
    families = dict.fromkeys(analysis.run.family(name) for name in analysis.variants)
    dots = "".join(
        f'<span class="f-other"><svg class="plot"><line class="interval" x1="3" x2="23" y1="8" '
        f'y2="8"/><circle class="dot {kind}" cx="13" cy="8" r="4.5"/></svg>{text}</span>'
        for kind, text in (("full", "interval excludes 1"),
                           ("hollow", "interval holds 1: not told apart"),
                           ("bare", "no interval: too few rounds")))
    return '<div class="key">' + "".join(
        f'<span class="{charts.colour(name)}"><i></i>{esc(name)}</span>'
        for name in families) + dots + "</div>"


def _figures(analysis, results):
    """The primary figures of results by name."""
    known = analysis.run.figures
    return ", ".join(sorted({esc(known.get(figure, {}).get("label", figure))
                             for figure in map(analysis.run.primary, results)}))


def summary(analysis):
    """Geometric means of all variants, and how many results each won and lost."""
    def draw(base):
        means = {name: analysis.mean("time", base, name) for name in analysis.variants
                 if name != base}
        axis = charts.Axis.around([value for mean, _, _ in means.values() if mean.ratio
                                   for value in (mean.ratio, mean.low or 1, mean.high or 1)])
        rows = [f'<div class="row extra scale-row"><span></span>{charts.forest_scale(axis)}'
                '<span class="soft">geometric mean</span><span class="soft">better · not told '
                "apart · worse</span></div>"]
        for name, (mean, count, possible) in means.items():
            found = analysis.verdicts(base, name)
            part = "" if count == possible else \
                f' <small title="not measured in all">{count} of {possible}</small>'
            bar = "".join(f'<span class="{verdict}" style="flex-grow:{len(found[verdict])}" '
                          f'title="{WORD[verdict]}">{len(found[verdict])}</span>'
                          for verdict in ("better", "same", "worse", "none") if found[verdict])
            rows.append(
                f'<div class="row extra{ours_class(analysis, name)} '
                f'{family_class(analysis, name)}">'
                f'<span class="who">{esc(analysis.run.label(name))}{part}</span>'
                f"{charts.forest_mark(axis, mean, analysis.run.family(name))}"
                f'{charts.estimate_text(mean)}<span class="bar">{bar}</span></div>')
        return f'<div class="forest">{"".join(rows)}</div>'
    count = len(analysis.results)
    others = [name for name in analysis.results
              if analysis.run.primary(name) not in ("wall_s", "rate")]
    what = f" ({len(others)} of them not of time or rate but of {_figures(analysis, others)})" \
        if others else ""
    return ('<h2 id="summary">In short</h2><p>Geometric mean of the time of '
            f"{count} results{what}, each counted once,"
            " as a ratio to the baseline: below 1 is better. The interval (95 %) "
            "is about noise; it does not speak of programs that were not measured. Of results "
            f"that do not differ at all, about 1 in 20 would still be told apart by chance: "
            f"{count / 20:.1f} of {count} here.</p>"
            + key(analysis) + per_base(analysis, draw))


def _between(estimate):
    """The interval, unless it is too narrow to be seen in the digits shown."""
    ends = [charts.ratio_text(end) for end in (estimate.low, estimate.high)]
    return "" if ends[0] == ends[1] else f" <small>{ends[0]}–{ends[1]}</small>"


def _named_list(analysis, base, variant, verdict):
    found = analysis.named(base, variant, verdict)
    if not found:
        verdicts = analysis.verdicts(base, variant)
        told = any(verdicts[name] for name in ("better", "same", "worse"))
        return '<p class="soft">' + ("In nothing that was measured." if told else
                                     "It cannot be told: there are no intervals.") + "</p>"
    items = []
    for result, entries in found:
        tags = "".join(
            f'<span class="tag"><small>{SHORT[metric]}</small> <b>'
            f"{charts.ratio_text(estimate.ratio)}</b>{_between(estimate)}</span>"
            for metric, estimate in entries)
        items.append(f"<li><span>{esc(analysis.run.results[result].get('label', result))} "
                     f"<small>{esc(analysis.run.results[result].get('group', ''))}</small></span>"
                     f"<span>{tags}</span></li>")
    return f'<ul>{"".join(items)}</ul>'


def wins_and_losses(analysis):
    """By name, for each variant of pg64 that is no control."""
    if not analysis.ours() or not analysis.bases:
        return '<h2 id="losses">Where pg64 wins, and where it loses</h2><p>pg64 or a baseline ' \
               "was not measured.</p>"

    def draw(base):
        parts = []
        for place, variant in enumerate(analysis.ours()):
            found = analysis.verdicts(base, variant)
            same = ", ".join(esc(analysis.run.results[result].get("label", result))
                             for result in found["same"] + found["none"])
            body = (f'<div class="sides"><div class="won"><h4>Where it wins</h4>'
                    f'{_named_list(analysis, base, variant, "better")}</div>'
                    f'<div class="lost"><h4>Where it loses</h4>'
                    f'{_named_list(analysis, base, variant, "worse")}</div></div>'
                    f'<p><small>Time not told apart: {same or "none"}.</small></p>')
            counts = f'time better in {len(found["better"])}, not told apart in ' \
                     f'{len(found["same"]) + len(found["none"])}, worse in {len(found["worse"])}'
            parts.append(f'<details{"" if place else " open"}><summary><b>'
                         f"{esc(analysis.run.label(variant))}</b>: {counts}</summary>"
                         f"{body}</details>")
        return "".join(parts)
    return ('<h2 id="losses">Where pg64 wins, and where it loses</h2><p>Each result whose '
            "interval excludes 1, by the name of what was better or worse; below 1 is better. "
            "Faults and memory repeat so exactly that they are named from 1 % on. Beside time they "
            "are: faults, memory, private memory, memory after free and after a child's exit, "
            "the time of fork() and tail latency.</p>"
            + per_base(analysis, draw))


def planes(analysis):
    """Memory against time: all results, then the groups."""
    variants = {name: (analysis.run.family(name), analysis.run.variants[name].get("setting"))
                for name in analysis.variants}
    figures = []
    for group in (None, *analysis.groups):
        points, count = analysis.plane(group)
        title = "All results" if group is None else group
        if len(points) < 2 or (group is None and len(analysis.groups) == 1):
            continue
        left_out = [name for name in analysis.variants if name not in points]
        lacking = f"<br><small>not in all of these results, so not shown: " \
                  f"{esc(', '.join(left_out))}</small>" if left_out else ""
        figures.append(f"<figure><figcaption>{esc(title)} <small>geometric mean of {count} "
                       f"result{'s' if count != 1 else ''}</small></figcaption>"
                       f"{charts.plane(points, variants, title)}{lacking}</figure>")
    if not figures:
        return '<h2 id="plane">Memory against time</h2><p>Too little was measured for it.</p>'
    marks = "".join(f'<span class="f-other"><svg class="plane" style="width:18px;height:18px" '
                    f'viewBox="0 0 18 18">{charts.mark(shape, 9, 9)}</svg>{text}</span>'
                    for shape, text in (("circle", "4 KiB pages"), ("square", "64 KiB"),
                                        ("diamond", "2 MiB"), ("triangle", "64 KiB and 2 MiB")))
    return ('<h2 id="plane">Memory against time</h2><p>Both as ratios to glibc on 4 KiB pages: '
            "the lower left corner is best. The dashed line is the Pareto front; the variants on "
            "it, filled, are those that no other beats in both. Medians, without intervals: "
            "points that are close may change places. The mark tells the kernel's setting "
            "(pg64-collapse and pg64-patched make larger pages on the 4 KiB setting).</p>"
            f'<div class="key">{marks}</div><div class="planes">{"".join(figures)}</div>')


def _cell(estimate, exact):
    if estimate is None or estimate.ratio is None:
        return '<td class="s">–</td>'
    text = charts.ratio_text(estimate.ratio)
    told = estimate.verdict in ("better", "worse") and \
        (not exact or abs(estimate.ratio - 1) >= 0.01)
    hint = "no interval" if estimate.low is None else \
        f"{charts.ratio_text(estimate.low)}–{charts.ratio_text(estimate.high)}, n={estimate.pairs}"
    if not told:
        return f'<td class="s" title="{hint}">{text}</td>'
    depth = min(abs(math.log2(max(estimate.ratio, 1e-3))), 2) / 2
    return f'<td class="{estimate.verdict[0]}" style="--a:{0.2 + 0.55 * depth:.2f}" ' \
           f'title="{hint}">{text}</td>'


def _matrix(analysis, metric, base):
    """One table: results by variants."""
    # pg64 first: that is what a narrow screen shows without being moved.
    others = sorted((name for name in analysis.variants if name != base),
                    key=lambda name: name not in analysis.ours())
    head = "".join(f'<th class="{family_class(analysis, name)}">{esc(name)}</th>'
                   for name in others)
    rows, exact = [], metric in EXACT
    for group, members in analysis.groups.items():
        members = [result for result in members if analysis.figure(metric, result)]
        if not members:
            continue
        rows.append(f'<tr class="group"><td>{esc(group)}</td><td colspan="{len(others)}"></td>'
                    "</tr>")
        for result in members:
            cells = "".join(_cell(analysis.estimate(metric, base, result, name), exact)
                            for name in others)
            label = esc(analysis.run.results[result].get("label", result))
            rows.append(f'<tr><td title="{label}">{label}</td>{cells}</tr>')
    means = "".join(_cell(analysis.mean(metric, base, name)[0], exact) for name in others)
    return (f'<div class="scroll"><table class="matrix"><thead><tr><th></th>{head}</tr></thead>'
            f'<tbody>{"".join(rows)}<tr class="mean"><td>geometric mean</td>{means}</tr></tbody>'
            "</table></div>")


def matrices(analysis):
    """All ratios at a glance, a table for each of analysis.METRICS."""
    parts = ['<h2 id="all">Every result at a glance</h2><p>Ratios to the baseline, below 1 is '
             "better. Coloured where the interval excludes 1 (faults and memory: and by 1 % or "
             "more); bold on orange is worse.</p>"]
    for metric in analysis.metrics():
        parts.append(f"<h3>{esc(METRICS[metric][0])}</h3>" + per_base(
            analysis, lambda base, metric=metric: _matrix(analysis, metric, base)))
    return "".join(parts)


def forests(analysis, group):
    """One group: each result with all variants."""
    members, run = analysis.groups[group], analysis.run

    def draw(base):
        every = [estimate for result in members for name in analysis.variants
                 for estimate in [analysis.estimate("time", base, result, name)]
                 if estimate and estimate.ratio]
        axis = charts.Axis.around([value for estimate in every for value in (
            estimate.ratio, max(estimate.low or 1, estimate.ratio / 1.3),
            min(estimate.high or 1, estimate.ratio * 1.3))])
        rows = []
        for place, result in enumerate(members):
            figure = run.figures.get(run.primary(result), {})
            middle = results.spread(run.values(result, base, run.primary(result)))
            absolute = quantity(middle[0], figure.get("unit")) if middle else "not measured"
            rows.append(f'<div class="row title"><span class="who">'
                        f"{esc(run.results[result].get('label', result))} <small>"
                        f"{esc(figure.get('label', run.primary(result)))}; {esc(base)}: {absolute}"
                        "</small></span><span></span></div>")
            if not place or len(analysis.variants) > SCALE_AGAIN:
                rows.append(f'<div class="row scale-row"><span></span>'
                            f"{charts.forest_scale(axis, not place)}<span></span></div>")
            for name in analysis.variants:
                if name == base:
                    continue
                estimate = analysis.estimate("time", base, result, name)
                if estimate is None:
                    continue
                rows.append(
                    f'<div class="row{ours_class(analysis, name)} '
                    f'{family_class(analysis, name)}">'
                    f'<span class="who">{esc(run.label(name))}</span>'
                    f"{charts.forest_mark(axis, estimate, run.family(name))}"
                    f"{charts.estimate_text(estimate)}</div>")
        return f'<div class="forest">{"".join(rows)}</div>'
    return per_base(analysis, draw)


def _spread_cells(run, result, variant, figure):
    unit = run.figures.get(figure, {}).get("unit")
    found = results.spread(run.values(result, variant, figure))
    if not found:
        return '<td data-value="">–</td><td class="soft">–</td>'
    least, most = quantity(found[1], unit), quantity(found[2], unit)
    between = least if least == most else f"{least} – {most}"
    return f'<td data-value="{found[0]}">{quantity(found[0], unit)}</td>' \
           f'<td class="soft">{between}</td>'


def table(analysis, group):
    """Every number of a group."""
    run, members = analysis.run, analysis.groups[group]
    primaries = {run.primary(result) for result in members}
    others = [figure for figure in run.figures
              if any(run.values(result, name, figure) for result in members
                     for name in analysis.variants)
              and (figure not in primaries or len(primaries) > 1)]
    heads = ['<th class="text" data-sort="text">result</th>',
             '<th class="text" data-sort="text">variant</th>', '<th data-sort="number">n</th>',
             '<th data-sort="number">median</th>', "<th>min – max</th>"]
    heads += [f'<th data-sort="number">/ {esc(base)}</th><th>95 %</th>' for base in analysis.bases]
    heads += [f'<th data-sort="number">{esc(run.figures[figure].get("label", figure))}</th>'
              "<th>min – max</th>" for figure in others]
    rows = []
    for result in members:
        for name in analysis.variants:
            values = run.values(result, name, run.primary(result))
            if not values:
                continue
            cells = [f'<td>{esc(run.results[result].get("label", result))}</td>',
                     f'<td class="text">{esc(name)}</td><td>{len(values)}</td>',
                     _spread_cells(run, result, name, run.primary(result))]
            for base in analysis.bases:
                cells.append(_ratio_cells(analysis.estimate("time", base, result, name)))
            cells += [_spread_cells(run, result, name, figure) for figure in others]
            rows.append(f'<tr>{"".join(cells)}</tr>')
    return (f'<details class="numbers"><summary>All numbers of {esc(group)}</summary>'
            f'<div class="scroll"><table><thead><tr>{"".join(heads)}</tr></thead><tbody>'
            f'{"".join(rows)}</tbody></table></div></details>')


def _ratio_cells(estimate):
    if estimate is None or estimate.ratio is None:
        return '<td data-value="">–</td><td></td>'
    between = esc(estimate.why) if estimate.low is None else \
        f"{charts.ratio_text(estimate.low)} – {charts.ratio_text(estimate.high)}"
    if estimate.dropped:
        between += f" ({estimate.dropped} dropped)"
    return f'<td data-value="{estimate.ratio}">{charts.ratio_text(estimate.ratio)}</td>' \
           f'<td class="soft">{between}</td>'


def _share(part):
    """A share of events, so that a rare one is still seen: 12 %, 0.03 %."""
    return "" if not part else f"{100 * part:.0f} %" if part >= 0.1 else \
        f"{100 * part:.2g} %" if part >= 1e-5 else "&lt;0.001 %"


def histograms(analysis, group):
    """How long single events took, of the results of a group that have that: shares by octave."""
    run, parts = analysis.run, []
    for result in analysis.groups[group]:
        found = {name: octaves for name in analysis.variants
                 if (octaves := run.histogram(result, name))}
        ends = sorted({end for octaves in found.values() for end in octaves})
        if not ends:
            continue
        rows = []
        for name, octaves in found.items():
            total = sum(octaves.values()) or 1
            cells = "".join(
                f'<td class="n" style="--a:{(octaves.get(end, 0) / total) ** 0.25:.2f}" '
                f'title="{octaves.get(end, 0):,}">{_share(octaves.get(end, 0) / total)}</td>'
                for end in ends)
            rows.append(f'<tr><td class="{family_class(analysis, name)}">{esc(name)}</td>'
                        f"{cells}</tr>")
        head = "".join(f"<th>&lt; {quantity(end * 1e-9, 's')}</th>" for end in ends)
        parts.append(f"<p>{esc(run.results[result].get('label', result))}: how many of all took "
                     "less than this, and not less than the column before.</p>"
                     f'<div class="scroll"><table class="matrix histogram"><thead><tr><th></th>'
                     f'{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>')
    return "".join(parts)


def groups(analysis):
    """The forests and tables of all groups."""
    return '<h2 id="groups">Result by result</h2>' + key(analysis) + "".join(
        f"<section><h3>{esc(group)}</h3>{forests(analysis, group)}"
        f"{histograms(analysis, group)}{table(analysis, group)}</section>"
        for group in analysis.groups)


def skips(analysis):
    """What was left out, and what failed."""
    data, run = analysis.run.data, analysis.run
    parts = ['<h2 id="skips">Left out, and failed</h2>']
    left_out = [*(data.get("skips") or []), *(
        {"what": name, "why": "the time of --budget was up; bench/run --resume goes on with it"}
        for name in data.get("late") or [])]
    rows = "".join(f'<tr><td>{esc(skip.get("what"))}</td><td class="wrap">'
                   f'{esc(skip.get("why"))}</td></tr>' for skip in left_out)
    parts.append(f'<div class="scroll"><table><thead><tr><th>left out</th><th class="text">why'
                 f"</th></tr></thead><tbody>{rows}</tbody></table></div>" if rows else
                 "<p>Nothing was left out.</p>")
    rows = "".join(
        f'<tr><td>{esc(sample["workload"])}</td><td class="text">{esc(sample["variant"])}</td>'
        f'<td>{esc(sample["round"])}</td><td class="wrap">{esc(sample.get("error", "?"))}'
        f'{" (made again later)" if sample["repeated"] else ""}</td></tr>'
        for sample in run.failures)
    parts.append('<div class="scroll"><table><thead><tr><th>failed</th><th class="text">variant'
                 '</th><th>round</th><th class="text">why</th></tr></thead><tbody>'
                 f"{rows}</tbody></table></div>" if rows else "<p>No sample failed.</p>")
    return "".join(parts)


METHOD = f"""
<h2 id="method">How to read this</h2>
<p><b>Ratios</b> are of costs: below 1 is better, everywhere on this page. Rates are turned into
time per operation for it. Every round runs all variants in turn; the samples of two variants in
one round are a pair. A round in which one of the two failed is dropped.</p>
<p><b>The ratio</b> is the median of the pairs' ratios: what drifts on the machine is in both
samples of a pair and cancels, and one disturbed pair does not move a median. <b>The interval</b>
(95 %) is a smoothed bootstrap over pairs, {pairs.RESAMPLES:,} resamples with a fixed seed.
Simulated, it covers the truth in 94 % of the cases with 7 pairs and in 90 to 99 % with 3 to 11,
whatever the noise.
Fewer than {pairs.LEAST_PAIRS} pairs have no interval, and no verdict. <b>Better</b> and
<b>worse</b> mean that the interval excludes 1; no correction is made for looking at many results,
so a single small difference may be chance.</p>
<p><b>The geometric mean</b> counts every result once; rounds of one workload are resampled
together. It depends on what was chosen to be measured. Its interval is about 15 % wider than need
be.</p>
<p><b>glibc</b> is the C library's allocator on 4 KiB pages; <b>glibc64</b> is what a user has for
free with <code>glibc.malloc.hugetlb=1</code>. <b>{CONTROL}</b> is pg64 with its advice off: what
differs between it and pg64 is what the pages do; the rest is the allocator.</p>
<p><b>Memory</b> is PSS summed over all processes where it was taken, and else the peak RSS of the
largest process. <b>Faults</b> are minor faults. Tail latencies are percentiles within a
sample.</p>
"""
