# SPDX-License-Identifier: MIT
"""kernel-patch/build where the source package cannot be had, or comes damaged: it stops, says what
failed and what to type next, keeps nothing half-made, and the next run succeeds.

apt-get and apt-cache are scripts of our own, and so is the source: a Makefile that does at once
what a kernel's takes minutes for.
"""
import hashlib
import os
import re
import shlex
import subprocess
import tempfile

from kernel import BUILD, Ran, case, check, main

VERSION, FILE = "6.12.99-1", "linux-source-6.12_6.12.99-1_all.deb"
# What kernel-patch/build asks of a kernel's Makefile; recipes want a tab.
MAKEFILE = """.RECIPEPREFIX = >
allnoconfig:
>sed '/=n$$/d' $(KCONFIG_ALLCONFIG) >$(O)/.config
bzImage:
>mkdir -p $(O)/arch/x86/boot
>echo image >$(O)/arch/x86/boot/bzImage
>echo map >$(O)/System.map
"""
FAKE = {
    # $FAKE says what is wrong today; it is asked for "... download NAME=VERSION" and for more.
    "apt-get": """#!/bin/sh
case "$*" in *download*) ;; *) exit 0 ;; esac
echo "$*" >>"$FAKES/calls"
case "$FAKE" in
down) echo "E: Failed to fetch $FILE: could not resolve the host" >&2; exit 100 ;;
unknown) echo "E: Unable to locate package linux-source-6.12" >&2; exit 100 ;;
nothing) exit 0 ;;
truncated) head -c -100 "$FAKES/$FILE" >"$FILE" ;;
other) cp "$FAKES/other.deb" "$FILE" ;;
*) cp "$FAKES/$FILE" "$FILE" ;;
esac
""",
    "apt-cache": """#!/bin/sh
[ "$FAKE" != unknown ] || exit 0
case "$1" in
madison) echo "linux-source-6.12 | $VERSION | a mirror" ;;
show) [ ! -e "$FAKES/hash" ] || echo "SHA256: $(cat "$FAKES/hash")" ;;
esac
""",
}


def package(folder, name, makefile):
    """A Debian package with a source in it; returns the tarball's hash."""
    root = os.path.join(folder, "root-" + name)
    for place in ("DEBIAN", "usr/src", "linux/scripts"):
        os.makedirs(os.path.join(root, place))
    with open(os.path.join(root, "linux", "Makefile"), "w", encoding="ascii") as file:
        file.write(makefile)
    with open(os.path.join(root, "DEBIAN", "control"), "w", encoding="ascii") as file:
        file.write(f"Package: linux-source-6.12\nVersion: {VERSION}\nArchitecture: all\n"
                   "Maintainer: nobody <nobody@example.org>\nDescription: a source\n")
    tarball = os.path.join(root, "usr/src/linux-source-6.12.tar.xz")
    subprocess.run(["tar", "-cJf", tarball, "-C", root, "linux"], check=True)
    subprocess.run(["rm", "-r", os.path.join(root, "linux")], check=True)
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root,
                    os.path.join(folder, name)], check=True, stdout=subprocess.DEVNULL)
    with open(tarball, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Place:
    """An empty cache, a series folder, the two commands in front of PATH, and the packages."""

    def __enter__(self):
        self.holder = tempfile.TemporaryDirectory(prefix="pg64-download-")
        self.folder = self.holder.name
        os.mkdir(self.path("bin"))
        os.mkdir(self.path("a series"))  # a name that has to be quoted
        for name, text in FAKE.items():
            with open(self.path("bin", name), "w", encoding="ascii") as file:
                file.write(text)
            os.chmod(self.path("bin", name), 0o755)
        self.sha = package(self.folder, FILE, MAKEFILE)
        package(self.folder, "other.deb", "all:\n")
        self.base(self.sha)
        self.kept = self.path("cache", "pg64", "kernel")
        return self

    def __exit__(self, *_):
        self.holder.cleanup()

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def base(self, sha):
        with open(self.path("a series", "BASE"), "w", encoding="ascii") as file:
            file.write(f"package: linux-source-6.12\nversion: {VERSION}\nsha256: {sha}\n")

    def env(self, fake, path=None):
        path = path or self.path("bin") + ":" + os.environ["PATH"]
        return {**os.environ, "PATH": path, "FAKE": fake, "FAKES": self.folder, "FILE": FILE,
                "VERSION": VERSION, "XDG_CACHE_HOME": self.path("cache")}

    def run(self, fake, path=None):
        return Ran(self.words(), 120, env=self.env(fake, path))

    def words(self):
        return [BUILD, "--stock", "--series", self.path("a series")]

    def nothing_kept(self):
        found = [os.path.join(folder, name) for folder, _, names in os.walk(self.kept)
                 for name in names if name != "lock"]
        left = [name for name in os.listdir(self.kept) if name.startswith("tmp.")]
        check(not found and not left, f"left in the cache: {found} {left}")

    def fails(self, fake, *said, path=None):
        """It stops, says so, keeps nothing, and the last line can be typed as it is."""
        ran = self.run(fake, path).expect(1)
        for words in said:
            check(re.search(words, ran.err), f"{fake}: {words!r} is not in: {ran.err}")
        last = ran.err.splitlines()[-1]
        check(last.startswith("build:   "), f"{fake}: the last line is no command: {last}")
        check(shlex.split(last[len("build:   "):])[-4:] == self.words(),
              f"{fake}: not the same command: {last}")
        self.nothing_kept()
        return last[len("build:   "):]

    def succeeds(self):
        ran = self.run("works").expect(0, "downloading")
        with open(ran.out.strip(), encoding="ascii") as file:
            check(file.read() == "image\n", ran.out)
        again = self.run("down").expect()
        check(again.out == ran.out and "downloading" not in again.err, again.err)


def each(place, fake, *said):
    place.fails(fake, *said)
    place.succeeds()


@case
def no_network():
    with Place() as place:
        each(place, "down", rf"{VERSION}: apt knows it, but the download failed",
             "could not resolve", "once the network is up, type:")


@case
def no_such_package():
    with Place() as place:
        line = place.fails("unknown", rf"linux-source-6\.12 {VERSION} is in no source of apt",
                           "Debian 12 or 13")
        check(line.startswith("sudo apt-get update && "), line)
        place.succeeds()


@case
def no_file():
    with Place() as place:
        each(place, "nothing", rf"apt-get left no file of linux-source-6\.12 {VERSION}")


@case
def truncated():
    with Place() as place:
        each(place, "truncated", rf"{re.escape(FILE)}: damaged", "is not kept")


@case
def not_what_base_names():
    """Another package, and no word of its hash from apt."""
    with Place() as place:
        each(place, "other", f"not what BASE names: sha256 {place.sha}", "is not kept")


@case
def not_what_apt_names():
    with Place() as place:
        with open(place.path("hash"), "w", encoding="ascii") as file:
            file.write("0" * 64)
        place.fails("works", rf"{re.escape(FILE)}: SHA-256 [0-9a-f]{{64}}, but apt says 0{{64}}")
        os.unlink(place.path("hash"))
        place.succeeds()


@case
def damaged_later():
    """What is kept is not what it was, or not what BASE names now: the line to type mends it."""
    with Place() as place:
        place.succeeds()
        deb = os.path.join(place.kept, "source", FILE)
        with open(deb, "r+b") as file:
            file.truncate(os.path.getsize(deb) - 100)
        os.unlink(deb + ".sha256")
        ran = place.run("works").expect(1, "damaged")
        line = ran.err.splitlines()[-1].removeprefix("build:   ")
        check(line.startswith(f"rm {deb} && "), line)
        mended = Ran(["sh", "-c", line], 120, env=place.env("works")).expect(0, "downloading")
        check(os.path.exists(mended.out.strip()), mended.out)
        place.base("0" * 64)
        place.run("works").expect(1, rf"not what BASE names(?s:.*)type:\nbuild:   rm {deb} && ")
        check(os.path.exists(deb), "a good package was removed")


@case
def no_apt_get():
    with Place() as place:
        bare = place.path("bare")
        os.mkdir(bare)
        for folder in os.environ["PATH"].split(":"):
            for name in os.listdir(folder) if os.path.isdir(folder) else ():
                if not name.startswith("apt") and not os.path.lexists(os.path.join(bare, name)):
                    os.symlink(os.path.join(folder, name), os.path.join(bare, name))
        line = place.fails("none", "there is no apt-get here", path=bare)
        ran = Ran(["sh", "-c", line], 120, env=place.env("none", bare), cwd=place.folder)
        check(os.path.exists(ran.expect().out.strip()), ran.out)


@case
def ended_by_a_signal():
    """In the middle of a download: nothing of it stays."""
    with Place() as place:
        with open(place.path("bin", "apt-get"), "w", encoding="ascii") as file:
            file.write('#!/bin/sh\nhead -c 1000 "$FAKES/$FILE" >"$FILE"\n'
                       'kill -TERM "$(cat "$FAKES/pid")"\n')
        script = 'echo $$ >"$FAKES/pid"; exec "$@"'
        Ran(["sh", "-c", script, "sh", *place.words()], 120, env=place.env("works")).expect(143)
        place.nothing_kept()


if __name__ == "__main__":
    main()
