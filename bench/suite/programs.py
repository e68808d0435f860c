# SPDX-License-Identifier: MIT
"""Programs that run to their end: databases, compilers, languages, tools."""
import os
import shutil
import subprocess
import sys

import inputs
from evidence import Checked, digest, lacking
from place import values
from workload import Result, SampleError

LOADS = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "load"))


def write(place, name, pieces):
    """A file in the workload's folder, from pieces (bytes); its path."""
    path = os.path.join(place.folder, name)
    with open(path, "wb") as file:
        file.writelines(pieces)
    return path


class Program(Checked):
    """One command, one result of the workload's name. What it prints must always be the same."""

    needs = ()  # programs
    environment = {"LC_ALL": "C", "TZ": "UTC"}

    def missing(self):
        return lacking(*self.needs)

    def words(self, place):
        """The command; it runs in the workload's folder."""
        raise NotImplementedError

    def sample(self, place, variant):
        figures, said = place.command(self.words(place), variant, self)
        self.inspect(place, said)
        return {self.name: figures}

    def inspect(self, place, said):
        """SampleError unless what came out is right."""
        del place
        self.must(said, "it printed nothing")
        self.same("what it printed", said)


class Sqlite(Program):
    name, group = "sqlite", "programs"
    results = {"sqlite": Result("SQLite: indexes, join, window in memory")}
    needs = ("sqlite3",)
    memory_bytes = 1 << 30
    estimate_s = 9.0

    def prepare(self, place):
        super().prepare(place)
        rows = place.pick(1_000_000, 100_000, 3_000)
        write(place, "work.sql", [inputs.sql(rows).encode()])
        self.known["rows"] = rows

    def words(self, place):
        return ["sqlite3", "-batch", "-bail", ":memory:", ".read work.sql"]

    def inspect(self, place, said):
        super().inspect(place, said)
        self.must(said.startswith(f"{self.known['rows']}|") and said.endswith("\nok\n"),
                  f"it said {said[:100]!r}")


class Python(Program):
    name, group = "python3", "programs"
    results = {"python3": Result("python3: lists, dicts, sets, strings")}
    environment = {**Program.environment, "PYTHONHASHSEED": "0"}
    quick = True
    memory_bytes = 3 << 29
    estimate_s = 9.0
    quick_needs = (1 << 28, 1.0, 0.0)

    def words(self, place):
        # not a version manager's script of this name
        program = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
        return [program, "-I", os.path.join(LOADS, "containers.py"),
                str(place.pick(3_000_000, 400_000, 10_000))]


class Compiler(Program):
    """A compiler on one large file; the object file must always be the same."""

    group = "programs"
    memory_bytes = 1 << 29
    quick_needs = (1 << 28, 2.0, 0.0)

    def __init__(self, program, label, estimate_s, quick=False):
        super().__init__()
        self.name, self.needs, self.quick = program, (program,), quick
        self.results = {program: Result(f"{label} -O2 on a large file")}
        self.estimate_s = estimate_s

    def prepare(self, place):
        super().prepare(place)
        write(place, "big.c", [inputs.c_source(place.pick(700, 120, 6)).encode()])

    def words(self, place):
        return [self.name, "-O2", "-c", "big.c", "-o", "big.o"]

    def inspect(self, place, said):
        path = os.path.join(place.folder, "big.o")
        self.must(os.path.exists(path), "there is no object file")
        self.same("digest of the object file", digest(path))
        os.unlink(path)


class Git(Program):
    """A generated history: all objects listed, then all of them packed anew."""

    name, group = "git", "programs"
    results = {"git-rev-list": Result("git rev-list --objects --all"),
               "git-repack": Result("git repack -adf, 1 thread")}
    needs = ("git",)
    environment = {**Program.environment, "GIT_CONFIG_NOSYSTEM": "1",
                   "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}
    memory_bytes = 1 << 30
    estimate_s, setup_s = 12.0, 15.0

    def prepare(self, place):
        super().prepare(place)
        repository = os.path.join(place.folder, "repository")
        env = {**os.environ, **self.environment}
        try:
            subprocess.run(["git", "init", "-q", "-b", "main", "--bare", repository], check=True,
                           env=env)
            with subprocess.Popen(["git", "-C", repository, "fast-import", "--quiet", "--done"],
                                  env=env, stdin=subprocess.PIPE) as child:
                child.stdin.writelines(inputs.git_history(place.pick(12_000, 1_000, 40)))
        except (OSError, subprocess.SubprocessError) as error:
            raise SampleError(f"no repository: {error}") from None
        self.must(child.returncode == 0, "git fast-import failed")

    def sample(self, place, variant):
        def git(*words):
            return place.command(["git", "-C", "repository", *words], variant, self)
        listing, said = git("rev-list", "--objects", "--all")
        self.inspect(place, said)
        packing, _ = git("-c", "pack.threads=1", "repack", "-a", "-d", "-f", "-q")
        _, said = git("-c", "pack.threads=1", "count-objects", "-v")
        self.same("sizes of the packs", said)
        return {"git-rev-list": listing, "git-repack": packing}


class Sort(Program):
    name, group = "sort", "programs"
    results = {"sort": Result("sort of 33-byte lines, 1 thread")}
    needs = ("sort",)
    quick = True
    memory_bytes = 3 << 29
    estimate_s, setup_s = 8.0, 5.0
    quick_needs = (1 << 28, 1.0, 1.0)

    def prepare(self, place):
        super().prepare(place)
        count = place.pick(8_000_000, 1_200_000, 20_000)
        self.known["size"] = os.path.getsize(write(place, "lines", inputs.lines(count)))

    def words(self, place):
        return ["sort", "--parallel=1", "-S", "2G", "-o", "sorted", "lines"]

    def inspect(self, place, said):
        path = os.path.join(place.folder, "sorted")
        self.same("size", os.path.getsize(path))
        if "digest of the sorted lines" not in self.known:
            checked = subprocess.run(["sort", "-c", path], env={**os.environ, "LC_ALL": "C"},
                                     stderr=subprocess.DEVNULL, check=False)
            self.must(checked.returncode == 0, "the lines are not in order")
        self.same("digest of the sorted lines", digest(path))
        os.unlink(path)


class Xz(Program):
    group = "programs"
    needs = ("xz",)
    memory_bytes = 1 << 29

    def __init__(self, threads, estimate_s):
        super().__init__()
        self.name, self.threads, self.estimate_s = f"xz-{threads}", threads, estimate_s
        self.results = {self.name: Result(f"xz -6 -T{threads}, blocks of 8 MiB")}

    def prepare(self, place):
        super().prepare(place)
        write(place, "prose", inputs.prose(place.pick(16 << 20, 3 << 20, 1 << 18)))

    def words(self, place):
        # a thread works on a block; the default size leaves one of two threads without work here
        return ["xz", "-6", f"-T{self.threads}", "--block-size=8MiB", "-k", "-f", "prose"]

    def inspect(self, place, said):
        packed = os.path.join(place.folder, "prose.xz")
        if not self.known:
            with subprocess.Popen(["xz", "-d", "-k", "-c", packed],
                                  stdout=subprocess.PIPE) as child:
                shutil.copyfileobj(child.stdout, _Compared(self, place))
            self.must(child.returncode == 0, "the packed file cannot be unpacked")
        self.same("digest of the packed file", digest(packed))
        os.unlink(packed)


class _Compared:
    """Something to write to, that must be what is in the file."""

    def __init__(self, workload, place):
        self.workload = workload
        with open(os.path.join(place.folder, "prose"), "rb") as file:
            self.left = memoryview(file.read())

    def write(self, piece):
        self.workload.must(self.left[:len(piece)] == piece, "it unpacks to something else")
        self.left = self.left[len(piece):]


class Node(Program):
    name, group = "node", "programs"
    results = {"node": Result("node: Map, objects, strings, JSON")}
    needs = ("node",)
    memory_bytes = 3 << 29
    estimate_s = 8.0

    def words(self, place):
        return ["node", "--max-old-space-size=4096", os.path.join(LOADS, "containers.js"),
                str(place.pick(2_000_000, 200_000, 5_000))]


class Java(Program):
    """The machine reserves its heap by one mapping without access, and commits it by mapping over
    it; -Xms says that all of it is committed at the start."""

    group = "programs"
    needs = ("java", "javac")
    memory_bytes = 9 << 29
    setup_s = 2.0

    def __init__(self, collector, estimate_s):
        super().__init__()
        self.name, self.collector = f"java-{collector.lower()}", collector
        self.results = {self.name: Result(f"JVM, 4 GiB heap, {collector} collector")}
        self.estimate_s = estimate_s

    def prepare(self, place):
        super().prepare(place)
        try:
            subprocess.run(["javac", "-d", place.folder, os.path.join(LOADS, "Containers.java")],
                           check=True, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.SubprocessError) as error:
            raise SampleError(f"no class: {error}") from None

    def words(self, place):
        heap = place.pick("4g", "512m", "64m")
        return ["java", f"-Xms{heap}", f"-Xmx{heap}", f"-XX:+Use{self.collector}GC",
                "-XX:-UsePerfData", "-cp", ".", "Containers",
                str(place.pick(10_000_000, 1_000_000, 50_000))]


class Phases(Program):
    """One of bench/load's own programs, which prints the time and the faults of its phases."""

    group = "large heaps"

    def __init__(self, name, phases, memory_bytes, estimate_s):
        super().__init__()
        self.name, self.phases = name, tuple(phases)
        self.results = {f"{name}-{phase}": Result(label) for phase, label in phases.items()}
        self.memory_bytes, self.estimate_s = memory_bytes, estimate_s

    def missing(self):
        return lacking("c++")

    def prepare(self, place):
        super().prepare(place)
        place.program(f"load/{self.name}")  # an error now, and not in each sample

    def words(self, place):
        return [place.program(f"load/{self.name}"), "--bytes",
                str(place.pick(2 << 30, 128 << 20, 8 << 20))]

    def sample(self, place, variant):
        figures, said = place.command(self.words(place), variant, self)
        found = values(said)
        measured = [f"{phase}{unit}" for phase in self.phases for unit in ("_s", "_faults")]
        self.must(all(name in found for name in measured), f"it said {said[:200]!r}")
        for name in sorted(set(found) - set(measured)):
            self.same(name, found[name])
        results = {f"{self.name}-{phase}": {"wall_s": found[f"{phase}_s"],
                                            "minor_faults": int(found[f"{phase}_faults"])}
                   for phase in self.phases}
        results[f"{self.name}-{self.phases[0]}"]["rss_bytes"] = figures["rss_bytes"]
        return results
