# SPDX-License-Identifier: MIT
"""memcached, which fills slabs of 1 MiB: sets of all keys, warm gets in random order."""
import os

from daemon import SOCKET, Daemon
from evidence import Checked, lacking
from latency import percentiles
from place import values
from workload import Result

VALUE_BYTES, CONNECTIONS, PIPELINE = 1024, 4, 16
LATENCIES = "latencies"  # in the folder, where the client runs


def latencies(path):
    """{"set" or "get": seconds of each batch} of the client's file, which is removed."""
    taken = {"set": [], "get": []}
    with open(path, encoding="ascii") as file:
        for line in file:
            kind, nanoseconds = line.split()
            taken[kind].append(int(nanoseconds) * 1e-9)
    os.unlink(path)
    return taken


class Memcached(Checked):
    """Every reply is compared by the client; none of the values may be lost.

    A latency is that of a batch: of 16 commands on a connection, from their sending to the last
    reply. The client reads its connections in turn, so that it includes the comparing of replies
    on those before, as redis-benchmark's does.
    """

    name = "memcached"
    group = "memcached"
    results = {"memcached-set": Result(f"SET of 1 KiB values, {PIPELINE} in flight", "rate"),
               "memcached-get": Result(f"GET in random order, warm, {PIPELINE} in flight", "rate")}
    memory_bytes = 3 << 29
    estimate_s = 18.0

    def missing(self):
        return lacking("memcached")

    def sample(self, place, variant):
        keys = place.pick(900_000, 100_000, 3_000)
        gets = place.pick(2_000_000, 200_000, 6_000)
        limit_mb = place.pick(2048, 512, 64)
        words = ["memcached", "-s", SOCKET, "-a", "0700", "-m", str(limit_mb), "-t", "2",
                 "-u", "root" if os.geteuid() == 0 else "nobody"]
        with Daemon(place, words, variant, place.environment(variant, self)) as server:
            said = values(server.client(
                place.program("load/memcached_load"), SOCKET, str(keys), str(gets),
                str(VALUE_BYTES), str(CONNECTIONS), str(PIPELINE), LATENCIES))
            found = {"minor_faults": server.minor_faults(), **server.memory(),
                     **server.coverage()}
        self.must(said["sets"] == keys and said["hits"] == gets and said["misses"] == 0,
                  f"{said['misses']:.0f} of {gets} values were lost")
        taken = latencies(os.path.join(place.folder, LATENCIES))
        for kind, count in (("set", keys), ("get", gets)):
            self.must(len(taken[kind]) == -(-count // PIPELINE),
                      f"{len(taken[kind])} latencies of batches of {count} {kind}s")
        return {"memcached-set": {"rate": keys / said["set_s"], **percentiles(taken["set"]),
                                  **found},
                "memcached-get": {"rate": gets / said["get_s"], **percentiles(taken["get"])}}
