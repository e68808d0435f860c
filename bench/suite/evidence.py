# SPDX-License-Identifier: MIT
"""Is what a workload needs there, and is what it gave right? For workloads to inherit from."""
import hashlib
import shutil

from workload import SampleError, Workload


def lacking(*programs):
    """None, or which program is not installed, with the line that mends it."""
    for program in programs:
        if not shutil.which(program):
            return f"{program} is not installed (scripts/setup bench)"
    return None


def digest(path):
    """SHA-256 of a file."""
    made = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            made.update(piece)
    return made.hexdigest()


class Checked(Workload):
    """A workload that knows what came out before: all samples of a run must agree."""


    def __init__(self):
        self.known = {}

    def prepare(self, place):
        if place.quick or place.tiny:
            self.scale_down()

    def same(self, what, value):
        """SampleError unless `value` is what it was in the first sample, or what was known."""
        wanted = self.known.setdefault(what, value)
        if value != wanted:
            raise SampleError(f"{self.name}: {what} is {str(value)[:100]}, "
                              f"not {str(wanted)[:100]}")

    def must(self, holds, text):
        """SampleError unless it holds."""
        if not holds:
            raise SampleError(f"{self.name}: {text}")
