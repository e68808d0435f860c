#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The workloads of the benchmark suite: one sample of each at a tiny size, without pg64 and with
it; that wrong output is noticed; that nothing is left behind.

usage: workloads.py [NAME...]
"""
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path[:0] = [os.path.join(ROOT, "bench", "suite"), os.path.join(ROOT, "tests", "lib")]
sys.dont_write_bytecode = True

import binding  # noqa: E402
import catalogue  # noqa: E402
import memcached_load  # noqa: E402
import pg64test  # noqa: E402
import postgres_load  # noqa: E402
import redis_load  # noqa: E402
import variants  # noqa: E402
from latency import percentiles  # noqa: E402
from place import Place  # noqa: E402
from workload import FIGURES, SampleError, check_sample  # noqa: E402

BUILD = os.environ.get("PG64_BUILD", os.path.join(ROOT, "build"))
GLIBC, PG64 = variants.ALL["glibc"], variants.ALL["pg64"]
# What results of servers' loads have of latencies at the tiny size: pgbench writes down a tenth.
LATENT = {"pg-select-1": "p50_s", "pg-select-4": "p50_s", "redis-set": "p99_s",
          "redis-get": "p99_s", "redis-bgsave": "p99_s", "memcached-set": "p99_s",
          "memcached-get": "p99_s"}


def inside(folder):
    """Processes that run in a folder."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.readlink(f"/proc/{entry}/cwd").startswith(folder):
                    found.append(entry)
            except OSError:
                continue
    return found


def fails(work, text):
    """A SampleError with `text` in it, and nothing else, comes out of work()."""
    try:
        work()
    except SampleError as error:
        if text not in str(error):
            pg64test.fail(f"the error says {error}, and nothing of {text!r}")
    else:
        pg64test.fail(f"no error that says {text!r}")


def plant(workload, place):
    """Something else is known to be right: the next sample must be void."""
    if workload.known:
        workload.known = dict.fromkeys(workload.known, "planted")
        fails(lambda: workload.sample(place, GLIBC), f"{workload.name}: ")


def run(workload, top):
    folder = os.path.join(top, workload.name)
    os.mkdir(folder, 0o755)
    place = Place(BUILD, folder, tiny=True)
    begin = time.monotonic()
    try:
        workload.prepare(place)
        for variant in (GLIBC, PG64):
            found = workload.sample(place, variant)
            check_sample(workload, found)
            for name in set(found) & set(LATENT):
                if LATENT[name] not in found[name]:
                    pg64test.fail(f"{name}: no {LATENT[name]} in {found[name]}")
            left = inside(folder)
            if left:
                pg64test.fail(f"{workload.name}: processes are left: {left}")
        plant(workload, place)
    finally:
        workload.close(place)
    if inside(folder):
        pg64test.fail(f"{workload.name}: processes are left after close()")
    print(f"{workload.name}: {time.monotonic() - begin:.1f} s", flush=True)


def check_catalogue(workloads):
    """Names are unique and each result is well described."""
    names = [workload.name for workload in workloads]
    results = [name for workload in workloads for name in workload.results]
    for kind in (names, results):
        if len(set(kind)) != len(kind):
            pg64test.fail(f"not unique: {kind}")
    for workload in workloads:
        if not (workload.name and workload.group and workload.results and workload.memory_bytes
                and workload.estimate_s > 0):
            pg64test.fail(f"{workload.name}: not all of it is described")
        if any(result.primary not in FIGURES for result in workload.results.values()):
            pg64test.fail(f"{workload.name}: an unknown figure")


def check_variants():
    """glibc and jemalloc ask for nothing unless this knob says madvise."""
    for name in ("glibc64", "jemalloc64"):
        if variants.ALL[name].knobs().get("enabled") != "madvise":
            pg64test.fail(f"{name} is {name.removesuffix('64')} on 4 KiB pages")


def check_binding():
    """What serves malloc is seen, and a variant that is not what it says is noticed."""
    for variant, other in ((GLIBC, PG64), (PG64, GLIBC)):
        env = {**pg64test.clean_environment(), **variant.environment(), "LD_BIND_NOW": "1"}
        with subprocess.Popen(["/bin/cat"], env=env, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as child:
            child.stdin.write(b"up\n")
            child.stdin.flush()
            child.stdout.readline()
            binding.check(child.pid, variant)
            fails(lambda: binding.check(child.pid, other), f"{other.name}: malloc is")


def check_redis(top):
    """The glibc variants do not run the server on its own jemalloc."""
    folder = os.path.join(top, "binding")
    os.mkdir(folder)
    case = redis_load.RedisCase()
    case.name = "redis"
    if case.missing():
        return
    with case.server(Place(BUILD, folder), GLIBC) as server:
        found = binding.provider(server.pid)
    if "libc.so" not in found:
        pg64test.fail(f"redis-server on {found}")


def check_settled():
    """What is held is read when memory has stopped to come back, or at some time all the same."""
    mib = 1 << 20
    for readings, wanted in (([9, 9], 9), ([900, 500, 300, 298, 1], 298),
                             ([100 * (i % 2) for i in range(50)], 0)):
        found = redis_load.settled(iter([mib * one for one in readings]).__next__,
                                   pause=lambda _: None) // mib
        if found != wanted:
            pg64test.fail(f"settled at {found}, not {wanted}, of {readings}")


def check_latencies(top):
    """Of two clients' logs: 1 to 200 microseconds, in the order of their numbers' last digits."""
    prefix = os.path.join(top, "latency")
    for client in (0, 1):
        with open(f"{prefix}.7.{client}", "w", encoding="ascii") as file:
            for number in sorted(range(1 + client, 201, 2), key=lambda number: number % 10):
                file.write(f"{client} 5 {number} 0 1700000000 1\n")
    found = postgres_load.latencies(prefix)
    if {name: round(value * 1e6) for name, value in found.items()} != {"p50_s": 100, "p99_s": 198}:
        pg64test.fail(f"latencies of 1 to 200 us: {found}")
    if postgres_load.latencies(prefix):
        pg64test.fail("logs of pgbench are read twice")


class Liar(threading.Thread):
    """A memcached for one client that stores nothing: it answers a get with the value of another
    key, `ahead` of it, and each 50th after `slow_s`."""

    def __init__(self, path, ahead=1, slow_s=0.0):
        super().__init__(daemon=True)
        self.ahead, self.slow_s, self.gets = ahead, slow_s, 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()

    def run(self):
        client, _ = self.listener.accept()
        with self.listener, client, client.makefile("rwb") as stream:
            while line := stream.readline():
                if line.startswith(b"set"):
                    stream.readline()
                    stream.write(b"STORED\r\n")
                else:
                    self.gets += 1
                    time.sleep(0 if self.gets % 50 else self.slow_s)
                    key = int(line.split(b":")[1]) + self.ahead
                    stream.write(b"VALUE key:%010d 0 16\r\n%016x\r\nEND\r\n" % (key, key))
                stream.flush()


def ask_liar(top, count, **how):
    """What the client of memcached says of `count` sets and gets, one in flight."""
    path = os.path.join(top, "liar")
    liar = Liar(path, **how)
    liar.start()
    done = subprocess.run([Place(BUILD, top).program("load/memcached_load"), "liar", str(count),
                           str(count), "16", "1", "1", "latencies"], cwd=top, timeout=60,
                          stderr=subprocess.PIPE, check=False)
    liar.join(10)
    os.unlink(path)
    done.gets = liar.gets
    return done


def check_client(top):
    """The client of memcached compares values, and times batches."""
    said = ask_liar(top, 5)
    if said.returncode != 1 or b"not the key's value" not in said.stderr:
        pg64test.fail(f"a wrong value is not noticed: {said}")
    said = ask_liar(top, 1000, ahead=0, slow_s=0.05)
    if said.returncode:
        pg64test.fail(f"right values are not accepted: {said}")
    taken = memcached_load.latencies(os.path.join(top, "latencies"))
    counts = {kind: len(batches) for kind, batches in taken.items()}
    if counts != {"set": 1000, "get": 1000}:
        pg64test.fail(f"latencies of {counts}, not of 1000 each")
    if said.gets != 2000:
        pg64test.fail(f"{said.gets} gets, not 1000 to warm up and 1000 that are timed")
    slow = sum(batch >= 0.05 for batch in taken["get"])
    found = percentiles(taken["get"])
    if slow < 20 or found["p50_s"] >= 0.05 or min(found["p99_s"], found["p999_s"]) < 0.05:
        pg64test.fail(f"20 gets of 1000 took 50 ms: {slow}, {found}")
    if os.path.exists(os.path.join(top, "latencies")):
        pg64test.fail("latencies of memcached's client are read twice")


class Answers:
    """A session whose answer comes when another one was asked as well."""

    def __init__(self, barrier, answer):
        self.barrier, self.answer = barrier, answer

    def ask(self, sql):
        self.barrier.wait(10)
        return f"{sql} {self.answer}"


def check_parallel():
    """Several sessions are asked at once; a wrong answer of one of them voids the sample."""
    barrier = threading.Barrier(2)
    case = postgres_load.PostgresParallel()
    found = case.ask([Answers(barrier, "one"), Answers(barrier, "two")], "who?")
    if found != ["who? one", "who? two"]:
        pg64test.fail(f"two sessions answered {found}")
    case.sessions = lambda: contextlib.nullcontext([])
    for answers, text in ((["7|7", "7|7"], None), (["7|7", "6|6"], "the joins gave 7|7, 6|6"),
                          (["7|7", ""], "the joins gave")):
        case.measured = lambda sessions, sql, answers=answers: ({}, answers)
        if text:
            fails(lambda: case.join(7), text)
        else:
            case.join(7)
    case.measured = lambda sessions, sql: ({}, ["1|2|x", "1|3|x"])
    case.ask = lambda sessions, sql: ["", ""]
    fails(lambda: case.sort(7), "first row")


def check_place(top):
    """A command whose library cannot be loaded is no sample."""
    broken = variants.Variant("broken", "broken", "4k", env={"LD_PRELOAD": "/nonexistent.so"})
    fails(lambda: Place(BUILD, top).command(["true"], broken), "without the variant's library")


def main(names):
    begin = time.monotonic()
    programs = (*catalogue.SERVERS, *catalogue.PROGRAMS, *catalogue.LARGE)
    check_catalogue(catalogue.ALL)
    check_variants()
    unknown = set(names) - {workload.name for workload in programs}
    if unknown:
        pg64test.fail(f"no such workload: {', '.join(sorted(unknown))}")
    chosen = [workload for workload in programs if not names or workload.name in names]
    lacking = {}
    with tempfile.TemporaryDirectory(prefix="pg64-loads.") as top:
        os.chmod(top, 0o755)  # servers run as another user
        check_binding()
        check_latencies(top)
        check_settled()
        check_parallel()
        check_redis(top)
        check_client(top)
        check_place(top)
        for workload in chosen:
            why = workload.missing()
            if why:
                lacking[workload.name] = why
                continue
            run(workload, top)
    print(f"{len(chosen) - len(lacking)} workloads in {time.monotonic() - begin:.0f} s")
    if lacking:
        pg64test.skip("; ".join(f"{name}: {why}" for name, why in lacking.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
