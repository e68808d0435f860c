# SPDX-License-Identifier: MIT
"""The drawings of the report, as SVG that needs nothing else, coloured by report.css.

A forest row is an SVG without a viewBox whose x are percentages: it takes the width that it is
given, and its dots stay round and its text legible on a telephone.
"""
import html
import math

import pairs

FAMILIES = ("glibc", "mimalloc", "jemalloc", "tcmalloc", "pg64")
# Steps of axes, from fine to coarse; the finest that is not crowded is taken. Even steps are for
# short axes: on a long one they would leave its left half without a number.
LINEAR = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)
CYCLES = ((1, 1.5, 2, 3, 4, 6, 8), (1, 2, 4, 7), (1, 2, 5), (1, 3), (1,))
# The mark tells the kernel's setting, the colour the family.
SHAPES = {"4k": "circle", "64k": "square", "64k-always": "square", "2m-always": "diamond",
          "64k-and-2m": "triangle"}


def esc(text):
    """Text for HTML, also inside of quotes."""
    return html.escape(str(text), quote=True)


def colour(family):
    """Class that sets the colour of a family."""
    return "f-" + (family if family in FAMILIES else "other")


def ratio_text(value):
    """Three significant digits, and at most three decimals."""
    if value is None:
        return "–"
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


class Axis:
    """A logarithmic axis over [low, high]; `room`: the least distance of ticks, as a share."""

    def __init__(self, low, high, room=0.12):
        self.low, self.high = low, high
        self.ticks = self._ticks(room)

    @staticmethod
    def around(values, margin=0.06, floor=0.004, ceiling=250, room=0.12):
        """An axis with all values on it and 1, and some room at both ends."""
        values = [min(max(value, floor), ceiling) for value in values] + [1.0]
        low, high = math.log(min(values)), math.log(max(values))
        span = max(high - low, 0.08)
        return Axis(math.exp(low - margin * span - 0.005), math.exp(high + margin * span + 0.005),
                    room)

    def share(self, value):
        """Where a value is, from 0 to 1; outside of that when it is not on the axis."""
        if value <= 0:
            return -1.0
        return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))

    def _candidates(self):
        for step in LINEAR if self.high < 3 * self.low else ():
            if (self.high - self.low) / step < 40:
                first = math.ceil(self.low / step - 1e-9)
                yield [round(k * step, 4) for k in range(first, int(self.high / step) + 1) if k]
        for cycle in CYCLES:
            yield sorted(digit * 10.0 ** power for power in range(-4, 5) for digit in cycle
                         if self.low <= digit * 10.0 ** power <= self.high)

    def _ticks(self, room):
        for ticks in self._candidates():
            if 1.0 not in ticks:
                continue
            places = [self.share(tick) for tick in ticks]
            if all(b - a >= room for a, b in zip(places, places[1:])) and len(ticks) > 1:
                return ticks
        return [1.0]


def tick_text(value):
    return f"{value:g}"


def percent(share):
    return f"{100 * share:.2f}%"


def _grid(axis):
    return "".join(
        f'<line class="{"one" if tick == 1 else "grid"}" x1="{x}" x2="{x}" y1="0" y2="100%"/>'
        for tick in axis.ticks for x in [percent(axis.share(tick))])


def forest_scale(axis, sides=True):
    """Numbers of a forest's axis; with `sides`, which side is which above them."""
    height = 34 if sides else 16
    parts = [f'<text x="{percent(axis.share(tick))}" y="{height - 5}" text-anchor="middle">'
             f"{tick_text(tick)}</text>" for tick in axis.ticks]
    one = axis.share(1)
    if sides and one > 0.2:
        parts.append(f'<text class="side" x="{percent(one - 0.015)}" y="12" text-anchor="end">'
                     "← better</text>")
    if sides and one < 0.8:
        parts.append(f'<text class="side" x="{percent(one + 0.015)}" y="12">worse →</text>')
    return f'<svg class="plot scale" width="100%" height="{height}" aria-hidden="true">' \
           f'{"".join(parts)}</svg>'


def dot_kind(estimate):
    """"full": the interval excludes 1; "hollow": it holds 1; "bare": there is none."""
    return {"same": "hollow", "none": "bare"}.get(estimate.verdict, "full")


def forest_mark(axis, estimate, family):
    """One row's drawing: a line for the interval and a dot, hollow if the interval holds 1."""
    parts = [_grid(axis)]
    if estimate is not None and estimate.ratio is not None:
        if estimate.low is not None:
            ends = [min(max(axis.share(end), 0.0), 1.0) for end in (estimate.low, estimate.high)]
            parts.append(f'<line class="interval" x1="{percent(ends[0])}" '
                         f'x2="{percent(ends[1])}" y1="50%" y2="50%"/>')
        place = axis.share(estimate.ratio)
        if 0 <= place <= 1:
            parts.append(f'<circle class="dot {dot_kind(estimate)}" cx="{percent(place)}" '
                         'cy="50%" r="4.5"/>')
        else:
            parts.append(f'<text class="off" x="{percent(min(max(place, 0.01), 0.99))}" y="70%" '
                         f'text-anchor="middle">{"◂" if place < 0 else "▸"}</text>')
    return f'<svg class="plot {colour(family)}" width="100%" height="20" aria-hidden="true">' \
           f'{"".join(parts)}</svg>'


def estimate_text(estimate):
    """Ratio and interval as HTML, with the verdict as a word where it is one."""
    if estimate is None or estimate.ratio is None:
        return f'<span class="num none">– <small>{esc(estimate.why if estimate else "")}</small>' \
               "</span>"
    if estimate.low is None:
        return f'<span class="num none" title="{esc(estimate.why)}"><b>' \
               f"{ratio_text(estimate.ratio)}</b> <small>no interval</small></span>"
    return f'<span class="num {estimate.verdict}"><b>{ratio_text(estimate.ratio)}</b> ' \
           f"<small>{ratio_text(estimate.low)}–{ratio_text(estimate.high)}</small></span>"


def mark(shape, x, y, size=5.5):
    """A point of the plane."""
    if shape == "square":
        return f'<rect class="mark" x="{x - size + 0.5:.1f}" y="{y - size + 0.5:.1f}" ' \
               f'width="{2 * size - 1:.1f}" height="{2 * size - 1:.1f}"/>'
    if shape in ("diamond", "triangle"):
        corners = [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)] if shape == "diamond" else \
            [(0, -1.25), (1.2, 0.95), (-1.2, 0.95)]
        points = " ".join(f"{x + a * size:.1f},{y + b * size:.1f}" for a, b in corners)
        return f'<polygon class="mark" points="{points}"/>'
    return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>'


def _overlap(one, other):
    """Area that two boxes (x1, y1, x2, y2) share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)


def place_labels(points, area, width_of, lines=(), height=13.0):
    """{name: (x, y of the text's start, far)} near points {name: (x, y)}, greedily.

    Each label takes the free place that is nearest; the points in the thickest crowd choose
    first. `far` tells that a line should lead to it. `area`: the box that labels stay in;
    `lines`: boxes that a label should rather not lie on.
    """
    crowd = {name: sum(1 / (1 + math.dist(spot, other)) for other in points.values())
             for name, spot in points.items()}
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in points.values()]
    placed = {}
    for name in sorted(points, key=lambda key: -crowd[key]):
        x, y = points[name]
        width, best = width_of(name), None
        for step in range(7):
            away = 9 + 11 * step
            for dx, dy in ((1, 0), (-1, 0), (0.7, -0.8), (0.7, 0.8), (-0.7, -0.8), (-0.7, 0.8),
                           (0, -1), (0, 1)):
                left = x + dx * away - (0 if dx > 0 else width if dx < 0 else width / 2)
                top = y + dy * away - height / 2
                box = (left, top, left + width, top + height)
                outside = max(area[0] - box[0], box[2] - area[2], area[1] - box[1],
                              box[3] - area[3], 0)
                cost = sum(_overlap(box, other) for other in taken) + 60 * outside + 5 * away
                cost += 3 * sum(_overlap(box, line) for line in lines)
                if best is None or cost < best[0]:
                    best = cost, box, step > 0
        taken.append(best[1])
        placed[name] = (best[1][0], best[1][1] + height - 3, best[2])
    return placed


def staircase(front, top, right):
    """Corners of the line along the Pareto front through points (pixels), to both edges."""
    steps = sorted(front)
    corners = [(steps[0][0], top), steps[0]]
    for x, y in steps[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return corners + [(right, corners[-1][1])]


def line_boxes(corners, half=2.0):
    """Boxes around the pieces of a line of horizontal and vertical pieces."""
    return [(min(a, c) - half, min(b, d) - half, max(a, c) + half, max(b, d) + half)
            for (a, b), (c, d) in zip(corners, corners[1:])]


def plane(points, variants, title):
    """Memory against time: {variant: (time, memory)}; `variants`: {name: (family, setting)}."""
    width, height = 440, 400
    area = (52.0, 12.0, width - 12.0, height - 44.0)
    across = Axis.around([x for x, _ in points.values()], 0.1)
    up = Axis.around([y for _, y in points.values()], 0.1)

    def spot(x, y):
        return (area[0] + across.share(x) * (area[2] - area[0]),
                area[3] - up.share(y) * (area[3] - area[1]))
    spots = {name: spot(*point) for name, point in points.items()}
    front = pairs.pareto(points)
    parts = [f'<svg class="plane" viewBox="0 0 {width} {height}" role="img" '
             f'aria-label="{esc(title)}">']
    for tick in across.ticks:
        x = spot(tick, 1)[0]
        parts.append(f'<line class="{"one" if tick == 1 else "grid"}" x1="{x:.1f}" x2="{x:.1f}" '
                     f'y1="{area[1]}" y2="{area[3]}"/><text class="tick" x="{x:.1f}" '
                     f'y="{area[3] + 15}" text-anchor="middle">{tick_text(tick)}</text>')
    for tick in up.ticks:
        y = spot(1, tick)[1]
        parts.append(f'<line class="{"one" if tick == 1 else "grid"}" x1="{area[0]}" '
                     f'x2="{area[2]}" y1="{y:.1f}" y2="{y:.1f}"/><text class="tick" '
                     f'x="{area[0] - 6}" y="{y + 4:.1f}" text-anchor="end">{tick_text(tick)}'
                     "</text>")
    parts.append(f'<text class="axis" x="{area[2]}" y="{height - 8}" text-anchor="end">← less '
                 f'time, ratio to glibc</text><text class="axis" transform="translate(13 '
                 f'{area[3]}) rotate(-90)">← less memory, ratio to glibc</text>')
    corners = staircase([spots[name] for name in front], area[1], area[2])
    parts.append('<polyline class="front" points="'
                 + " ".join(f"{x:.1f},{y:.1f}" for x, y in corners) + '"/>')
    ones = [(spot(1, 1)[0], area[1]), spot(1, 1), (area[0], spot(1, 1)[1])]
    labels = place_labels(spots, area, lambda name: 6.6 * len(name) + 3,
                          line_boxes(corners) + line_boxes(ones, 1.0))
    for name, (x, y) in spots.items():
        family, setting = variants[name]
        text_x, text_y, far = labels[name]
        if far:
            end = min(max(x, text_x), text_x + 6.6 * len(name))
            parts.append(f'<line class="lead" x1="{x:.1f}" y1="{y:.1f}" x2="{end:.1f}" '
                         f'y2="{text_y - 4:.1f}"/>')
        parts.append(f'<g class="{colour(family)}{" best" if name in front else ""}">'
                     f"<title>{esc(name)}: time {ratio_text(points[name][0])}, memory "
                     f"{ratio_text(points[name][1])}</title>"
                     f'{mark(SHAPES.get(setting, "circle"), x, y)}'
                     f'<text class="label" x="{text_x:.1f}" y="{text_y:.1f}">{esc(name)}</text>'
                     "</g>")
    return "".join(parts) + "</svg>"
