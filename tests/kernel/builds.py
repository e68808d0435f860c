# SPDX-License-Identifier: MIT
"""kernel-patch/build: what it keeps, and how it stops at bad input. The stock kernel is built once;
everything else here stops before a compiler is started."""
import os
import re
import subprocess
import tempfile

from kernel import BUILD, SERIES, Ran, build, case, check, image, main

NEW_FILE = """diff --git a/mm/pg64_new.h b/mm/pg64_new.h
new file mode 100644
--- /dev/null
+++ b/mm/pg64_new.h
@@ -0,0 +1,3 @@
+one
+two
+three
"""
# The second hunk cannot be found in the file that the first patch makes.
BAD_HUNK = """--- a/mm/pg64_new.h
+++ b/mm/pg64_new.h
@@ -1,1 +1,1 @@
-one
+ONE
@@ -3,1 +3,1 @@
-drei
+THREE
"""
# Would apply with fuzz only: one line of context is another.
FUZZY = """--- a/mm/pg64_new.h
+++ b/mm/pg64_new.h
@@ -1,3 +1,3 @@
-one
+ONE
 two
 other
"""


class Series:
    """A folder with a BASE, a series and patches of our own."""

    def __init__(self, base=None, **patches):
        self.holder = tempfile.TemporaryDirectory(prefix="pg64-series-")
        self.folder = self.holder.name
        if base is None:
            with open(os.path.join(SERIES, "BASE"), encoding="utf-8") as file:
                base = file.read()
        self.write("BASE", base)
        self.write("series", "".join(f"{name}.patch\n" for name in patches))
        for name, text in patches.items():
            self.write(f"{name}.patch", text)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def remove(self, name):
        os.unlink(os.path.join(self.folder, name))

    def build(self, *options, **more):
        return build(*options, series=self.folder, timeout=600, **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.holder.cleanup()


def leftovers(env=None):
    """Temporary folders of builds in the cache."""
    env = env or os.environ
    cache = env.get("XDG_CACHE_HOME") or os.path.join(env["HOME"], ".cache")
    folder = os.path.join(cache, "pg64", "kernel")
    return [name for name in os.listdir(folder) if name.startswith("tmp.")]


@case
def stock_is_kept():
    """The second time nothing is compiled, and the path is the same."""
    path = image("stock")
    again = build("--stock").expect()
    check(again.out == path + "\n", again.out)
    check("compiling" not in again.err and again.took < 30, f"{again.took} s: {again.err}")
    check(build("--stock", "--print-image").expect().out == path + "\n", "--print-image differs")
    for name in ("bzImage", "config", "System.map", "build.log"):
        check(os.path.getsize(os.path.join(os.path.dirname(path), name)) > 1000, name)
    check(not leftovers(), leftovers())


@case
def not_built_is_said():
    with Series(new=NEW_FILE) as series:
        ran = series.build("--print-image").expect(1)
        check(ran.out == "", ran.out)
    with tempfile.TemporaryDirectory() as cache:
        ran = build("--stock", "--print-image", env={**os.environ, "XDG_CACHE_HOME": cache})
        check((ran.status, ran.out) == (1, ""), f"{ran.status} {ran.out}{ran.err}")


@case
def patch_that_does_not_apply():
    image("stock")
    with Series(new=NEW_FILE, bad=BAD_HUNK) as series:
        ran = series.build().expect(1, r"build: bad\.patch does not apply to linux-source")
        check(re.search(r"Hunk #2 FAILED at 3", ran.err), ran.err)
        check("Hunk #1 FAILED" not in ran.err and "pg64_new.h" in ran.err, ran.err)
    check(not leftovers(), leftovers())


@case
def no_fuzz():
    image("stock")
    with Series(new=NEW_FILE, fuzzy=FUZZY) as series:
        series.build().expect(1, r"(?s)Hunk #1 FAILED.*fuzzy\.patch does not apply")


@case
def patch_without_content():
    image("stock")
    with Series(nothing="Only words.\n") as series:
        series.build().expect(1, r"nothing\.patch does not apply")


@case
def patch_of_a_missing_file():
    image("stock")
    with Series(missing=BAD_HUNK) as series:
        series.build().expect(1, r"missing\.patch does not apply")


@case
def missing_parts():
    with Series(new=NEW_FILE) as series:
        series.remove("new.patch")
        series.build().expect(1, r"series names new\.patch, which does not exist")
        series.remove("series")
        series.build().expect(1, r"series does not exist")
        series.remove("BASE")
        series.build().expect(1, r"BASE does not exist")
        series.build("--stock").expect(1, r"BASE does not exist")


@case
def bad_base():
    with open(os.path.join(SERIES, "BASE"), encoding="utf-8") as file:
        good = file.read()
    image("stock")
    digest = re.search(r"\b[0-9a-f]{64}\b", good)
    if digest:
        with Series(good.replace(digest.group(0), "0" * 64)) as series:
            series.build().expect(1, r"is not what BASE names")
        with Series(good.replace(digest.group(0), "abc")) as series:
            series.build().expect(1, r"sha256 is no SHA-256: abc")
    for base, said in (("package: ../linux\nversion: 1\n", "linux-source-"), ("", "package"),
                       ("package: linux-source-6.12\n", "no version")):
        with Series(base) as series:
            series.build("--stock").expect(1, said)


@case
def other_debian_version():
    """BASE names one that is not to be had: what there is is used, and that is said."""
    image("stock")
    with Series("package: linux-source-6.12\nversion: 6.12.1-1\n") as series:
        series.build("--stock", "--print-image").expect(
            0, r"NOTE: BASE names 6\.12\.1-1, which is not to be had: using 6\.12\.")


@case
def symbol_that_cannot_be_had():
    image("stock")
    with Series() as series:
        series.write("my.config", "CONFIG_PG64_NO_SUCH=y\nCONFIG_SMP=n\nCONFIG_NR_CPUS=8\n"
                     "# CONFIG_MMU is not set\nCONFIG_DEFAULT_HOSTNAME=\"a b\"\n")
        ran = series.build("--stock", "--config", os.path.join(series.folder, "my.config"))
        ran.expect(1, r"CONFIG_PG64_NO_SUCH=y \(my\.config\): no such symbol")
        check("CONFIG_MMU=n (my.config): CONFIG_MMU=y" in ran.err, ran.err)
        check("DEFAULT_HOSTNAME" not in ran.err, ran.err)
        series.build("--stock", "--config", "/no/such.config").expect(
            1, r"/no/such\.config: no such")


@case
def missing_tool():
    with tempfile.TemporaryDirectory(prefix="pg64-tools-") as folder:
        for place in os.environ["PATH"].split(":"):
            for name in os.listdir(place) if os.path.isdir(place) else ():
                link = os.path.join(folder, name)
                if name not in ("flex", "bison") and not os.path.lexists(link):
                    os.symlink(os.path.join(place, name), link)
        ran = build("--stock", env={**os.environ, "PATH": folder})
        ran.expect(1, r"missing: flex bison\n.*apt-get install .* flex bison")


@case
def one_build_at_a_time():
    """What is kept already is had at once all the same."""
    cache = os.path.dirname(os.path.dirname(image("stock")))
    lock = os.path.join(cache, "lock")
    with Series(new=NEW_FILE, bad=BAD_HUNK) as series:
        with subprocess.Popen(["flock", "--exclusive", lock, "sleep", "8"]):
            subprocess.run(["sleep", "1"], check=True)
            check("waiting" not in build("--stock").expect().err, "a kept image waits")
            ran = series.build().expect(1, r"(?s)waiting for another build.*does not apply")
            check(ran.took > 3, f"{ran.took} s")


@case
def wrong_usage():
    for words in (["--none"], ["--config"], ["words"]):
        Ran([BUILD, *words], 60).expect(2, "usage: ")
    Ran([BUILD, "--arch", "sparc"], 60).expect(1, "only x86")
    Ran([BUILD, "--jobs", "0"], 60).expect(1, "--jobs 0")
    check("--stock" in Ran([BUILD, "--help"], 60).expect().out, "no help")


if __name__ == "__main__":
    main()
