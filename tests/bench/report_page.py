#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/report on made-up results: what the page says, and that a browser shows it.

usage: report_page.py content|browser [unittest words]
`browser` opens the page in headless Chromium and is a skip without one.
"""
import html.parser
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import report_case

report_case.need(("numpy", "matplotlib"))

import numpy  # noqa: E402
from matplotlib import image  # noqa: E402

import charts  # noqa: E402
import pg64test  # noqa: E402
import report  # noqa: E402
import report_synthetic as synthetic  # noqa: E402
from analysis import Analysis  # noqa: E402
from results import Run  # noqa: E402

NASTY = "<script>alert('x')</script> & \"größer\" ≤ 64 KiB"
RESAMPLES = 300
TIMEOUT_S = 50
VOID = {"meta", "link", "br", "line", "circle", "rect", "polygon", "polyline", "path"}


class Outline(html.parser.HTMLParser):
    """Counts elements, checks that they are closed, and collects what would be loaded."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.count, self.loaded, self.ids, self.words = [], {}, [], set(), []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        self.loaded += [attrs[name] for name in ("src", "href", "srcset", "data", "xlink:href")
                        if name in attrs and tag != "a"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.words.append(data)


def page(data):
    return report.page(Analysis(Run(data), RESAMPLES))


def quick(**options):
    return synthetic.make(**{"variants": synthetic.QUICK, **options})


def crowd():
    """15 variants × 40 results."""
    groups = {f"group {number}": [(f"w{number}-{place}", [
        (f"r{number}-{place}", f"result {place}", "rate" if place % 4 == 0 else "wall_s")])
        for place in range(8)] for number in range(5)}
    return synthetic.make(rounds=7, workloads=groups)


class Content(unittest.TestCase):
    def outline(self, text):
        found = Outline(text)
        self.assertEqual(found.open, [])
        for address in found.loaded:
            self.assertTrue(address.startswith("data:"), address)
        loads = re.search(r"(?i)url\(\s*['\"]?(?!data:)|@import|\b(fetch|XMLHttp|import)\(", text)
        self.assertIsNone(loads)
        for part in ("groups", "skips", "method", "settings"):
            self.assertIn(part, found.ids)
        return found

    def test_full(self):
        data = synthetic.make()
        text = page(synthetic.fail(data, "gcc", "pg64", 3, "cc1 said <no>"))
        found = self.outline(text)
        for part in ("summary", "losses", "plane", "all"):
            self.assertIn(part, found.ids)
        words = "".join(found.words)
        for piece in ("Example CPU 9000", "6.18.0", "0123abc", "bench/run --full", "cc1 said <no>",
                      "this kernel does not have pg64's patch series", "1 sample failed",
                      "Pareto", "2026-01-02T03:04:05Z", "6 to 7 of 7 rounds good",
                      "misses are not counted: no counters here",
                      "a fault of one base page takes 0.61 µs, a system call 0.095 µs"):
            self.assertIn(piece, words)
        self.assertEqual(text.count('<div data-for="glibc64"'), text.count('<div data-for="glibc"'))

    def test_histograms(self):
        data = quick()
        result, octaves = next(iter(data["results"])), {"512": 900, "1024": 99, "65536": 1}
        for sample in data["samples"]:
            if result in sample.get("results", {}):
                sample["histograms"] = {result: octaves}
        text = page(data)
        self.outline(text)
        (found,) = re.findall(r'<table class="matrix histogram">.*?</table>', text)
        self.assertEqual(re.findall(r"<th>&lt; ([^<]*)", found), ["512 ns", "1.02 µs", "65.5 µs"])
        (row,) = re.findall(r"<td[^>]*>pg64</td>(.*?)</tr>", found)
        self.assertEqual(re.findall(r'title="([\d,]+)">([^<]*)', row), [
            (f"{7 * count:,}", share) for count, share in ((900, "90 %"), (99, "9.9 %"),
                                                           (1, "0.1 %"))])

    def test_losses_are_named(self):
        """Planted: slower in one result, and that is said in the list of losses."""
        data = quick(noise=0.01, slower={("git", "pg64"): 5.0})
        text = page(data)
        lost = text.split("Where it loses</h4>")[1].split("</ul>")[0]
        self.assertIn("git rev-list", lost)
        for sample in data["samples"]:  # and that it holds more after a fork
            for figures in sample.get("results", {}).values():
                figures["held_bytes"] = (3 if sample["variant"] == "pg64" else 2) << 30
        lost_held = page(data).split("Where it loses</h4>")[1].split("</ul>")[0]
        self.assertIn("<small>held</small> <b>1.50</b>", lost_held)
        won = text.split("Where it wins</h4>")[1].split("</ul>")[0]
        self.assertNotRegex(won, r"git rev-list <small>[^<]*</small></span><span><span "
                                 r'class="tag"><small>time')
        analysis = Analysis(Run(data), RESAMPLES)
        self.assertIn("git", analysis.verdicts("glibc", "pg64")["worse"])
        self.assertIn("sort", analysis.verdicts("glibc", "pg64")["better"])

    def test_rates_count_as_costs(self):
        analysis = Analysis(Run(quick(noise=0.01, slower={("redis-get", "pg64"): 2.0})), RESAMPLES)
        self.assertGreater(analysis.estimate("time", "glibc", "redis-get", "pg64").ratio, 1)

    def test_escaped(self):
        data = quick()
        data["results"]["sort"]["label"] = data["results"]["sort"]["group"] = NASTY
        data["variants"]["pg64"]["label"] = data["variants"]["mimalloc"]["family"] = NASTY
        data["variants"][NASTY] = data["variants"].pop("mimalloc")
        for sample in data["samples"]:
            if sample["variant"] == "mimalloc":
                sample["variant"] = NASTY
        data["skips"] = [{"what": NASTY, "why": NASTY}]
        data["command"] = ["bench/run", NASTY]
        data["machine"]["cpu"] = data["versions"]["pg64"] = NASTY
        data["figures"]["wall_s"]["label"] = NASTY
        synthetic.fail(data, "sort", "pg64", 1, NASTY)
        text = page(data)
        found = self.outline(text)
        self.assertEqual(found.count["script"], 1)
        self.assertEqual((text.count("<script>alert"), "größer" in text), (0, True))
        self.assertIn(NASTY, "".join(found.words))

    def test_one_round(self):
        words = "".join(self.outline(page(quick(rounds=1))).words)
        self.assertIn("Only 1 round: no intervals", words)
        self.assertIn("It cannot be told", words)
        self.assertNotIn("1.000–", words)
        analysis = Analysis(Run(quick(rounds=1)), RESAMPLES)
        found = analysis.verdicts("glibc", "pg64")
        self.assertEqual([len(found[name]) for name in ("better", "worse", "same")], [0, 0, 0])

    def test_no_baseline(self):
        for gone, left in (("glibc", "glibc64"), ("glibc64", "glibc")):
            data = quick()
            data["samples"] = [sample for sample in data["samples"] if sample["variant"] != gone]
            text = page(data)
            self.assertIn(f"{gone} was not measured", "".join(self.outline(text).words))
            self.assertEqual(text.count(f'<div data-for="{gone}"'), 0)
            self.assertGreater(text.count(f'<div data-for="{left}"'), 3)
        data["samples"] = [sample for sample in data["samples"] if sample["variant"] == "pg64"]
        self.outline(page(data))
        data["samples"] = []
        self.assertIn("no good sample", "".join(self.outline(page(data)).words))

    def test_unfinished(self):
        data = quick()
        data["ended"], data["samples"] = None, data["samples"][:130]
        words = "".join(self.outline(page(data)).words)
        self.assertIn("not finished", words)
        data["late"] = ["sort"]
        self.assertIn("the time of --budget was up", "".join(self.outline(page(data)).words))
        data["machine"]["hypervisor"] = "none"
        words = "".join(self.outline(page(data)).words)
        self.assertNotIn("virtual machine", words)
        self.assertNotIn("DAMON", words)
        data["machine"]["damon"] = "paddr: 10 to 1000 regions, a sample of each in 5000 us"
        self.assertIn("DAMON watches paddr: 10", "".join(self.outline(page(data)).words))

    def test_repeated_sample(self):
        """A failed sample that was made again counts as good, and is still told."""
        data = quick()
        data["samples"].insert(0, {"workload": "sort", "variant": "pg64", "round": 1, "at_s": 0,
                                   "error": "first time"})
        words = "".join(self.outline(page(data)).words)
        self.assertIn("first time (made again later)", words)
        self.assertNotIn("sample failed: left out", words)


class Drawing(unittest.TestCase):
    def test_axis(self):
        for low, high in ((0.9, 1.1), (0.05, 1.2), (0.5, 40), (0.999, 1.001), (1e-5, 1e4)):
            axis = charts.Axis.around([low, high])
            self.assertIn(1, axis.ticks)
            self.assertTrue(0 < axis.share(1) < 1)
            self.assertTrue(2 <= len(axis.ticks) <= 9, (low, high, axis.ticks))

    def test_labels_keep_apart(self):
        spots = {f"name-{number}": (100 + number % 4 * 9, 100 + number // 4 * 9)
                 for number in range(12)}
        placed = charts.place_labels(spots, (0, 0, 400, 400), lambda name: 45)
        boxes = [(x, y - 10, x + 45, y + 3) for x, y, _ in placed.values()]
        hidden = sum(charts._overlap(one, other) > 30 for place, one in enumerate(boxes)
                     for other in boxes[:place])
        self.assertLessEqual(hidden, 2)

    def test_ratio_text(self):
        self.assertEqual([charts.ratio_text(value) for value in (0.0663, 0.5, 12.34, 1234, None)],
                         ["0.066", "0.50", "12.3", "1,234", "–"])


class Program(unittest.TestCase):
    def test_written(self):
        with tempfile.TemporaryDirectory() as folder:
            report_case.save(quick(rounds=3), folder)
            out = os.path.join(folder, "out")
            said = report_case.program("report", folder, "--out", out)
            self.assertEqual(said.returncode, 0, said.stderr)
            self.assertEqual(sorted(os.listdir(out)),
                             ["faults.png", "pareto.png", "report.html", "wall-ratio.png"])
            for name in ("faults", "pareto", "wall-ratio"):
                picture = image.imread(os.path.join(out, name + ".png"))
                self.assertEqual(picture.shape[1], 1600)
                self.assertTrue(800 <= picture.shape[0] <= 4000, picture.shape)
                self.assertGreater(colours(picture), 50)

    def test_broken(self):
        with tempfile.TemporaryDirectory() as folder:
            said = report_case.program("report", folder)
            self.assertEqual(said.returncode, 2)
            self.assertIn("result.json", said.stderr)
            self.assertNotIn("Traceback", said.stderr)


def colours(picture):
    """How many different colours a decoded PNG has."""
    return len(numpy.unique((picture[::2, ::2, :3] * 255).astype(numpy.uint8).reshape(-1, 3),
                            axis=0))


def chromium():
    return next((path for path in map(shutil.which, ("chromium", "chromium-browser",
                                                     "google-chrome")) if path), None)


class Browser(unittest.TestCase):
    """Opened in Chromium, with a profile of its own and no way to the network."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="pg64-report-")
        cls.page = os.path.join(cls.folder, "report.html")
        started = time.monotonic()
        with open(cls.page, "w", encoding="utf-8") as file:
            file.write(page(crowd()))
        print(f"15 variants, 40 results: {time.monotonic() - started:.1f} s, "
              f"{os.path.getsize(cls.page) >> 10} KiB")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def chromium(self, *words, page_path=None):
        profile = tempfile.mkdtemp(dir=self.folder)
        environment = {**pg64test.clean_environment(), "HOME": profile}
        said = subprocess.run(
            [chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-sync",
             "--disable-background-networking", "--disable-component-update", "--no-first-run",
             "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}",
             "--enable-logging=stderr", "--v=0", "--hide-scrollbars",
             "--virtual-time-budget=4000", *words, "file://" + (page_path or self.page)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, timeout=TIMEOUT_S,
            check=False)
        complaints = [line for line in said.stderr.decode("utf-8", "replace").splitlines()
                      if "CONSOLE" in line]
        self.assertEqual(said.returncode, 0, said.stderr[-2000:])
        self.assertEqual(complaints, [])
        return said.stdout.decode("utf-8", "replace")

    def test_script_ran(self):
        dom = self.chromium("--dump-dom")
        root = re.search(r"<html[^>]*>", dom).group(0)
        self.assertIn('data-ready="yes"', root)
        self.assertIn('data-base="glibc"', root)
        self.assertNotIn("data-error", root)
        self.assertIn("40 results</title>", dom)
        self.assertEqual(len(re.findall(r'<button [^>]*aria-pressed="true"', dom)), 1)
        self.assertGreaterEqual(dom.count('class="plane"'), 6)
        # Each result with 14 variants against each of two baselines, and the summary.
        self.assertEqual(dom.count('class="row title"'), 40 * 2)
        self.assertGreaterEqual(len(re.findall(r'<svg class="plot f-', dom)), 40 * 14 * 2)

    def test_buttons(self):
        """Another baseline, and a table sorted by numbers, downwards at the second click."""
        with open(self.page, encoding="utf-8") as file:
            text = file.read()
        clicks = """<script>addEventListener("load", () => {
            document.querySelector(".controls button[data-base=glibc64]").click();
            const head = document.querySelectorAll("table:not(.matrix) th[data-sort=number]")[1];
            head.click(); head.click();
            const cells = head.closest("table").tBodies[0].rows;
            document.title = Array.from(cells, row => row.cells[3].dataset.value).join(" ");
        });</script>"""
        path = os.path.join(self.folder, "clicks.html")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("</body>", clicks + "</body>"))
        dom = self.chromium("--dump-dom", page_path=path)
        self.assertIn('data-base="glibc64"', re.search(r"<html[^>]*>", dom).group(0))
        self.assertEqual(dom.count('aria-sort="descending">'), 1)
        order = [float(word) for word in re.search("<title>(.*)</title>", dom).group(1).split()]
        self.assertEqual((len(order), order), (8 * 15, sorted(order, reverse=True)))

    def shot(self, *words, width=1200, height=1600):
        path = os.path.join(self.folder, "shot.png")
        self.chromium(f"--window-size={width},{height}", f"--screenshot={path}", *words)
        return image.imread(path)[:, :, :3]

    def test_not_blank(self):
        light = self.shot()
        self.assertEqual(light.shape[:2], (1600, 1200))
        self.assertGreater(colours(light), 200)
        self.assertGreater(light[-1, 0].mean(), 0.9)
        inked = (abs(light - light[-1, 0]).max(axis=2) > 0.2).mean()
        self.assertTrue(0.01 < inked < 0.6, inked)

    def test_dark(self):
        dark = self.shot("--blink-settings=preferredColorScheme=0")
        self.assertLess(dark[-1, 0].mean(), 0.2)
        self.assertGreater(colours(dark), 200)


if __name__ == "__main__":
    wanted = {"content": (Content, Drawing, Program), "browser": (Browser,)}
    if len(sys.argv) < 2 or sys.argv[1] not in wanted:
        sys.exit(__doc__)
    if sys.argv[1] == "browser" and not chromium():
        pg64test.skip("no chromium: scripts/setup bench")
    cases = [unittest.defaultTestLoader.loadTestsFromTestCase(case) for case in wanted[sys.argv[1]]]
    result = unittest.TextTestRunner(verbosity=1).run(unittest.TestSuite(cases))
    sys.exit(0 if result.wasSuccessful() else 1)
