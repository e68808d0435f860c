# SPDX-License-Identifier: MIT
"""A private PostgreSQL cluster on a unix socket, for the demo, the tests and the benchmarks.

Runs as an unprivileged user when we are root. Every process is ended by its id; the folder belongs
to the caller, who removes it.
"""
import glob
import os
import pwd
import signal
import subprocess
import time

import pages


class PostgresError(Exception):
    """Something about the server went wrong; the text is for people."""


def find_bindir():
    """Folder of the server programs, the newest release that is installed; or None."""
    found = [folder for folder in glob.glob("/usr/lib/postgresql/*/bin")
             if os.access(os.path.join(folder, "initdb"), os.X_OK)]
    return max(found, key=lambda folder: float(folder.split("/")[-2]), default=None)


def unprivileged():
    """Popen arguments for servers that refuse to be root: {} when we are not root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid:
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise PostgresError("there is no user postgres or nobody to run the server as")


class Cluster:
    """One data folder and at most one server on it."""

    def __init__(self, folder, bindir=None):
        self.folder, self.bindir = folder, bindir or find_bindir()
        if not self.bindir:
            raise PostgresError("no PostgreSQL server is installed: scripts/setup demo")
        self.data = os.path.join(folder, "data")
        self.socket = os.path.join(folder, "s")
        self.log = os.path.join(folder, "server.log")
        if len(self.socket) > 80:
            raise PostgresError(f"{folder}: too long a name for a unix socket; set TMPDIR")
        self.account = unprivileged()
        self.server = None
        os.makedirs(self.socket, mode=0o755)
        os.chmod(folder, 0o755)
        if self.account:
            for path in (folder, self.socket):
                os.chown(path, self.account["user"], self.account["group"])

    def environment(self, extra=None):
        keep = ("PATH", "TMPDIR", "TZ", "LD_LIBRARY_PATH")
        env = {name: os.environ[name] for name in keep if name in os.environ}
        env.update({"HOME": self.folder, "LC_ALL": "C", "PGHOST": self.socket, "PGUSER": "postgres",
                    "PGDATABASE": "postgres", "PGPORT": "5432"})
        env.update(extra or {})
        return env

    def popen(self, words, env=None, **options):
        """Start one of PostgreSQL's programs as the cluster's user, in a session of its own."""
        command = [os.path.join(self.bindir, words[0]), *words[1:]]
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(command, env=self.environment(env), cwd=self.folder,
                                start_new_session=True, **self.account, **options)

    def run(self, *words, env=None, timeout=600, feed=None):
        """Run one program to its end and return what it wrote to standard output."""
        options = {"stdin": subprocess.PIPE} if feed is not None else {}
        with self.popen(words, env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                        text=True, **options) as child:
            try:
                out, err = child.communicate(feed, timeout=timeout)
            except BaseException:
                child.kill()
                raise
        if child.returncode:
            last = "\n".join((err or out).strip().split("\n")[-5:])
            raise PostgresError(f"{words[0]} failed with status {child.returncode}: {last}")
        return out

    def init(self, settings):
        """initdb, with settings appended to postgresql.conf."""
        self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                 "--no-locale", "--no-sync")
        own = {"listen_addresses": "''", "unix_socket_directories": f"'{self.socket}'"}
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as file:
            for name, value in {**own, **settings}.items():
                file.write(f"{name} = {value}\n")

    def start(self, env=None, timeout=120):
        """Start the server and wait until it takes connections."""
        with open(self.log, "ab") as log:
            self.server = self.popen(["postgres", "-D", self.data], env, stdout=log, stderr=log)
        end = time.monotonic() + timeout
        while not self._ready():
            if self.server.poll() is not None:
                self.server = None
                raise PostgresError(f"the server did not start: {self.log_tail()}")
            if time.monotonic() > end:
                self.stop()
                raise PostgresError(f"the server was not ready in {timeout} s: {self.log_tail()}")
            time.sleep(0.02)

    def _ready(self):
        try:
            with open(os.path.join(self.data, "postmaster.pid"), encoding="ascii") as file:
                lines = file.read().split("\n")
        except OSError:
            return False
        return (len(lines) > 7 and lines[0].strip() == str(self.server.pid)
                and lines[7].strip() == "ready")

    def log_tail(self, lines=15):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return "\n" + "".join(file.readlines()[-lines:])
        except OSError:
            return "(no log)"

    def stop(self):
        """Stop the server: fast, then immediate, then by force. Safe to call at any time."""
        server, self.server = self.server, None
        if server is None:
            return
        for number, patience_s in ((signal.SIGINT, 60), (signal.SIGQUIT, 10)):
            if server.poll() is not None:
                return
            server.send_signal(number)
            try:
                server.wait(patience_s)
                return
            except subprocess.TimeoutExpired:
                continue
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        server.wait()

    def psql(self, sql, database="postgres", timeout=600):
        """Run SQL, unaligned tuples only; stops at the first error."""
        return self.run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database,
                        "-f", "-", feed=sql, timeout=timeout).strip()

    def processes(self):
        """The postmaster and its children."""
        return [self.server.pid, *pages.children(self.server.pid)] if self.server else []

    def minor_faults(self):
        """Minor faults of the server so far, of processes that ended included.

        One that is waited for between two readings would be in neither, or in both: read again.
        """
        while True:
            before = self.processes()
            total = pages.faults(self.server.pid)[1]
            total += sum(pages.faults(pid)[0] for pid in before)
            if self.processes() == before:
                return total

    def settle(self, timeout=5):
        """Wait until no backend of a client is left, so that minor_faults() has them all."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if not any(self._is_client(pid) for pid in pages.children(self.server.pid)):
                return
            time.sleep(0.02)

    @staticmethod
    def _is_client(pid):
        """Or is it ending, or waiting to be waited for? Then it has no title any more."""
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                title = file.read()
        except OSError:
            return False
        return not title or b"[local]" in title or title.startswith(b"postgres: parallel worker")

    def shared_region(self, pid):
        """The mapping of the shared buffers in one of the server's processes."""
        shared = [region for region in pages.regions(pid) if region.shared_anonymous]
        return max(shared, key=lambda region: region.size, default=None)


class Session:
    """One psql that stays, so that its backend can be looked at while it holds memory."""

    def __init__(self, cluster, work_mem_mb):
        self.child = cluster.popen(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", "postgres"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.ask(f"SET work_mem = '{work_mem_mb}MB'; SET max_parallel_workers_per_gather = 0;"
                 "SET jit = off; SET enable_mergejoin = off; SET enable_nestloop = off;")
        self.pid = int(self.ask("SELECT pg_backend_pid();"))

    def ask(self, sql):
        self.child.stdin.write(sql + "\n\\echo pg64-answer-ends\n")
        self.child.stdin.flush()
        lines = []
        while True:
            line = self.child.stdout.readline()
            if line == "pg64-answer-ends\n":
                return "\n".join(lines).strip()
            if not line:
                raise PostgresError("psql ended: " + " ".join(lines[-3:]))
            lines.append(line.rstrip("\n"))

    def close(self):
        self.child.stdin.close()
        self.child.wait(30)
        self.child.stdout.close()
