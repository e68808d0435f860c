#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compatibility of servers: server.py redis|postgres"""
import os
import shutil
import sys
import tempfile
import time

from harness import Failure, compare, first_difference, is_active, need
import pg64test
from postgres import Cluster, PostgresError, find_bindir


def wait_for(what, question, timeout=60):
    end = time.monotonic() + timeout
    while not question():
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {timeout} s")
        time.sleep(0.05)


def redis_server(run):
    """Start one on a unix socket and return a function that asks it."""
    server = run.start("redis-server", "--port", "0", "--unixsocket", run.path("sock"),
                       "--save", "", "--appendonly", "no", "--dir", run.folder, "--daemonize", "no",
                       "--enable-debug-command", "local")

    def ask(*words, **options):
        return run.run("redis-cli", "-s", run.path("sock"), *words, **options)

    def up():
        if server.poll() is not None:
            with open(run.path("server.log"), encoding="utf-8", errors="replace") as log:
                raise Failure(f"redis-server ended: {log.read()[-1500:]}")
        return ask("PING", record=False, status=None).strip() == "PONG"
    wait_for("redis-server", up)
    return server, ask


def redis(run):
    server, ask = redis_server(run)
    lines = [f"SET key:{i} {'v' * (i % 300)}{i}" for i in range(30_000)]
    lines += [f"HSET hash:{i % 50} f{i} {i * i}" for i in range(20_000)]
    lines += [f"RPUSH list:{i % 20} e{'e' * (i % 2000)}" for i in range(10_000)]
    lines += [f"ZADD zset {i % 977} m{i}" for i in range(10_000)]
    lines += [f"APPEND big {'b' * 1000}" for _ in range(5_000)]
    lines += [f"DEL key:{i}" for i in range(0, 30_000, 3)]
    ask("--pipe", feed="\r\n".join(lines) + "\r\n", record=False)
    ask("DBSIZE")
    ask("GET", "key:29999")
    ask("STRLEN", "big")
    ask("ZRANGEBYSCORE", "zset", "5", "9", "LIMIT", "0", "20")
    ask("EVAL", "local t = {} for i = 1, 50000 do t[i] = tostring(i) end "
        "return #table.concat(t)", "0")
    ask("BGSAVE", record=False)
    for i in range(30):  # copy on write, while the child saves
        ask("--pipe", feed="".join(f"SET key:{i * 1000 + k} new{k}\r\n" for k in range(1000)),
            record=False)

    def saved():
        info = ask("INFO", "persistence", record=False)
        return "rdb_bgsave_in_progress:0" in info and "rdb_last_bgsave_status:ok" in info
    wait_for("BGSAVE", saved)
    ask("DEBUG", "DIGEST")
    ask("SAVE")
    ask("SHUTDOWN", "NOSAVE", record=False, status=None)
    run.keep("redis-server ended with", server.wait(30))
    server, ask = redis_server(run)
    ask("DEBUG", "DIGEST")
    ask("DBSIZE")
    ask("FLUSHALL")
    ask("SHUTDOWN", "NOSAVE", record=False, status=None)
    run.keep("redis-server ended again with", server.wait(30))


SQL = """
CREATE TABLE t AS SELECT i AS id, md5(i::text) AS m, repeat('x', i % 700) AS r
  FROM generate_series(1, 100000) i;
CREATE INDEX ON t(m);
ANALYZE t;
SET work_mem = '128MB';
SELECT count(*), min(m), max(m), sum(length(r)) FROM t;
SELECT id, m FROM t ORDER BY m OFFSET 50000 LIMIT 3;
SELECT count(*) FROM t a JOIN t b ON a.m = b.m;
SELECT md5(string_agg(m, ',' ORDER BY id)) FROM t;
SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT count(*), sum(id) FROM t WHERE r LIKE '%xxx%';
SET max_parallel_workers_per_gather = 0; SET jit = on; SET jit_above_cost = 0;
SELECT sum(id * 2 + length(m)) FROM t WHERE id % 3 = 1;
DELETE FROM t WHERE id % 2 = 0;
VACUUM FULL t;
SELECT id % 10 AS d, count(*), max(m) FROM t GROUP BY 1 ORDER BY 1;
DO $$ BEGIN FOR i IN 1..2000 LOOP PERFORM count(*) FROM generate_series(1, 50); END LOOP; END $$;
WITH RECURSIVE f(a, b) AS (SELECT 0::numeric, 1::numeric UNION ALL SELECT b, a + b FROM f
  WHERE b < 1e400) SELECT md5(max(b)::text) FROM f;
SELECT length(xmlagg(xmlelement(name e, m))::text) FROM t WHERE id < 3000;
CHECKPOINT;
"""


def postgres_once(top, env):
    """Everything of one server's life, initdb included, under `env`."""
    folder = tempfile.mkdtemp(dir=top)
    os.chmod(folder, 0o755)
    record = []
    cluster = Cluster(folder)
    clean = cluster.environment
    cluster.environment = lambda extra=None: {**clean(extra), **env}
    try:
        cluster.init({"shared_buffers": "256MB", "fsync": "off", "max_connections": 20})
        cluster.start()
        record.append(("queries", cluster.psql(SQL).encode()))
        cluster.run("pgbench", "-i", "-q", "-s", "2", "postgres")
        cluster.run("pgbench", "-n", "-c", "4", "-j", "2", "-t", "300", "postgres")
        record.append(("pgbench", cluster.psql(
            "SELECT count(*) FROM pgbench_history; SELECT sum(abalance) = sum(bbalance) FROM"
            " (SELECT sum(abalance) abalance FROM pgbench_accounts) a,"
            " (SELECT sum(bbalance) bbalance FROM pgbench_branches) b;").encode()))
        cluster.run("pg_dump", "-f", os.path.join(folder, "dump.sql"), "-t", "t", "postgres")
        with open(os.path.join(folder, "dump.sql"), "rb") as file:
            record.append(("dump", b"".join(line for line in file if not line.startswith(b"\\"))))
        cluster.stop()
        cluster.start()
        record.append(("after a restart", cluster.psql("SELECT count(*) FROM t;").encode()))
    except PostgresError as error:
        raise Failure(f"{error}\n{cluster.log_tail()}") from None
    finally:
        cluster.stop()
    return record


def postgres():
    if not find_bindir():
        pg64test.skip("no PostgreSQL server is installed")
    with tempfile.TemporaryDirectory(prefix="pg64-compat.") as top:
        os.chmod(top, 0o777)
        library = os.path.join(top, "libpg64.so")
        shutil.copy(pg64test.library(), library)
        os.chmod(library, 0o755)
        stats = os.path.join(top, "stats")
        try:
            expected = postgres_once(top, {})
            found = postgres_once(top, {"LD_PRELOAD": library, "PG64_STATS": stats,
                                        "PG64_STATS_FORMAT": "json"})
        except Failure as failure:
            pg64test.fail(str(failure))
        if expected != found:
            pg64test.fail(first_difference(expected, found))
        objects = pg64test.read_stats(stats)
        active = sum(is_active(item) for item in objects)
        servers = [item for item in objects if item.get("exe", "").endswith("/postgres")]
    if not active or not servers:
        pg64test.fail(f"pg64 was not active in the server: {len(objects)} statistics written")
    print(f"{len(expected)} results are the same; pg64 was active in {active} processes, "
          f"{len(servers)} of the server")


def main(argv):
    if len(argv) != 2 or argv[1] not in ("redis", "postgres"):
        sys.exit(__doc__)
    if argv[1] == "redis":
        need("redis-server", "redis-cli")
        compare(redis)
    else:
        postgres()


if __name__ == "__main__":
    main(sys.argv)
