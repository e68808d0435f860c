# SPDX-License-Identifier: MIT
"""Every workload of the suite, in the order of the report."""
import alloc
import micro
from memcached_load import Memcached
from postgres_load import PostgresMemory, PostgresParallel, PostgresSelect, PostgresUpdate
from programs import Compiler, Git, Java, Node, Phases, Python, Sort, Sqlite, Xz
from redis_load import Redis, RedisSave

SERVERS = (PostgresMemory(), PostgresParallel(), PostgresUpdate(), PostgresSelect(), Redis(),
           RedisSave(), Memcached())
PROGRAMS = (
    Sqlite(), Python(), Compiler("gcc", "gcc", 10.0, quick=True), Compiler("clang", "clang", 18.0),
    Git(), Sort(), Xz(1, 22.0), Xz(2, 12.0), Node(), Java("Serial", 18.0), Java("Parallel", 12.0))
LARGE = (
    Phases("hashjoin", {"build": "hash join over 2 GiB: build",
                        "probe": "hash join over 2 GiB: probe"}, 5 << 29, 30.0),
    Phases("graph", {"build": "graph of 2 GiB: build by edges",
                     "search": "graph of 2 GiB: breadth-first search",
                     "walk": "graph of 2 GiB: random walk"}, 5 << 29, 50.0))

ALL = (*micro.ALL, *alloc.ALL, *SERVERS, *PROGRAMS, *LARGE)
