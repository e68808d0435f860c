# SPDX-License-Identifier: MIT
"""PostgreSQL with and without pg64 on this machine: the driver behind scripts/demo."""
import argparse
import os
import platform
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
sys.dont_write_bytecode = True

import knobs  # noqa: E402
import pages  # noqa: E402
import pg64test  # noqa: E402
from postgres import Cluster, PostgresError, Session  # noqa: E402

VARIANTS = {
    "glibc": ("glibc, 4 KiB", {}),
    "glibc64": ("glibc hugetlb=1", {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}),
    "pg64-base": ("pg64, advice off", {"PG64_BACKEND": "base"}),
    "pg64": ("pg64", {}),
}
KNOBS = {"hugepages-64kB/enabled": ("madvise", "always"),
         "hugepages-64kB/shmem_enabled": ("advise", "always", "within_size")}
# name of a result, label, digits
ROWS = (
    ("prewarm_s", "prewarm of shared buffers, s", 2),
    ("prewarm_faults", "... minor faults", 0),
    ("tps", "select-only, transactions/s", 0),
    ("select_faults", "... minor faults", 0),
    ("sort_s", "large sort, s", 2),
    ("sort_faults", "... minor faults", 0),
    ("join_s", "large hash join, s", 2),
    ("join_faults", "... minor faults", 0),
    ("faults", "minor faults, whole run", 0),
    ("pss_mb", "memory (PSS, all processes, at its peak), MB", 0),
    ("shared_coverage", "shared buffers on 64 KiB pages", 3),
    ("heap_coverage", "sorting backend's memory on 64 KiB pages", 3),
)
# Both hold whole rows of half the table in the backend's private memory.
SORT = """SELECT aid, bid, filler FROM pgbench_accounts
          WHERE aid <= {rows} ORDER BY (aid::bigint * 7919) % 5000011"""
JOIN = """SELECT count(*), count(b.filler) FROM pgbench_accounts a
          JOIN pgbench_accounts b ON a.aid = b.aid WHERE b.aid <= {rows}"""


class Size:
    """How much work a run does."""

    def __init__(self, quick):
        self.scale = 5 if quick else 50
        self.shared_mb = 128 if quick else 1024
        self.work_mem_mb = 128 if quick else 768
        self.select_s = 2 if quick else 12
        self.prime_bytes = (1 if quick else 3) << 30
        self.rows = self.scale * 50_000
        self.disk_bytes = self.scale * (40 << 20)
        self.memory_bytes = (self.shared_mb + self.work_mem_mb + 1024) << 20


class Progress:
    """Lines on standard error, with the time since the start."""

    def __init__(self):
        self.start = time.monotonic()

    def say(self, text):
        print(f"[{time.monotonic() - self.start:5.0f} s] {text}", file=sys.stderr, flush=True)


def timed(cluster, work):
    """(seconds, minor faults of the server, result) of a piece of work."""
    cluster.settle()
    faults, start = cluster.minor_faults(), time.monotonic()
    result = work()
    return time.monotonic() - start, cluster.minor_faults() - faults, result


def peak(cluster, backend, found):
    """While a backend holds its sort in memory: what all this costs, and what backs it."""
    found["pss_mb"] = sum(pages.pss_bytes(pid) for pid in cluster.processes()) / 1e6
    shared = cluster.shared_region(backend)
    found["shared_coverage"] = pages.coverage(backend, [(shared.start, shared.end)])
    private = [(region.start, region.end) for region in pages.regions(backend)
               if region.private_anonymous]
    found["heap_coverage"] = pages.coverage(backend, private)


def measure(cluster, size):
    """One round on a running server."""
    found = {}
    prewarm = ("SELECT sum(pg_prewarm(oid)) FROM pg_class "
               "WHERE relname LIKE 'pgbench_%' AND relkind IN ('r', 'i');")
    found["prewarm_s"], found["prewarm_faults"], _ = timed(cluster, lambda: cluster.psql(prewarm))

    def select():
        return cluster.run("pgbench", "-n", "-S", "-M", "prepared", "-c", "2", "-j", "2",
                           "-T", str(size.select_s), "postgres")
    _, found["select_faults"], said = timed(cluster, select)
    found["tps"] = float(re.search(r"^tps = ([\d.]+)", said, flags=re.M).group(1))

    sort = SORT.format(rows=size.rows)
    session = Session(cluster, size.work_mem_mb)
    ask = f"BEGIN; DECLARE c CURSOR FOR {sort}; FETCH 1 FROM c;"
    start, before = time.monotonic(), cluster.minor_faults()
    session.ask(ask)
    found["sort_s"] = time.monotonic() - start
    found["sort_faults"] = cluster.minor_faults() - before
    peak(cluster, session.pid, found)
    session.ask("ROLLBACK;")
    session.close()

    session = Session(cluster, size.work_mem_mb)
    start, before = time.monotonic(), cluster.minor_faults()
    session.ask(JOIN.format(rows=size.rows) + ";")
    found["join_s"] = time.monotonic() - start
    found["join_faults"] = cluster.minor_faults() - before
    session.close()
    cluster.settle()
    found["faults"] = cluster.minor_faults()
    return found


def server_environment(variant, library):
    env = dict(VARIANTS[variant][1])
    if variant.startswith("pg64"):
        env["LD_PRELOAD"] = library
    return env


def cell(values, digits):
    """Median, with the range when there is one; coverage says when it cannot be seen."""
    if isinstance(values[0], pages.Coverage):
        if not all(value.known for value in values):
            return "cannot be seen"
        values = [value.ratio or 0.0 for value in values]
    middle = statistics.median(values)
    text = f"{middle:,.{digits}f}"
    low, high = f"{min(values):,.{digits}f}", f"{max(values):,.{digits}f}"
    return text if low == high else f"{text} ({low} to {high})"


def ratio(values, base):
    if isinstance(values[0], pages.Coverage):
        return ""
    bottom = statistics.median(base)
    return f"{statistics.median(values) / bottom:.3f}" if bottom else ""


def table(results, variants):
    """Rows of text: the header first."""
    first = variants[0]
    head = ["", *(VARIANTS[name][0] for name in variants)]
    head += [f"{VARIANTS[name][0]} / {VARIANTS[first][0].split(',')[0]}" for name in variants[1:]]
    rows = [head]
    for key, label, digits in ROWS:
        columns = {name: [found[key] for found in results[name]] for name in variants}
        row = [label, *(cell(columns[name], digits) for name in variants)]
        row += [ratio(columns[name], columns[first]) for name in variants[1:]]
        rows.append(row)
    return rows


def plain(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        cells = [row[0].ljust(widths[0])] + [row[i].rjust(widths[i]) for i in range(1, len(row))]
        lines.append("  ".join(cells).rstrip())
        if number == 0:
            lines.append("-" * len(lines[0]))
    return "\n".join(lines)


def markdown(rows):
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "|".join(["---"] + ["---:"] * (len(rows[0]) - 1)) + "|")
    return "\n".join(lines)


def describe(cluster, library, size, rounds):
    """Where and how this was measured, for the record."""
    version = cluster.run("postgres", "--version").strip()
    lines = [f"{version}; shared_buffers {size.shared_mb} MB, pgbench scale {size.scale}, "
             f"work_mem {size.work_mem_mb} MB, {rounds} alternating rounds, median (range)",
             f"Linux {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs; "
             f"64 KiB pages: heap {knobs.read('hugepages-64kB/enabled')}, "
             f"shared {knobs.read('hugepages-64kB/shmem_enabled')}; "
             f"2 MiB pages: {knobs.read('hugepages-2048kB/enabled')}/{knobs.read('enabled')}"]
    lines += [f"pg64 backend for {kind} memory: {backend} ({reason})"
              for kind, (backend, reason) in pg64test.probe(library).items()]
    return lines


def check_room(folder, size):
    free = shutil.disk_usage(folder).free
    if free < size.disk_bytes:
        raise PostgresError(f"{folder} has {free >> 20} MB free; this needs "
                            f"{size.disk_bytes >> 20} MB (set TMPDIR, or use --quick)")
    available = pages.available_bytes()
    if available < size.memory_bytes:
        raise PostgresError(f"{available >> 20} MB of memory are free; this needs "
                            f"{size.memory_bytes >> 20} MB (use --quick)")


def load(cluster, size, progress):
    progress.say(f"creating a private cluster in {cluster.folder}, unix socket only")
    cluster.init({
        "shared_buffers": f"{size.shared_mb}MB", "autovacuum": "off", "fsync": "off",
        "full_page_writes": "off", "wal_level": "minimal", "max_wal_senders": 0,
        "max_wal_size": "4GB", "checkpoint_timeout": "1h", "max_connections": 20, "jit": "off",
        "logging_collector": "off"})
    cluster.start()
    progress.say(f"loading pgbench data, scale {size.scale}")
    cluster.run("pgbench", "-i", "-q", "-s", str(size.scale), "postgres")
    cluster.psql("CREATE EXTENSION pg_prewarm; VACUUM ANALYZE; CHECKPOINT;")
    cluster.stop()


def run_rounds(cluster, settings, size, options, library, progress):
    """{variant: [results]}; fewer rounds than asked for when the time is up."""
    results = {name: [] for name in options.variants}
    prime = min(size.prime_bytes, pages.available_bytes() // 2)
    longest = 0.0
    for number in range(1, options.rounds + 1):
        begin = time.monotonic()
        if number > 1 and begin - progress.start + longest > options.budget:
            progress.say(f"time is up: {number - 1} of {options.rounds} rounds")
            break
        for variant in options.variants:
            pages.prime(prime)
            progress.say(f"round {number} of {options.rounds}: {VARIANTS[variant][0]}")
            cluster.start(server_environment(variant, library))
            results[variant].append(measure(cluster, size))
            cluster.stop()
            settings.check()
        longest = max(longest, time.monotonic() - begin)
    return results


class Workplace:
    """A temporary folder with a cluster in it, and nothing left of either afterwards."""

    def __init__(self, size):
        self.size, self.cluster, self.folder = size, None, None

    def __enter__(self):
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="pg64-demo."))
        try:
            check_room(self.folder, self.size)
            self.cluster = Cluster(self.folder)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        old = signal.pthread_sigmask(signal.SIG_BLOCK, knobs.SIGNALS)
        try:
            if self.cluster:
                self.cluster.stop()
            pg64test.end_strays(self.folder)
            shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
        return False


class KernelSettings:
    """As root: 64 KiB pages on request for the length of the run. Else: what is there."""

    def __init__(self, progress):
        self.progress, self.held = progress, None

    def __enter__(self):
        wanted = {name: values[0] for name, values in KNOBS.items()
                  if knobs.read(name) not in values}
        if not wanted:
            self.progress.say("the kernel already gives 64 KiB pages on request")
            return self
        held = knobs.Knobs(wanted, wait_s=60)
        try:
            held.__enter__()
        except knobs.Unavailable as reason:
            self.progress.say(f"kernel settings stay as they are ({reason}): "
                              "pg64 uses what works without them")
            return self
        self.held = held
        self.progress.say("for this run only, and put back at its end: " +
                          ", ".join(f"{name} = {value}" for name, value in wanted.items()))
        return self

    def check(self):
        for name, value in (self.held.drifted() if self.held else {}).items():
            self.progress.say(f"warning: somebody set {name} to {value} meanwhile; "
                              "these figures are not what they seem")

    def __exit__(self, *_):
        if self.held:
            saved = ", ".join(f"{name} = {value}" for name, value in self.held.saved.items())
            self.held.__exit__()
            self.progress.say(f"kernel settings are back: {saved}")
        return False


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description="PostgreSQL with and without pg64, side by side: a "
        "private cluster in a temporary folder that is removed at the end.")
    parser.add_argument("--quick", action="store_true", help="one short round on little data")
    parser.add_argument("--rounds", type=int, help="alternating rounds (default 3)")
    parser.add_argument("--variants", default="glibc,pg64", help="a list of " +
                        ", ".join(VARIANTS) + " (default: glibc,pg64); the first is what the "
                        "others are compared with")
    parser.add_argument("--markdown", metavar="FILE", help="write the table to FILE as well")
    parser.add_argument("--budget", type=float, default=225, metavar="SECONDS",
                        help="start no round that would end later than this (default 225)")
    parser.add_argument("--library", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    options.variants = options.variants.split(",")
    unknown = [name for name in options.variants if name not in VARIANTS]
    if unknown or len(set(options.variants)) != len(options.variants):
        parser.error(f"--variants: a list of {', '.join(VARIANTS)}, each once")
    if options.rounds is None:
        options.rounds = 1 if options.quick else 3
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    return options


def demonstrate(options, progress):
    size = Size(options.quick)
    with KernelSettings(progress) as settings, Workplace(size) as place:
        library = os.path.join(place.folder, "libpg64.so")  # where the server's user can read it
        shutil.copy(options.library or pg64test.library(), library)
        os.chmod(library, 0o755)
        load(place.cluster, size, progress)
        results = run_rounds(place.cluster, settings, size, options, library, progress)
        rounds = len(results[options.variants[-1]])
        notes = describe(place.cluster, library, size, rounds)
    rows = table(results, options.variants)
    print("\n" + plain(rows) + "\n\n" + "\n".join(notes))
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(markdown(rows) + "\n\n" + "\n".join(f"- {note}" for note in notes) + "\n")
    progress.say("done; nothing is left behind")


def main(argv):
    options = arguments(argv)

    def leave(number, _frame):
        raise SystemExit(128 + number)
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)
    try:
        demonstrate(options, Progress())
    except (PostgresError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
