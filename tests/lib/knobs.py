#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Set the kernel's transparent hugepage knobs for the length of a test, and put them back.

The only way for a test to change a knob. One user at a time: a lock file keeps two tests from
fighting. What was found is put back on every exit path: at the end of the `with` block, on an
exception, on SIGINT, SIGTERM and SIGHUP, and by a guardian process when this one is killed.

    with Knobs("mthp"):                          # a preset
        ...
    with Knobs({"hugepages-64kB/enabled": "madvise"}):
        ...
    tests/lib/knobs.py mthp -- COMMAND ARG...     # exit status of COMMAND; 77: cannot be set here

Presets: `mthp` (64 KiB pages on request, 2 MiB off), `mthp-pmd` (the same with the 2 MiB size at
its default), `never` (every size off, as on a machine that nobody set up).
"""
import fcntl
import json
import os
import signal
import subprocess
import sys
import time

ROOT = "/sys/kernel/mm/transparent_hugepage"
LOCK = "/run/lock/pg64-knobs.lock"
HELD = "KNOBS_HELD_BY_PG64"  # in the environment of commands that run inside a Knobs block
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Unavailable(Exception):
    """The knobs cannot be set here; the text says why. A test skips with it."""


def selected(text):
    """The value in force of a knob's text: "always [madvise] never" -> "madvise"."""
    for word in text.split():
        if word.startswith("[") and word.endswith("]"):
            return word[1:-1]
    return text.strip()


def read(name, root=ROOT):
    """The value in force of one knob, or None when this kernel does not have it."""
    try:
        with open(os.path.join(root, name), encoding="ascii") as file:
            return selected(file.read())
    except OSError:
        return None


def state(root=ROOT):
    """All knobs that matter for page sizes, as {name: value}: part of the record of a run."""
    names = ["enabled", "defrag", "shmem_enabled"]
    if os.path.isdir(root):
        for entry in sorted(os.listdir(root)):
            if entry.startswith("hugepages-"):
                names += [f"{entry}/enabled", f"{entry}/shmem_enabled"]
    values = {name: read(name, root) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def preset(name, root=ROOT):
    """The settings that a preset stands for."""
    mthp = {"hugepages-64kB/enabled": "madvise", "hugepages-64kB/shmem_enabled": "advise"}
    if name == "mthp":
        return {**mthp, "hugepages-2048kB/enabled": "never"}
    if name == "mthp-pmd":
        return {**mthp, "enabled": "madvise", "hugepages-2048kB/enabled": "inherit"}
    if name == "never":
        return {knob: "never" for knob in state(root) if knob.endswith("enabled")}
    raise ValueError(f"unknown preset {name!r}: mthp, mthp-pmd or never")


class Knobs:
    """Context manager, see the head of this file. `wait_s`: how long to wait for the lock; that it
    waits is said once, after a second."""

    def __init__(self, settings, root=ROOT, lock=LOCK, wait_s=600):
        self.settings = preset(settings, root) if isinstance(settings, str) else dict(settings)
        self.root, self.lock_path, self.wait_s = root, lock, wait_s
        self.saved = {}
        self.handlers = {}
        self.lock_fd = self.pipe_fd = self.guardian = None

    def __enter__(self):
        old = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._check()
            signal.pthread_sigmask(signal.SIG_SETMASK, old)  # the wait may be interrupted
            self._take_lock()
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            self._save()
            self._start_guardian()
            for number in (signal.SIGTERM, signal.SIGHUP):
                self.handlers[number] = signal.signal(number, self._leave)
            self._apply(self.settings)
        except BaseException:
            self._restore()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
        return self

    def __exit__(self, *_):
        old = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._restore()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
        return False

    def change(self, settings):
        """Set some of the knobs that this block holds to other values."""
        unknown = sorted(set(settings) - set(self.saved))
        if unknown:
            raise ValueError(f"not held by this block: {unknown[0]}")
        self.settings.update(settings)
        self._apply(settings)

    def drifted(self):
        """Knobs that somebody else has changed meanwhile: {name: value found}."""
        found = {name: read(name, self.root) for name in self.settings}
        return {name: value for name, value in found.items() if value != self.settings[name]}

    @staticmethod
    def _leave(number, _frame):
        raise SystemExit(128 + number)

    def _check(self):
        for name in self.settings:
            path = os.path.join(self.root, name)
            if not os.path.exists(path):
                raise Unavailable(f"this kernel has no {name}")
            if not os.access(path, os.W_OK):
                raise Unavailable(f"{path} cannot be written: it takes root")

    def _take_lock(self):
        if os.environ.get(HELD):
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.lock_fd = os.open(self.lock_path, flags, 0o600)
        begin, said = time.monotonic(), False
        while True:
            try:
                fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited = time.monotonic() - begin
                if waited > self.wait_s:
                    os.close(self.lock_fd)
                    self.lock_fd = None
                    raise Unavailable(f"{self.lock_path} is held by another test") from None
                if waited > 1 and not said:
                    said = True
                    print(f"waiting up to {self.wait_s:.0f} s for {self.lock_path}: a test or a "
                          "benchmark run has the knobs", file=sys.stderr, flush=True)
                time.sleep(0.05)
        left = os.pread(self.lock_fd, 65536, 0)
        if left:  # a run that ended with its guardian, by a crash: mend what it left
            self._apply(json.loads(left), mend=True)
            os.ftruncate(self.lock_fd, 0)

    def _save(self):
        self.saved = {name: read(name, self.root) for name in self.settings}
        if self.lock_fd is not None:
            os.pwrite(self.lock_fd, json.dumps(self.saved).encode(), 0)

    def _apply(self, values, mend=False):
        for name, value in values.items():
            if read(name, self.root) == value:
                continue
            try:
                with open(os.path.join(self.root, name), "w", encoding="ascii") as file:
                    file.write(value)
            except OSError as error:
                if not mend:
                    raise Unavailable(f"{name} = {value} is refused: {error.strerror}") from None

    def _start_guardian(self):
        read_fd, self.pipe_fd = os.pipe()
        self.guardian = os.fork()
        if self.guardian:
            os.close(read_fd)
            return
        try:  # the child: waits for the end of its parent; SIGNALS stay blocked
            os.setsid()
            top = os.sysconf("SC_OPEN_MAX")
            keep = sorted({read_fd, read_fd if self.lock_fd is None else self.lock_fd})
            low = 0
            for fd in keep:
                os.closerange(low, fd)
                low = fd + 1
            os.closerange(low, min(top, 65536))
            if os.read(read_fd, 1) == b"":
                self._apply(dict(reversed(self.saved.items())), mend=True)
                if self.lock_fd is not None:
                    os.ftruncate(self.lock_fd, 0)
        finally:
            os._exit(0)

    def _restore(self):
        self._apply(dict(reversed(self.saved.items())), mend=True)
        self.saved = {}
        if self.guardian:
            os.write(self.pipe_fd, b".")
            os.close(self.pipe_fd)
            os.waitpid(self.guardian, 0)
            self.guardian = None
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}
        if self.lock_fd is not None:
            os.ftruncate(self.lock_fd, 0)
            os.close(self.lock_fd)
            self.lock_fd = None


def run(command):
    """Run one command inside a Knobs block, pass signals on; the shell's form of its status."""
    with subprocess.Popen(command, env={**os.environ, HELD: "1"}) as child:
        while True:
            try:
                status = child.wait()
                return status if status >= 0 else 128 - status
            except BaseException:
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    child.kill()
                raise


def main(argv):
    if "--" not in argv[1:] or argv[1:2] == ["--"] or argv[-1] == "--":
        print("usage: knobs.py PRESET|KNOB=VALUE... -- COMMAND [ARG...]", file=sys.stderr)
        return 2
    split = argv.index("--")
    settings = {}
    for word in argv[1:split]:
        if "=" in word:
            settings.update([word.split("=", 1)])
        else:
            settings.update(preset(word))
    try:
        with Knobs(settings):
            return run(argv[split + 1:])
    except Unavailable as reason:
        print(f"SKIP: {reason}")
        return 77
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv))
