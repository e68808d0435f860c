# SPDX-License-Identifier: MIT
"""Pictures for a README: ratios of time, ratios of faults, and memory against time.

800 points of width at twice the density, on white, so that they are legible in a page that is
light or dark. They show the variants that most people know; the report shows all.
"""
import os

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.ticker import NullFormatter, NullLocator  # noqa: E402

import charts  # noqa: E402
import pairs  # noqa: E402

WIDTH_INCHES, DPI = 8.0, 200
COLOURS = {"glibc": "#59626d", "mimalloc": "#b45f06", "jemalloc": "#00795c",
           "tcmalloc": "#a8437f", "pg64": "#0b5fb4"}
OTHER = "#7a6a00"
MARKS = {"circle": "o", "square": "s", "diamond": "D", "triangle": "^"}
SHOWN = ("glibc64", "mimalloc", "jemalloc", "tcmalloc", "pg64")
SOFT, GRID = "#5c646e", "#e6e6e1"
STYLE = {"font.family": "DejaVu Sans", "font.size": 8.5, "axes.edgecolor": "#c9c9c3",
         "axes.linewidth": 0.8, "text.color": "#1d2126", "axes.labelcolor": SOFT,
         "xtick.color": SOFT, "ytick.color": "#1d2126", "svg.hashsalt": "pg64",
         "text.usetex": False, "text.parse_math": False}


def _colour(analysis, variant):
    return COLOURS.get(analysis.run.family(variant), OTHER)


def _log_axis(axis, scale, which="x"):
    """A logarithmic axis with the ticks of the report."""
    (axis.set_xscale if which == "x" else axis.set_yscale)("log")
    (axis.set_xlim if which == "x" else axis.set_ylim)(scale.low, scale.high)
    line = axis.xaxis if which == "x" else axis.yaxis
    line.set_minor_locator(NullLocator())
    line.set_minor_formatter(NullFormatter())
    line.set_ticks(scale.ticks)
    line.set_ticklabels([charts.tick_text(tick) for tick in scale.ticks])
    line.grid(True, color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    (axis.axvline if which == "x" else axis.axhline)(1, color="#8b929b", linewidth=1, zorder=1)


def _short(text, limit=34):
    return text if len(text) <= limit else text[:limit - 1] + "…"


def _rows(analysis, metric):
    """[(y, result or None, text)]: headings of groups and results, from the top."""
    rows, place = [], 0.0
    for group, members in analysis.groups.items():
        members = [result for result in members if analysis.figure(metric, result)]
        if not members:
            continue
        rows.append((place, None, group))
        for result in members:
            place += 1
            rows.append((place, result, analysis.run.results[result].get("label", result)))
        place += 1.25
    return rows


def ratios(analysis, metric, title, path):
    """A row for each result, a dot for each variant of SHOWN, on a logarithmic axis."""
    rows = _rows(analysis, metric)
    shown = [name for name in SHOWN if name in analysis.variants]
    every = {(result, name): analysis.estimate(metric, "glibc", result, name)
             for _, result, _ in rows if result for name in shown}
    every = {place: estimate for place, estimate in every.items() if estimate and estimate.ratio}
    bottom = max([row[0] for row in rows] or [1]) + 0.8
    height = 1.25 + 0.25 * bottom
    figure, axis = pyplot.subplots(figsize=(WIDTH_INCHES, height))
    figure.subplots_adjust(left=0.3, right=0.975, top=1 - 0.78 / height, bottom=0.42 / height)
    scale = charts.Axis.around([value for estimate in every.values() for value in
                                (estimate.ratio, estimate.low or 1, estimate.high or 1)],
                               0.03, room=0.09)
    _log_axis(axis, scale)
    for place, result, text in rows:
        if result is None:
            axis.text(-0.01, place, _short(text), transform=axis.get_yaxis_transform(),
                      ha="right", va="center", fontweight="bold", fontsize=8.5)
            continue
        axis.text(-0.01, place, _short(text), transform=axis.get_yaxis_transform(), ha="right",
                  va="center")
        axis.axhspan(place - 0.44, place + 0.44, color="#f6f6f2", zorder=0)
        for number, name in enumerate(shown):
            estimate = every.get((result, name))
            if estimate is None:
                continue
            y = place + 0.16 * (number - (len(shown) - 1) / 2)
            tint, ours = _colour(analysis, name), name == "pg64"
            if estimate.low is not None:
                axis.plot([estimate.low, estimate.high], [y, y], color=tint, linewidth=1.5,
                          solid_capstyle="round", zorder=3)
            axis.plot([estimate.ratio], [y], marker="o", markersize=5 if ours else 3.6, color=tint,
                      markerfacecolor=tint if charts.dot_kind(estimate) == "full" else "white",
                      markeredgewidth=1.1, zorder=4)
    axis.set_ylim(bottom, -0.9)
    axis.yaxis.set_ticks([])
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    _head(figure, analysis, title, shown, height)
    _save(figure, path)


def _head(figure, analysis, title, shown, height):
    """Title and direct labels in the colours of what they name."""
    figure.text(0.012, 1 - 0.2 / height, title, fontsize=11, fontweight="bold", va="center")
    place = 0.012
    for name in shown:
        text = figure.text(place, 1 - 0.44 / height, f"● {name}", fontsize=9, va="center",
                           color=_colour(analysis, name),
                           fontweight="bold" if name == "pg64" else "normal")
        box = text.get_window_extent(figure.canvas.get_renderer())
        place += box.width / figure.bbox.width + 0.018
    figure.text(0.988, 1 - 0.44 / height, "better  ←  1  →  worse;  hollow: not told apart",
                fontsize=8, color=SOFT, ha="right", va="center", style="italic")


def _save(figure, path):
    figure.savefig(path, dpi=DPI, facecolor="white", metadata={"Software": None})
    pyplot.close(figure)


def pareto(analysis, path):
    """All variants by the geometric means of time and memory, with the front."""
    points, count = analysis.plane()
    height = 5.2
    figure, axis = pyplot.subplots(figsize=(WIDTH_INCHES, height))
    figure.subplots_adjust(left=0.085, right=0.975, top=1 - 0.62 / height, bottom=0.5 / height)
    across = charts.Axis.around([x for x, _ in points.values()], 0.08, room=0.06)
    up = charts.Axis.around([y for _, y in points.values()], 0.1, room=0.07)
    _log_axis(axis, across)
    _log_axis(axis, up, "y")
    figure.canvas.draw()
    area = axis.get_window_extent()
    to_pixels = axis.transData.transform
    scale = 72 / figure.dpi
    spots = {name: tuple(value * scale for value in to_pixels(point))
             for name, point in points.items()}
    box = (area.x0 * scale, area.y0 * scale, area.x1 * scale, area.y1 * scale)
    front = pairs.pareto(points)
    line = charts.staircase([points[name] for name in front], up.high, across.high)
    axis.plot(*zip(*line), color="#1d2126", linewidth=1, linestyle=(0, (5, 3)), alpha=0.6,
              zorder=2)
    lines = [[tuple(value * scale for value in to_pixels(corner)) for corner in corners]
             for corners in (line, [(1, up.low), (1, up.high)], [(across.low, 1),
                                                                 (across.high, 1)])]
    labels = charts.place_labels(spots, box, lambda name: 5.6 * len(name) + 2,
                                 [piece for corners in lines
                                  for piece in charts.line_boxes(corners)], 11)
    back = axis.transData.inverted().transform
    for name, point in points.items():
        tint, best = _colour(analysis, name), name in front
        setting = analysis.run.variants[name].get("setting")
        axis.plot(*point, marker=MARKS[charts.SHAPES.get(setting, "circle")], markersize=7.5,
                  color=tint, markerfacecolor=tint if best else tint + "44", zorder=4)
        x, y, far = labels[name]
        left, base = back((x / scale, (y - 8) / scale))
        axis.text(left, base, name, color=tint, fontsize=8.8, va="bottom", zorder=5,
                  fontweight="bold" if best else "normal")
        if far:
            end = back(((min(max(spots[name][0], x), x + 5.6 * len(name))) / scale,
                        (y - 3) / scale))
            axis.plot([point[0], end[0]], [point[1], end[1]], color=SOFT, linewidth=0.6, zorder=3)
    axis.set_xlabel("time, ratio to glibc on 4 KiB pages   (left: less)")
    axis.set_ylabel("memory, ratio to glibc   (down: less)")
    figure.text(0.012, 1 - 0.2 / height, "Memory against time", fontsize=11, fontweight="bold",
                va="center")
    several = "" if count == 1 else "s"
    figure.text(0.012, 1 - 0.43 / height,
                f"geometric mean of {count} result{several}; dashed: the Pareto "
                "front; ○ 4 KiB pages  □ 64 KiB  ◇ 2 MiB  △ both", fontsize=8.5, color=SOFT,
                va="center")
    _save(figure, path)


def write(analysis, folder):
    """Write the pictures that the run has the numbers for; their paths."""
    if "glibc" not in analysis.bases:
        return []
    paths = {name: os.path.join(folder, name + ".png")
             for name in ("wall-ratio", "faults", "pareto")}
    done = []
    with pyplot.rc_context(STYLE):
        for name, metric, title in (
                ("wall-ratio", "time", "Time, as a ratio to glibc on 4 KiB pages"),
                ("faults", "faults", "Minor faults, as a ratio to glibc on 4 KiB pages")):
            if metric in analysis.metrics():
                ratios(analysis, metric, title, paths[name])
                done.append(paths[name])
        if len(analysis.plane()[0]) > 1:
            pareto(analysis, paths["pareto"])
            done.append(paths["pareto"])
    return done
