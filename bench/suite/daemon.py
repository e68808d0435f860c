# SPDX-License-Identifier: MIT
"""A server under a variant, on a unix socket in the workload's folder, ended by its process id.

    with Daemon(place, words, variant, env) as server:
        server.minor_faults(), server.memory(), ...

What is looked at is the server alone; its clients run in a clean environment.
"""
import os
import re
import signal
import socket
import subprocess
import time

import binding
import pages
import pg64test
from workload import SampleError

SOCKET = "sock"  # in the folder, where the server runs
START_S, STOP_S = 60, 60


def memory_of(pids):
    """Figures of processes together: PSS, and their private anonymous memory.

    The latter is the anonymous part of PSS: what is still shared with a parent after fork counts
    once.
    """
    found = {"pss_bytes": 0, "private_bytes": 0}
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                text = file.read()
        except OSError:  # gone, or no right to look
            continue
        for key, name in (("pss_bytes", "Pss"), ("private_bytes", "Pss_Anon")):
            match = re.search(rf"^{name}:\s+(\d+) kB", text, flags=re.M)
            found[key] += int(match.group(1)) * 1024 if match else 0
    return found


def covered(pid, regions):
    """{"coverage": ratio} of regions of a process, or {} where the kernel does not let us look."""
    ratio = pages.coverage(pid, [(region.start, region.end) for region in regions]).ratio
    return {} if ratio is None else {"coverage": ratio}


class Daemon:
    """See the head of this file. `words` name the socket as SOCKET: paths of it are short."""

    def __init__(self, place, words, variant, env, own=None):
        self.place, self.words, self.variant, self.env = place, words, variant, env
        self.own, self.child = own, None
        self.socket = os.path.join(place.folder, SOCKET)
        self.log = os.path.join(place.folder, "server.log")

    def __enter__(self):
        if len(self.socket) > 100:
            raise SampleError(f"{self.socket}: too long a name for a unix socket; set TMPDIR")
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                self.words, env=self.env, cwd=self.place.folder, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._wait()
            binding.check(self.child.pid, self.variant, self.own)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        return False

    @property
    def pid(self):
        return self.child.pid

    def _wait(self):
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self.child.poll() is not None:
                raise SampleError(f"{self.words[0]} ended at once: {self.log_tail()}")
            with socket.socket(socket.AF_UNIX) as client:
                try:
                    client.connect(self.socket)
                    return
                except OSError:
                    time.sleep(0.02)
        raise SampleError(f"{self.words[0]} takes no connection: {self.log_tail()}")

    def log_tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return " / ".join(line.strip() for line in file.readlines()[-3:])

    def stop(self):
        """End the server, by force if it takes a minute. SampleError if it had ended before."""
        child, self.child = self.child, None
        if child is None:
            return
        early = child.poll()
        if early is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        try:
            os.unlink(self.socket)
        except FileNotFoundError:
            pass
        if early is not None:
            raise SampleError(f"{self.words[0]} ended with {early}: {self.log_tail()}")

    def client(self, *words, timeout=600):
        """Standard output of a client that is run to its end, in a clean environment."""
        with self.start_client(*words) as child:
            try:
                said, complained = child.communicate(timeout=timeout)
            except BaseException as error:
                child.kill()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise SampleError(f"{words[0]} did not end in {timeout} s") from None
                raise
        if child.returncode:
            last = (complained or said).strip().splitlines()[-1:] or ["no message"]
            raise SampleError(f"{words[0]} ended with {child.returncode}: {last[0][:300]}")
        return said

    def start_client(self, *words):
        """The same, under way; the caller waits for it."""
        return subprocess.Popen(
            words, env=pg64test.clean_environment(), cwd=self.place.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def minor_faults(self):
        """Of the server so far, children that it waited for included."""
        return sum(pages.faults(self.pid))

    def memory(self):
        """Figures: RSS at its peak, PSS, private memory."""
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as file:
            peak = re.search(r"^VmHWM:\s+(\d+) kB", file.read(), flags=re.M)
        return {**memory_of([self.pid]), "rss_bytes": int(peak.group(1)) * 1024}

    def coverage(self):
        """Figure of the server's private memory, where it can be seen."""
        return covered(self.pid, [region for region in pages.regions(self.pid)
                                  if region.private_anonymous])

    def timed(self, work):
        """(wall time, minor faults of the server, result) of a piece of work."""
        faults, begin = self.minor_faults(), time.monotonic()
        result = work()
        return time.monotonic() - begin, self.minor_faults() - faults, result
