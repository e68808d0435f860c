# SPDX-License-Identifier: MIT
"""The allocator set: the classic malloc benchmarks, as fixed work for 1 to 8 threads."""
import place as places
from workload import Result, SampleError, Workload

PROGRAMS = ("cfrac", "espresso", "barnes", "larson", "alloc-test", "cache-scratch",
            "cache-thrash", "xmalloc-test", "mstress", "rptest", "glibc-simple", "glibc-thread")
# Those in which one thread is all there is, or the threads do the same apart from each other.
SINGLE = ("glibc-simple",)
THREADS = (1, 2, 4, 8)
QUICK = (("cfrac", 1), ("larson", 2), ("mstress", 2))


class Program(Workload):
    """One program of bench/alloc/. Its checksum is the same under every allocator."""

    group = "malloc benchmarks"
    memory_bytes = 1 << 30
    estimate_s = 2
    quick_needs = (1 << 28, 0.7, 0.0)

    def __init__(self, program, threads):
        self.program, self.threads = program, threads
        self.name = f"alloc-{program}-t{threads}"
        many = "1 thread" if threads == 1 else f"{threads} threads"
        self.results = {self.name: Result(f"{program}, {many}")}
        self.quick = (program, threads) in QUICK
        self.checksum = None

    def sample(self, place, variant):
        scale = "0.3" if place.quick else "1"
        cost, said = place.command(
            [place.program(f"alloc/{self.program}"), "--threads", str(self.threads),
             "--scale", scale], variant, self)
        checksum = places.values(said).get("checksum")
        if checksum is None:
            raise SampleError(f"{self.program} printed no checksum")
        if self.checksum is None:
            self.checksum = checksum
        if checksum != self.checksum:
            raise SampleError(f"{self.program}: checksum {checksum}, not {self.checksum}")
        return {self.name: cost}


ALL = tuple(Program(program, threads) for program in PROGRAMS
            for threads in ((1,) if program in SINGLE else THREADS))
