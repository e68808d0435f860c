#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The loads of Redis and PostgreSQL notice a program that does not do its work: a stand-in for one
of the clients does less, does it wrong or says something else, and the sample must be void.

usage: stand_ins.py [redis|postgres]...
"""
import contextlib
import os
import shutil
import sys
import tempfile

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path[:0] = [os.path.join(ROOT, "bench", "suite"), os.path.join(ROOT, "tests", "lib")]
sys.dont_write_bytecode = True

import pg64test  # noqa: E402
import variants  # noqa: E402
from place import Place  # noqa: E402
from postgres_load import PostgresSelect, PostgresUpdate  # noqa: E402
from redis_load import Redis, RedisSave  # noqa: E402
from workload import SampleError, check_sample  # noqa: E402

BUILD = os.environ.get("PG64_BUILD", os.path.join(ROOT, "build"))
GLIBC = variants.ALL["glibc"]

# Shell, with the real program's path in $real and our words in $@. Of two options of one name the
# programs take the last.
ALL_WELL = 'exec "$real" "$@"'
ONLY = 'case "$*" in *"{}"*) {};; esac; exec "$real" "$@"'


def only(words, work):
    """Work in place of calls that contain these words."""
    return ONLY.format(words, work)


def then(words, work):
    """Work after calls that contain these words."""
    return only(words, f'"$real" "$@" || exit; {work}; exit 0')


ASK = "redis-cli -s sock"
FILL, SAVE_LOAD = "-t set -n 4000", "-t set -n 2000"
TABLE = r'"test","rps","p50_latency_ms","p99_latency_ms"\n"SET","9","1","2"\n'
EVERY_OTHER = (f"{ASK} EVAL \"for i, k in ipairs(redis.call('KEYS', '*')) do if i % 2 == 0 then "
               "redis.call('SETRANGE', k, 0, '~') end end\" 0 >/dev/null")
# (the stand-in's name, what it does, what the error must say)
REDIS = (
    ("redis-benchmark", f"printf '{TABLE}'", "0 SETs of 4000"),
    ("redis-benchmark", only(FILL, 'exec "$real" "$@" -n 2000'), "2000 SETs of 4000"),
    ("redis-benchmark", only(FILL, 'exec "$real" "$@" -r 2000'), "of 4000 keys are there"),
    ("redis-benchmark", only(FILL, 'exec "$real" "$@" -d 512'), "a value has 512 bytes"),
    ("redis-benchmark", then(FILL, EVERY_OTHER), "a value is"),
    ("redis-benchmark", then(FILL, f"{ASK} LPUSH $({ASK} RANDOMKEY) x >/dev/null"),
     "errors were replied"),
    ("redis-benchmark", then("-t get", f"{ASK} LPUSH $({ASK} RANDOMKEY) x >/dev/null"),
     "errors were replied"),
    ("redis-benchmark", only("-t get", 'exec "$real" "$@" -n 2000'), "2000 reads of 4000"),
    ("redis-benchmark", only("-t get", 'exec "$real" "$@" -r 400000'), "hits in 4000 reads"),
    ("redis-benchmark", then("-t get", f"{ASK} DEL $({ASK} RANDOMKEY) >/dev/null"),
     "keys came or went"),
    ("redis-benchmark", then("-t get", EVERY_OTHER), "a value is"),
    ("redis-benchmark", '"$real" "$@" >/dev/null', "redis-benchmark said"),
    ("redis-benchmark", '"$real" "$@"; exit 1', "redis-benchmark ended with 1"),
    ("redis-cli", only("MGET", 'exec "$real" "$@" nothing'), "65 values of 64 keys"),
)
REDIS_SAVE = (
    ("redis-benchmark", only(SAVE_LOAD, 'exec "$real" "$@" -n 1000'), "5000 SETs of 6000"),
    ("redis-benchmark", only(SAVE_LOAD, "exit 3"), "redis-benchmark: "),
    ("redis-benchmark", then(SAVE_LOAD, EVERY_OTHER), "a value is"),
    ("redis-cli", only("BGSAVE", "exit 0"), "the save failed"),
    # the last look at the commands comes after the save
    ("redis-cli", only("commandstats", "[ ! -e dump.rdb ] || printf '~' | dd of=dump.rdb bs=1 "
                       'seek=100000 conv=notrunc status=none'),
     "redis-check-rdb ended with 1"),
    ("redis-check-rdb", "exit 0", "redis-check-rdb said"),
    ("redis-check-rdb", 'echo "Checksum OK"; echo "[info] 17 keys read"', "17 keys were saved"),
)
PSQL = '"${real%/*}/psql" -X -q -c'
CLAIM = r"printf 'number of transactions actually processed: {0}/{0}\ntps = 5.0\n'"
UPDATE = (
    ("pgbench", CLAIM.format(100), "transactions of 100"),
    ("pgbench", 'exec "$real" "$@" -t 7', "pgbench did not do all"),
    ("pgbench", '"$real" "$@" | sed "s/failed transactions: 0/failed transactions: 3/"',
     "pgbench did not do all"),
    ("pgbench", '"$real" "$@" | grep -v "^tps"', "pgbench told no rate"),
    ("pgbench", '"$real" "$@"; exit 2', "pgbench: "),
    ("pgbench", then("", f'{PSQL} "UPDATE pgbench_accounts SET abalance = 1 + abalance '
                     'WHERE aid = 1"'), "sums of accounts"),
    ("pgbench", then("", f'{PSQL} "UPDATE pgbench_tellers SET tbalance = 1 + tbalance '
                     'WHERE tid = 1"'), "sums of accounts"),
    ("pgbench", then("", f'{PSQL} "UPDATE pgbench_branches SET bbalance = 1 + bbalance"'),
     "sums of accounts"),
    ("pgbench", then("", f'{PSQL} "UPDATE pgbench_history SET delta = 1 + delta"'),
     "sums of accounts"),
    ("pgbench", then("", f'{PSQL} "INSERT INTO pgbench_history (delta) VALUES (0)"'),
     "302 lines of 300"),
    ("pgbench", then("", f'{PSQL} "BEGIN; ROLLBACK"'), "1 rollbacks"),
    ("pgbench", then("", f'{PSQL} "SELECT pg_terminate_backend(pg_backend_pid())" 2>/dev/null'),
     "the server counted 1 "),
)
SELECT = (
    ("pgbench", CLAIM.format(200), "transactions of 200"),
    ("pgbench", f'{PSQL} "DELETE FROM pgbench_accounts WHERE aid % 2 = 0"; {ALL_WELL}',
     "rows of 200"),
    ("pgbench", 'for word; do shift; [ "$word" = -C ] || set -- "$@" "$word"; done; '
     + ALL_WELL, "sessions of 40"),
    ("pgbench", then("-C", f'{PSQL} "UPDATE pgbench_accounts SET abalance = 1 WHERE aid = 1"'),
     "reads changed the table"),
)


def write(folder, name, real, work):
    """The stand-in, which servers' users may run as well."""
    path = os.path.join(folder, name)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with open(path, "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\nreal={real}\n{work}\n")
    os.chmod(path, 0o755)


def void(workload, place, name, text):
    """The sample fails, and says this."""
    workload.known = {}
    try:
        check_sample(workload, workload.sample(place, GLIBC))
    except SampleError as error:
        if text not in str(error):
            pg64test.fail(f"{workload.name}, {name}: the error says {error}, not {text!r}")
    else:
        pg64test.fail(f"{workload.name}, {name}: nothing was noticed, {text!r} should be")
    print(f"{workload.name}: {name}: noticed: {text}", flush=True)


@contextlib.contextmanager
def path_first(folder):
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}:{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def try_redis(workload, cases, top):
    """Clients are found by PATH."""
    place = Place(BUILD, os.path.join(top, workload.name), tiny=True)
    programs = os.path.join(place.folder, "bin")
    os.makedirs(programs)
    workload.prepare(place)
    with path_first(programs):
        for name, work, text in (("redis-cli", ALL_WELL, None), *cases):
            real = shutil.which(name, path=os.environ["PATH"].partition(":")[2])
            write(programs, name, real, work)
            if text:
                void(workload, place, name, text)
            else:
                check_sample(workload, workload.sample(place, GLIBC))
            os.unlink(os.path.join(programs, name))


def try_postgres(workload, cases, top):
    """Clients are found beside the server, here by links to all of its programs."""
    place = Place(BUILD, os.path.join(top, workload.name), tiny=True)
    programs = os.path.join(place.folder, "bin")
    os.makedirs(programs)
    try:
        workload.prepare(place)
        bindir, workload.cluster.bindir = workload.cluster.bindir, programs
        for name in os.listdir(bindir):
            os.symlink(os.path.join(bindir, name), os.path.join(programs, name))
        check_sample(workload, workload.sample(place, GLIBC))
        for name, work, text in cases:
            write(programs, name, os.path.join(bindir, name), work)
            void(workload, place, name, text)
    finally:
        workload.close(place)


TRIALS = {"redis": (try_redis, ((Redis, REDIS), (RedisSave, REDIS_SAVE))),
          "postgres": (try_postgres, ((PostgresUpdate, UPDATE), (PostgresSelect, SELECT)))}


def main(names):
    lacking = []
    for name in names or TRIALS:
        trial, workloads = TRIALS[name]
        for kind, cases in workloads:
            workload = kind()
            why = workload.missing()
            if why:
                lacking.append(f"{workload.name}: {why}")
                continue
            with tempfile.TemporaryDirectory(prefix="pg64-stand-ins.") as top:
                os.chmod(top, 0o755)  # servers run as another user
                trial(workload, cases, top)
    if lacking:
        pg64test.skip("; ".join(lacking))


if __name__ == "__main__":
    main(sys.argv[1:])
