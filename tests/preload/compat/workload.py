# SPDX-License-Identifier: MIT
"""Work for python under pg64: what it prints depends on nothing but its input."""
import ctypes
import decimal
import hashlib
import json
import mmap
import multiprocessing
import os
import pickle
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import zlib


def numbers(seed, count):
    source = random.Random(seed)
    return [source.randrange(1 << 40) for _ in range(count)]


def containers():
    table = {f"key {n}": [n, str(n), (n, n * 1.5)] for n in numbers(1, 120_000)}
    print(len(table), sum(value[0] for value in table.values()))
    for key in sorted(table)[::3]:
        del table[key]
    print(hashlib.sha256(repr(sorted(table.items())[:5000]).encode()).hexdigest())
    print(len(set(numbers(2, 200_000)) & set(numbers(3, 200_000))))
    text = json.dumps({"a": numbers(4, 50_000), "b": ["x" * (n % 97) for n in numbers(5, 20_000)]})
    print(len(text), json.loads(text)["a"][77], len(pickle.dumps(json.loads(text), 4)))


def strings():
    text = " ".join(f"w{n % 1013}" for n in numbers(6, 100_000))
    print(len(re.findall(r"\bw(\d)\1\d*\b", text)), len(re.sub(r"w(\d+)", r"<\1>", text)))
    packed = zlib.compress(text.encode() * 5, 6)
    print(zlib.crc32(zlib.decompress(packed)), hashlib.blake2b(text.encode() * 40).hexdigest())
    grown = bytearray()
    for i in range(3000):
        grown += bytes([i & 255]) * 4096
    print(len(grown), hashlib.md5(grown).hexdigest())


def memory():
    for flags in (mmap.MAP_PRIVATE, mmap.MAP_SHARED):
        with mmap.mmap(-1, 9 << 20, flags=flags | mmap.MAP_ANONYMOUS) as area:
            area[4096:8192] = b"q" * 4096
            if flags == mmap.MAP_PRIVATE:  # shared memory does not grow with its mapping
                area.resize(20 << 20)
            area.madvise(mmap.MADV_DONTNEED, 1 << 20, 1 << 20)
            print(area[4095:4098], area[-1], len(area))
    libc = ctypes.CDLL(None)
    libc.malloc.restype = libc.realloc.restype = ctypes.c_void_p
    libc.realloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    block = libc.malloc(100)
    ctypes.memset(block, 65, 100)
    for size in (1000, 70_000, 5 << 20, 200 << 20, 50):
        block = libc.realloc(block, size)
        print(size, ctypes.string_at(block, 50) == b"A" * 50)
    libc.free(block)


def threads():
    results = [0] * 8

    def work(slot):
        kept = [bytes(n % 5000) for n in numbers(slot, 4000)]
        results[slot] = sum(map(len, kept))
    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(results)


def square(n):
    return sum(len(str(i * i)) for i in range(n))


def processes():
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            print(pool.map(square, range(0, 20_000, 2500)))
    pid = os.fork()
    if pid == 0:
        os._exit(len([bytearray(100) for _ in range(50_000)]) % 251)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    print(subprocess.run(["sort"], input=b"b\na\n", stdout=subprocess.PIPE, check=True).stdout)


def database():
    with tempfile.TemporaryDirectory() as folder:
        base = sqlite3.connect(os.path.join(folder, "x.db"))
        base.execute("CREATE TABLE t(a, b)")
        base.executemany("INSERT INTO t VALUES(?, ?)", ((n, str(n)) for n in numbers(9, 30_000)))
        print(base.execute("SELECT count(*), max(a), min(b) FROM t").fetchone())
        base.close()


def main():
    containers()
    strings()
    memory()
    threads()
    processes()
    database()
    decimal.getcontext().prec = 2000
    print(zlib.crc32(str(decimal.Decimal(2).sqrt()).encode()), sys.version_info[:2])


if __name__ == "__main__":
    main()
