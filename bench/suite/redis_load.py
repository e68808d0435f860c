# SPDX-License-Identifier: MIT
"""Redis: filling, reading, and writing while a forked child saves the data.

Debian's server is linked with libjemalloc.so, and redis compiles in no prefix for it, so that the
order of the libraries decides: with the C library preloaded, the server calls the C library's
malloc. That is "libc's build" of the glibc variants; the jemalloc variants run the server as
Debian built it. Each sample looks at what the running server calls (binding.py).
"""
import contextlib
import csv
import os
import re
import subprocess
import time

import pages
from daemon import SOCKET, Daemon
from evidence import Checked, lacking
from workload import Result, SampleError

VALUE_BYTES, CLIENTS, PIPELINE = 1024, 8, 16
SERVER = ["redis-server", "--port", "0", "--unixsocket", SOCKET, "--save", "", "--appendonly",
          "no", "--daemonize", "no", "--disable-thp", "no", "--rdbcompression", "no",
          "--dir", "."]
# Values that are read back and compared, of keys taken at random.
COMPARED = 64
# Freed memory comes back bit by bit: what is held is read once two readings, that far apart, differ
# by no more than this; after so many at last, for others may never be quiet.
SETTLE_S, SETTLED_BYTES, SETTLE_TRIES = 0.25, 4 << 20, 16


def used_bytes():
    """Memory that is neither free nor page cache."""
    with open("/proc/meminfo", encoding="ascii") as file:
        found = {name: int(size) * 1024
                 for name, size in re.findall(r"^([\w()]+):\s+(\d+) kB", file.read(), flags=re.M)}
    return (found["MemTotal"] - found["MemFree"] - found["Buffers"] - found["Cached"]
            - found["SReclaimable"] - pages.free_on_cpu_lists())


def settled(read, pause=time.sleep):
    """read() once it gives nearly the same twice; what it gives at last, if it never does."""
    last = read()
    for _ in range(SETTLE_TRIES):
        pause(SETTLE_S)
        found = read()
        if abs(found - last) <= SETTLED_BYTES:
            return found
        last = found
    return last


class RedisCase(Checked):
    """A server under a variant, and redis-benchmark as its client."""

    group = "Redis"

    def missing(self):
        return lacking("redis-server", "redis-benchmark", "redis-cli", "redis-check-rdb")

    def server(self, place, variant):
        env = place.environment(variant, self)
        if variant.preload is None:
            env["LD_PRELOAD"] = "libc.so.6"
        return Daemon(place, SERVER, variant, env)

    @staticmethod
    def load(kind, count, keys, pipeline):
        """Command of redis-benchmark: `count` operations on random keys out of `keys`."""
        return ["redis-benchmark", "-s", SOCKET, "-t", kind, "-n", str(count), "-r", str(keys),
                "-d", str(VALUE_BYTES), "-c", str(CLIENTS), "-P", str(pipeline), "--csv"]

    @staticmethod
    def latencies(said):
        """Figures of redis-benchmark's table."""
        rows = list(csv.DictReader(line for line in said.splitlines() if line.startswith('"')))
        if len(rows) != 1:
            raise SampleError(f"redis-benchmark said {said[-300:]!r}")
        return {"rate": float(rows[0]["rps"]),
                "p50_s": float(rows[0]["p50_latency_ms"]) / 1000,
                "p99_s": float(rows[0]["p99_latency_ms"]) / 1000}

    @staticmethod
    def ask(server, *words):
        return server.client("redis-cli", "-s", SOCKET, *words)

    @classmethod
    def info(cls, server, section):
        said = cls.ask(server, "INFO", section)
        return dict(line.split(":", 1) for line in said.splitlines() if ":" in line)

    def held(self, server):
        """Keys that are there."""
        return int(self.ask(server, "DBSIZE").split()[-1])

    def check_sets(self, server, count):
        """The server took `count` SETs since its start, and replied with no error to anything."""
        said = self.info(server, "commandstats").get("cmdstat_set", "")
        found = dict(pair.split("=") for pair in said.strip().split(",") if "=" in pair)
        self.must(found.get("calls") == str(count), f"{found.get('calls', 0)} SETs of {count}")
        self.must(self.info(server, "stats")["total_error_replies"] == "0", "errors were replied")

    def check_values(self, server):
        """redis-benchmark gives all keys of all its runs the same value."""
        keys = self.ask(server, "-r", str(COMPARED), "RANDOMKEY").split()
        found = self.ask(server, "MGET", *keys).splitlines()
        self.must(len(found) == COMPARED, f"{len(found)} values of {COMPARED} keys")
        for value in found:
            self.must(len(value) == VALUE_BYTES, f"a value has {len(value)} bytes")
            self.same("a value", value)

    def fill(self, server, keys):
        """SET until about 63 % (1 - 1/e) of the keys are there: they come at random."""
        took, faults, said = server.timed(
            lambda: server.client(*self.load("set", keys, keys, PIPELINE)))
        self.check_sets(server, keys)
        held = self.held(server)
        self.must(abs(held / keys - 0.632) < 0.03, f"{held} of {keys} keys are there")
        self.check_values(server)
        return held, {"wall_s": took, "minor_faults": faults, **self.latencies(said)}


class Redis(RedisCase):
    """Filling and reading. As many reads as there are keys come first, which come to nearly
    each page, and are not timed: where a hypervisor has page tables of its own, the first read of
    a page costs more."""

    name = "redis"
    results = {"redis-set": Result("SET of 1 KiB values, 16 in flight", "rate"),
               "redis-get": Result("GET of random keys, warm, 16 in flight", "rate")}
    quick = True
    memory_bytes = 2 << 30
    estimate_s = 12.0
    quick_needs = (1 << 28, 2.0, 0.0)

    def reads(self, server):
        """(hits, misses) so far."""
        stats = self.info(server, "stats")
        return int(stats["keyspace_hits"]), int(stats["keyspace_misses"])

    def read_at_random(self, server, gets, keys, held):
        """What redis-benchmark says of `gets` reads of random keys.

        It seeds its random numbers with the time and its process id, combined so that two of its
        runs often have the same ones: then the keys come in the order in which they were set, and
        are found more often than by chance. Such a run does not count.
        """
        for _ in range(5):
            hits, misses = self.reads(server)
            said = server.client(*self.load("get", gets, keys, PIPELINE))
            hits, misses = (now - then for now, then in zip(self.reads(server), (hits, misses)))
            self.must(hits + misses == gets, f"{hits + misses} reads of {gets}")
            if abs(hits / gets - held / keys) < 0.03:
                return said
        raise SampleError(f"redis: {hits} hits in {gets} reads")

    def sample(self, place, variant):
        keys = place.pick(1_400_000, 150_000, 4_000)
        gets = place.pick(2_000_000, 150_000, 4_000)
        with self.server(place, variant) as server:
            held, filled = self.fill(server, keys)
            server.client(*self.load("get", keys, keys, PIPELINE))
            said = self.read_at_random(server, gets, keys, held)
            self.check_sets(server, keys)
            self.must(self.held(server) == held, "keys came or went while they were read")
            self.check_values(server)
            filled.update(**server.memory(), **server.coverage())
        return {"redis-set": filled, "redis-get": self.latencies(said)}


class RedisSave(RedisCase):
    """BGSAVE while clients write: the child's copy of each page is made at the first write.

    Held is all of the system's memory that is neither free nor page cache, less what it was before
    the server started: large folios of which a part was copied stay whole, and no process's RSS
    shows them. The rest of the machine must be idle for it.
    """

    name = "redis-bgsave"
    results = {"redis-bgsave": Result("SET while a child saves 1 GiB", "p99_s")}
    memory_bytes = 3 << 30
    estimate_s = 15.0

    def sample(self, place, variant):
        keys = place.pick(1_400_000, 180_000, 4_000)
        count = place.pick(400_000, 60_000, 2_000)
        with contextlib.suppress(FileNotFoundError):  # a run that was void leaves what it saved
            os.unlink(os.path.join(place.folder, "dump.rdb"))
        before = settled(used_bytes)
        with self.server(place, variant) as server:
            held, _ = self.fill(server, keys)
            faults = server.minor_faults()
            figures = self.latencies(self.save_under_load(server, count, keys))
            taken = settled(used_bytes) - before
            figures.update(fork_s=int(self.info(server, "stats")["latest_fork_usec"]) / 1e6,
                           minor_faults=server.minor_faults() - faults, **server.memory())
            if taken >= figures["private_bytes"]:  # else others gave memory back meanwhile
                figures["held_bytes"] = taken
            self.check_sets(server, keys + count)
            self.check_values(server)
            self.check_save(server, held)
        return {"redis-bgsave": figures}

    def check_save(self, server, held):
        """What was saved is sound, with as many keys as there were at some time during the load."""
        said = server.client("redis-check-rdb", "dump.rdb")
        found = re.search(r"^\[info\] (\d+) keys read", said, flags=re.M)
        self.must(found and "Checksum OK" in said, f"redis-check-rdb said {said[-300:]!r}")
        most = self.held(server)
        self.must(held <= int(found.group(1)) <= most,
                  f"{found.group(1)} keys were saved, of {held} to {most}")

    def save_under_load(self, server, count, keys):
        """What redis-benchmark said of writes that began just before the save."""
        with server.start_client(*self.load("set", count, keys, 1)) as client:
            try:
                time.sleep(0.05)
                self.ask(server, "BGSAVE")
                said, complained = client.communicate(timeout=600)
            except BaseException as error:
                client.kill()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise SampleError("redis-benchmark did not end in 600 s") from None
                raise
        self.must(client.returncode == 0, f"redis-benchmark: {complained.strip()[-300:]}")
        end = time.monotonic() + 300
        while time.monotonic() < end:
            state = self.info(server, "persistence")
            if state["rdb_bgsave_in_progress"] == "0":
                self.must(state["rdb_last_bgsave_status"] == "ok"
                          and state["rdb_saves"] == "1", "the save failed")
                return said
            time.sleep(0.05)
        raise SampleError("the save did not end in 300 s")
