# SPDX-License-Identifier: MIT
"""kernel-patch/lint: the series has no findings, and mistakes that are planted in patches of a
small file are found, each for itself. Single objects are compiled, no kernel. With `patches` as
argument, what takes longest: each patch of the series with W=1."""
import os
import re
import sys
import tempfile

from kernel import BUILD_S, PATCH, SERIES, Ran, case, check, main
from preload import CASES

LINT = os.path.join(PATCH, "lint")
WHO = "A Tester <tester@example.org>"
HEAD = f"""From: {WHO}
Subject: [PATCH] mm: {{name}}

This is planted by a test.

Signed-off-by: {WHO}
---
 mm/mmzone.c | 1 +

diff --git a/mm/mmzone.c b/mm/mmzone.c
--- a/mm/mmzone.c
+++ b/mm/mmzone.c
"""
# A comment changes no code.
COMMENT = """@@ -11,4 +11,5 @@
 #include <linux/mmzone.h>

+/* Nodes come in the order of their numbers. */
 struct pglist_data *first_online_pgdat(void)
 {
"""
# With W=1 only, the compiler has something to say, and no code changes.
WARNS = """@@ -13,4 +13,7 @@
 struct pglist_data *first_online_pgdat(void)
 {
+	int unused;
+
+	unused = 1;
 	return NODE_DATA(first_online_node);
 }
"""
# Does not build; the next patch mends it, so that the whole series would.
FAILS = """@@ -13,8 +13,5 @@
 struct pglist_data *first_online_pgdat(void)
 {
-	int unused;
-
-	unused = 1;
-	return NODE_DATA(first_online_node);
+	return NODE_DATA(first_online_nodes);
 }

"""
# Mends that, has a space at the end of a line, and changes what everybody runs.
CHANGES = """@@ -13,5 +13,5 @@
 struct pglist_data *first_online_pgdat(void)
 {
-	return NODE_DATA(first_online_nodes);
+	return NODE_DATA(first_online_node);
 }

@@ -20,5 +20,5 @@
 	int nid = next_online_node(pgdat->node_id);

-	if (nid == MAX_NUMNODES)
+	if (nid >= MAX_NUMNODES - 1)\x20
 		return NULL;
 	return NODE_DATA(nid);
"""


class Series:
    def __init__(self, **patches):
        self.holder = tempfile.TemporaryDirectory(prefix="pg64-lint-")
        self.folder = self.holder.name
        with open(os.path.join(SERIES, "BASE"), encoding="utf-8") as file:
            self.write("BASE", file.read())
        self.write("series", "".join(f"{name}.patch\n" for name in patches))
        for name, hunks in patches.items():
            # A context line that is empty has a space, which would be at an end here.
            hunks = hunks.replace("\n\n", "\n \n")
            self.write(f"{name}.patch", HEAD.format(name=name) + hunks)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def lint(self, *parts):
        return lint(*parts, series=self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.holder.cleanup()


def lint(*parts, series=SERIES):
    return Ran([LINT, "--series", series, *parts], BUILD_S)


def compiled(ran):
    """What it says before it compiles; a note about the source's version is no matter."""
    return re.findall("^lint: (?:patches|objects): .*", ran.err, flags=re.M)


def findings(ran):
    return [line for line in ran.out.splitlines() if line.startswith("FINDING ")]


@case
def mistakes_are_found():
    with Series(warns=WARNS, fails=FAILS, changes=CHANGES) as series:
        ran = series.lint().expect(1)
    found = findings(ran)
    wanted = (
        ("checkpatch: changes.patch: ERROR:TRAILING_WHITESPACE mm/mmzone.c:22:", ""),
        ("warns.patch: mm/mmzone.c:15:", "warning: variable"),
        ("fails.patch: mm/mmzone.c:", "first_online_nodes"),
        ("objects: functions differ with CONFIG_PAGESIZE_64K=n", ""),
    )
    for start, part in wanted:
        hits = [line for line in found if line.startswith("FINDING " + start)]
        check(any(part in line for line in hits), f"{start!r} is not found in: {ran.out}{ran.err}")
        found = [line for line in found if line not in hits]
    check(not found, f"found too: {found}")
    told = [line for line in ran.out.splitlines() if "NOT IN THE LIST" in line]
    names = {line.split(":")[0].strip() for line in told}
    check("next_online_pgdat" in names, ran.out)
    check(names <= {"next_online_pgdat", "next_zone"}, ran.out)  # the other one has it inlined


@case
def clean_and_kept():
    """No finding where there is none; the second time nothing is compiled."""
    with Series(comment=COMMENT) as series:
        first = series.lint().expect()
        check(first.out.endswith("\n0 findings\n"), first.out)
        for name in ("mm/mmzone.o", "mm/khugepaged.o"):
            check(re.search(rf"{name}: [1-9]\d* functions in both, 0 differ\n", first.out),
                  f"{name}: {first.out}")
        again = series.lint().expect()
        check(again.out == first.out, f"{first.out}{again.out}")
        check(not compiled(again), f"{again.took} s: {again.err}")


@case
def messages_let_through():
    """In the files that the list names only: elsewhere declarations end with a blank line."""
    crowded = WARNS.replace("+\n", "").replace("+13,7", "+13,6")
    with Series(crowded=crowded) as series:
        ran = series.lint("checkpatch").expect(1)
        check("WARNING:LINE_SPACING mm/mmzone.c:" in ran.out, ran.out)
        check(ran.out.endswith("\n1 findings\n"), ran.out)
        text = (HEAD.format(name="crowded") + crowded).replace("mm/mmzone.c", "mm/madvise.c")
        series.write("crowded.patch", text)
        check("FINDING" not in series.lint("checkpatch").expect().out, "not let through")


def each_patch():
    """The part of the_series() that is for `scripts/check --full`."""
    ran = lint("patches")
    check(ran.status == 0, f"{ran.took:.0f} s\n{ran.out}{ran.err}")
    return f"{ran.took:.0f} s"


@case
def the_series():
    ran = lint("checkpatch", "objects")
    check(ran.status == 0, f"{ran.took:.0f} s\n{ran.out}{ran.err}")
    unused = [line for line in ran.out.splitlines() if line.startswith("note: checkpatch")]
    check(not unused, f"{unused}: take it out of kernel-patch/lint")
    again = lint("checkpatch", "objects").expect()
    check(not compiled(again) and again.out == ran.out, f"not kept: {again.err}{again.out}")
    table = [line for line in again.out.splitlines() if line.startswith("| ")]
    check(len(table) > 4 and "(+" in "".join(table), f"no table of the cost: {again.out}")
    print(ran.out)
    return f"{ran.took:.0f} s, then {again.took:.0f} s"


@case
def wrong_usage():
    Ran([LINT, "nothing"], 60).expect(2, "usage: ")
    Ran([LINT, "--jobs", "0"], 60).expect(1, "--jobs 0")
    Ran([LINT, "--series", "/no/such"], 60).expect(1, "BASE does not exist")
    check("checkpatch" in Ran([LINT, "--help"], 60).expect().out, "no help")


if __name__ == "__main__":
    if sys.argv[1:] == ["patches"]:
        CASES[:] = [each_patch]
        del sys.argv[1]
    main()
