# SPDX-License-Identifier: MIT
"""PostgreSQL: shared buffers, work memory, transactions, connections.

Each class has a cluster of its own, filled once by pgbench and copied; every sample starts from
the same bytes, with a server started under its variant. Clients run in a clean environment. Figures
are of the server's processes together.
"""
import contextlib
import glob
import os
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import binding
import pages
from daemon import covered, memory_of
from evidence import Checked
from latency import percentiles
from postgres import Cluster, PostgresError, Session, find_bindir
from workload import Result, SampleError

# Both hold whole rows of half the table in the backend's private memory.
SORT = """SELECT aid, bid, filler FROM pgbench_accounts
          WHERE aid <= {rows} ORDER BY (aid::bigint * 7919) % 5000011"""
JOIN = """SELECT count(*), count(b.filler) FROM pgbench_accounts a
          JOIN pgbench_accounts b ON a.aid = b.aid WHERE b.aid <= {rows}"""
INDEX = """SET maintenance_work_mem = '{memory}MB'; SET max_parallel_maintenance_workers = 0;
           BEGIN; CREATE INDEX bench_index ON pgbench_accounts
           (((aid::bigint * 7919) % 5000011), bid);"""
# Of transactions, for their latencies.
SAMPLED = 0.1
PREWARM = """SELECT sum(pg_prewarm(oid)) FROM pg_class
             WHERE relname LIKE 'pgbench_%' AND relkind IN ('r', 'i');"""

# Of the server's own counters: what a run of pgbench must have added to, and what it must not.
# pg_stat_user_tables counts rows that an index led to.
COUNTED_NAMES = ("transactions", "rows", "sessions", "rollbacks", "deadlocks", "broken sessions")
COUNTED = """SELECT d.xact_commit, t.idx_tup_fetch, d.sessions, d.xact_rollback, d.deadlocks,
                    d.sessions_abandoned + d.sessions_fatal + d.sessions_killed
             FROM pg_stat_database d, pg_stat_user_tables t
             WHERE d.datname = current_database() AND t.relname = 'pgbench_accounts';"""
CONTENTS = "SELECT count(*), sum(aid), sum(abalance) FROM pgbench_accounts;"
# Each transaction of TPC-B adds one line to the history, and its amount to three tables.
BALANCES = """SELECT (SELECT count(*) FROM pgbench_history),
                     (SELECT sum(abalance) FROM pgbench_accounts),
                     (SELECT sum(tbalance) FROM pgbench_tellers),
                     (SELECT sum(bbalance) FROM pgbench_branches),
                     (SELECT sum(delta) FROM pgbench_history);"""


def latencies(prefix):
    """Figures of the logs of pgbench, whose third column is a latency in microseconds; removes
    them."""
    taken = []
    for path in glob.glob(prefix + ".*"):
        with open(path, encoding="ascii") as file:
            taken += [int(line.split()[2]) * 1e-6 for line in file]
        os.unlink(path)
    return percentiles(taken)


class PostgresCase(Checked):
    """What the classes share: the cluster, its copy, and a server under a variant."""

    group = "PostgreSQL"
    setup_s = 10.0

    def __init__(self):
        super().__init__()
        self.cluster = self.pristine = None
        self.scale = self.shared_mb = self.work_mem_mb = 0

    def missing(self):
        return None if find_bindir() else "no PostgreSQL server is installed (scripts/setup bench)"

    def prepare(self, place):
        super().prepare(place)
        self.scale = place.pick(50, 10, 1)
        self.shared_mb = place.pick(1024, 256, 32)
        self.work_mem_mb = place.pick(768, 192, 32)
        try:
            self.cluster = cluster = Cluster(place.folder)
            cluster.init({
                "shared_buffers": f"{self.shared_mb}MB", "autovacuum": "off", "fsync": "off",
                "full_page_writes": "off", "wal_level": "minimal", "max_wal_senders": 0,
                "max_wal_size": "4GB", "checkpoint_timeout": "1h", "max_connections": 20,
                "jit": "off", "logging_collector": "off"})
            cluster.start()
            cluster.run("pgbench", "-i", "-q", "-s", str(self.scale), "postgres")
            cluster.psql("CREATE EXTENSION pg_prewarm; VACUUM ANALYZE; CHECKPOINT;")
            cluster.stop()
        except PostgresError as error:
            raise SampleError(str(error)) from None
        self.pristine = os.path.join(place.folder, "pristine")
        os.rename(cluster.data, self.pristine)

    def close(self, place):
        if self.cluster:
            self.cluster.stop()
        self.cluster = None

    def environment_of(self, place, variant):
        """What the server gets beside the cluster's own variables. Its user may have no right to
        read the build's folder: the library is a copy."""
        env = {**self.environment, **variant.environment()}
        library = variant.library()
        if library:
            env["LD_PRELOAD"] = os.path.join(place.folder,
                                             os.path.basename(os.path.realpath(library)))
            if not os.path.exists(env["LD_PRELOAD"]):
                shutil.copy(library, env["LD_PRELOAD"])
                os.chmod(env["LD_PRELOAD"], 0o755)
        return env

    def sample(self, place, variant):
        shutil.rmtree(self.cluster.data, ignore_errors=True)
        try:
            subprocess.run(["cp", "-a", "--reflink=auto", self.pristine, self.cluster.data],
                           check=True)
            self.cluster.start(self.environment_of(place, variant))
            try:
                binding.check(self.cluster.server.pid, variant)
                return self.measure(place)
            finally:
                self.cluster.stop()
        except (PostgresError, subprocess.SubprocessError) as error:
            raise SampleError(str(error)) from None

    def measure(self, place):
        """sample() on the running server."""
        raise NotImplementedError

    def timed(self, work):
        """(figures wall_s and minor_faults, result) of a piece of work."""
        self.cluster.settle()
        faults, begin = self.cluster.minor_faults(), time.monotonic()
        result = work()
        took = time.monotonic() - begin
        return {"wall_s": took, "minor_faults": self.cluster.minor_faults() - faults}, result

    def pgbench(self, clients, transactions, *options):
        """Figures of a run of pgbench with a fixed number of transactions a client.

        The memory is read once, when the backends have been at work for a moment; not at all when
        the run is over before. Latencies are of a part of the transactions, which pgbench writes
        down.
        """
        logs = os.path.join(self.cluster.folder, "latency")
        for left in glob.glob(logs + ".*"):  # by a run that was void
            os.unlink(left)
        counted = self.counted()
        self.cluster.settle()
        faults = self.cluster.minor_faults()
        words = ["pgbench", "-n", "-c", str(clients), "-j", str(min(clients, 2)),
                 "-t", str(transactions), "--log", f"--sampling-rate={SAMPLED}",
                 f"--log-prefix={logs}", *options, "postgres"]
        memory = {}
        with self.cluster.popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True) as child:
            try:
                try:
                    said, complained = child.communicate(timeout=1)
                except subprocess.TimeoutExpired:
                    memory = memory_of(self.cluster.processes())
                    said, complained = child.communicate(timeout=800)
            except BaseException:
                child.kill()
                raise
        self.must(child.returncode == 0, f"pgbench: {complained.strip()[-300:]}")
        done = f"number of transactions actually processed: {clients * transactions}/"
        self.must(done in said and not re.search(r"failed transactions: [1-9]", said),
                  f"pgbench did not do all: {said[-500:]}")
        rate = re.search(r"^tps = ([\d.]+)", said, flags=re.M)
        self.must(rate, f"pgbench told no rate: {said[-500:]}")
        self.cluster.settle()
        figures = {"rate": float(rate.group(1)),
                   "minor_faults": self.cluster.minor_faults() - faults, **latencies(logs),
                   **memory}
        self.check_counted(counted, clients * transactions,
                           clients * transactions if "-C" in options else clients)
        return figures

    def counted(self):
        """{name: number} of what the server has counted of its sessions."""
        said = self.cluster.psql(COUNTED)
        return dict(zip(COUNTED_NAMES, map(int, said.split("|"))))

    def check_counted(self, before, transactions, sessions):
        """The server did what pgbench says: each transaction was committed and found its row, and
        nothing was rolled back or cut off. What we asked meanwhile counts as well."""
        more = {name: value - before[name] for name, value in self.counted().items()}
        for name, wanted in (("transactions", transactions), ("rows", transactions),
                             ("sessions", sessions)):
            self.must(more[name] >= wanted, f"the server counted {more[name]} {name} of {wanted}")
        for name in ("rollbacks", "deadlocks", "broken sessions"):
            self.must(more[name] == 0, f"the server counted {more[name]} {name}")


class PostgresMemory(PostgresCase):
    """Reads everything into shared buffers, then one backend at a time uses its work memory."""

    name = "postgres"
    results = {"pg-prewarm": Result("prewarm of shared buffers"),
               "pg-sort": Result("large sort"),
               "pg-join": Result("large hash join"),
               "pg-index": Result("index build")}
    quick = True
    memory_bytes = 5 << 29
    estimate_s = 12.0
    quick_needs = (5 << 27, 3.0, 5.0)

    def measure(self, place):
        rows = self.scale * 50_000
        warm, blocks = self.timed(lambda: self.cluster.psql(PREWARM))
        self.same("blocks that were read", blocks)
        return {"pg-prewarm": warm, "pg-sort": self.sort(rows, warm),
                "pg-join": self.join(rows), "pg-index": self.index()}

    def session(self, work):
        """(figures, result) of work(session), with a backend of its own."""
        self.cluster.settle()
        session = Session(self.cluster, self.work_mem_mb)
        try:
            return work(session)
        finally:
            session.close()

    def ask(self, session, sql):
        """(figures, answer) of one question to a session."""
        faults, begin = self.cluster.minor_faults(), time.monotonic()
        answer = session.ask(sql)
        took = time.monotonic() - begin
        return {"wall_s": took, "minor_faults": self.cluster.minor_faults() - faults}, answer

    def sort(self, rows, warm):
        """While the sort is held, what all this costs and what backs it is looked at."""
        def work(session):
            figures, first = self.ask(session, "BEGIN; DECLARE c CURSOR FOR "
                                      f"{SORT.format(rows=rows)}; FETCH 1 FROM c;")
            self.same("first row", first)
            shared = self.cluster.shared_region(session.pid)
            warm.update(covered(session.pid, [shared]))
            figures.update(memory_of(self.cluster.processes()))
            figures.update(covered(session.pid, [
                region for region in pages.regions(session.pid) if region.private_anonymous]))
            # the last row shows that all of them were sorted
            self.same("last row", session.ask(f"MOVE {rows - 2} FROM c; FETCH 1 FROM c;"))
            self.must(session.ask("FETCH 1 FROM c;") == "", f"more than {rows} rows")
            session.ask("ROLLBACK;")
            return figures
        return self.session(work)

    def join(self, rows):
        def work(session):
            figures, found = self.ask(session, JOIN.format(rows=rows) + ";")
            self.must(found == f"{rows}|{rows}", f"the join gave {found}, not {rows} rows")
            return figures
        return self.session(work)

    def index(self):
        def work(session):
            figures, _ = self.ask(session, INDEX.format(memory=self.work_mem_mb))
            self.same("size of the index",
                      session.ask("SELECT pg_relation_size('bench_index');"))
            session.ask("ROLLBACK;")
            return figures
        return self.session(work)


class PostgresParallel(PostgresCase):
    """The sort and the join by several backends at once, each with its work memory."""

    name = "postgres-parallel"
    clients = 2
    results = {"pg-sort-2": Result(f"large sort, {clients} clients at once"),
               "pg-join-2": Result(f"large hash join, {clients} clients at once")}
    memory_bytes = 4 << 30
    estimate_s = 12.0

    def measure(self, place):
        rows = self.scale * 50_000
        self.cluster.psql(PREWARM)
        return {"pg-sort-2": self.sort(rows), "pg-join-2": self.join(rows)}

    @contextlib.contextmanager
    def sessions(self):
        self.cluster.settle()
        with contextlib.ExitStack() as opened:
            found = []
            for _ in range(self.clients):
                found.append(Session(self.cluster, self.work_mem_mb))
                opened.callback(found[-1].close)
            yield found

    @staticmethod
    def ask(sessions, sql):
        """The sessions' answers to one question, which is put to all of them at once."""
        with ThreadPoolExecutor(len(sessions)) as pool:
            return list(pool.map(lambda session: session.ask(sql), sessions))

    def measured(self, sessions, sql):
        """(figures, answers); the wall time is until the last has answered."""
        faults, begin = self.cluster.minor_faults(), time.monotonic()
        answers = self.ask(sessions, sql)
        took = time.monotonic() - begin
        figures = {"wall_s": took, "minor_faults": self.cluster.minor_faults() - faults}
        return {**figures, **memory_of(self.cluster.processes())}, answers

    def sort(self, rows):
        with self.sessions() as sessions:
            figures, first = self.measured(sessions, "BEGIN; DECLARE c CURSOR FOR "
                                           f"{SORT.format(rows=rows)}; FETCH 1 FROM c;")
            last = self.ask(sessions, f"MOVE {rows - 2} FROM c; FETCH 1 FROM c;")
            for one, other in zip(first, last):
                self.same("first row", one)
                self.same("last row", other)
            self.must(set(self.ask(sessions, "FETCH 1 FROM c;")) == {""}, f"more than {rows} rows")
        return figures

    def join(self, rows):
        with self.sessions() as sessions:
            figures, found = self.measured(sessions, JOIN.format(rows=rows) + ";")
            self.must(set(found) == {f"{rows}|{rows}"},
                      f"the joins gave {', '.join(found)}, not {rows} rows")
        return figures


class PostgresSelect(PostgresCase):
    """Reads of a table that is in shared buffers, and clients that stay for one of them."""

    name = "postgres-select"
    results = {"pg-select-1": Result("select-only, 1 client", "rate"),
               "pg-select-4": Result("select-only, 4 clients", "rate"),
               "pg-connect": Result("connections that select one row, 2 clients", "rate")}
    memory_bytes = 2 << 30
    estimate_s = 30.0

    def measure(self, place):
        self.cluster.psql(PREWARM)
        prepared = ("-S", "-M", "prepared")
        before = self.cluster.psql(CONTENTS)
        found = {
            "pg-select-1": self.pgbench(1, place.pick(400_000, 40_000, 200), *prepared),
            "pg-select-4": self.pgbench(4, place.pick(250_000, 25_000, 200), *prepared),
            "pg-connect": self.pgbench(2, place.pick(1500, 200, 20), "-S", "-C")}
        self.must(self.cluster.psql(CONTENTS) == before, "reads changed the table")
        return found


class PostgresUpdate(PostgresCase):
    """pgbench's own load, like TPC-B, from a cold start: it touches the buffers itself."""

    name = "postgres-tpcb"
    results = {"pg-tpcb-1": Result("TPC-B, 1 client", "rate"),
               "pg-tpcb-4": Result("TPC-B, 4 clients", "rate")}
    memory_bytes = 2 << 30
    estimate_s = 25.0

    def measure(self, place):
        one, four = place.pick(50_000, 5_000, 100), place.pick(20_000, 2_000, 50)
        found = {"pg-tpcb-1": self.pgbench(1, one, "-M", "prepared"),
                 "pg-tpcb-4": self.pgbench(4, four, "-M", "prepared")}
        lines, *sums = self.cluster.psql(BALANCES).split("|")
        self.must(lines == str(one + 4 * four), f"{lines} lines of {one + 4 * four} transactions")
        self.must(len(set(sums)) == 1, "sums of accounts, tellers, branches and history are "
                  + ", ".join(sums))
        return found
