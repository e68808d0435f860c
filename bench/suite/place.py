# SPDX-License-Identifier: MIT
"""Where samples run: a temporary folder, the built programs, and commands with their costs.

    place.folder                a folder of the workload's own, removed after close()
    place.program("alloc/larson")   path below build's bench/ folder
    place.environment(variant, workload)   what a process under a variant gets
    place.command(words, variant, workload)   run it; figures of its cost, and what it said
    place.pick(full, quick, tiny)   the size that this run is for
"""
import os
import signal
import subprocess

import pg64test
from workload import SampleError

# A sample that takes longer than this hangs.
TIMEOUT_S = 900
# What the loader says, and goes on, when it cannot read a library of LD_PRELOAD.
NOT_LOADED = "cannot be preloaded"


class Place:
    """`build`: the folder of the build whose programs and library are measured. `tiny`: sizes at
    which nothing can be measured, for tests of the workloads themselves."""

    def __init__(self, build, folder, quick=False, tiny=False):
        self.build, self.folder, self.quick, self.tiny = build, folder, quick, tiny

    def pick(self, full, quick, tiny):
        """One of three sizes."""
        return tiny if self.tiny else quick if self.quick else full

    def program(self, name):
        """Path of a program of bench/."""
        path = os.path.join(self.build, "bench", name)
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path} is not built")
        return path

    def environment(self, variant, workload=None):
        """A clean environment with the workload's variables, then the variant's."""
        env = pg64test.clean_environment()
        if workload:
            env.update(workload.environment)
        env.update(variant.environment())
        return env

    def command(self, words, variant, workload=None, *, check=True, cwd=None, stdin=None,
                stdout=subprocess.PIPE, timeout=TIMEOUT_S):
        """(figures, standard output as text or None) of a command that is run to its end.

        figures: wall_s, cpu_s, minor_faults, rss_bytes (of the largest process), with all
        processes that it started. The variant is in the environment of the command only: the
        launcher gets it through env(1), so that nothing is measured twice.
        """
        env = self.environment(variant, workload)
        assignments = [f"{name}={value}" for name, value in env.items()
                       if os.environ.get(name) != value]
        read_fd, write_fd = os.pipe()
        with subprocess.Popen(
                [self.program("suite/launch"), str(write_fd), "/usr/bin/env", *assignments,
                 *words],
                env=pg64test.clean_environment(), pass_fds=(write_fd,), cwd=cwd or self.folder,
                stdin=stdin or subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                text=True, start_new_session=True) as child:
            os.close(write_fd)
            try:
                said, complained = child.communicate(timeout=timeout)
            except BaseException as error:
                os.killpg(child.pid, signal.SIGKILL)
                os.close(read_fd)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise SampleError(f"{words[0]} did not end in {timeout} s") from None
                raise
        with os.fdopen(read_fd, encoding="ascii") as pipe:
            cost = pipe.read().split()
        if NOT_LOADED in (complained or ""):
            raise SampleError(f"{words[0]} ran without the variant's library: "
                              f"{complained.strip().splitlines()[0][:300]}")
        if len(cost) != 5 or (check and cost[4] != "0"):
            last = (complained or "").strip().splitlines()[-1:] or ["no message"]
            raise SampleError(f"{words[0]} ended with {child.returncode}: {last[0][:300]}")
        return {"wall_s": float(cost[0]), "cpu_s": float(cost[1]),
                "minor_faults": int(cost[2]), "rss_bytes": int(cost[3])}, said


def values(text):
    """{name: number} of the lines "name value" that the suite's own programs print."""
    found = {}
    for line in (text or "").splitlines():
        words = line.split()
        if len(words) == 2:
            try:
                found[words[0]] = float(words[1])
            except ValueError:
                continue
    return found
