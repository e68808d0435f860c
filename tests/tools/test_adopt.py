#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""pg64 adopt: what it would take of a process, and what it says where it cannot. That it really
moves memory is shown on the patched kernel, by tests/kernel/adopt.py."""
import ctypes
import errno
import json
import os
import subprocess
import unittest

from toolcase import ToolCase, clean_env, main

MIB = 1 << 20
MAP = """
import ctypes, mmap
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
def place(offset, size, flags, prot=3):
    at = libc.mmap(None, size + (1 << 20), 0, 0x22, -1, 0)
    libc.munmap(at, size + (1 << 20))
    return libc.mmap((at + 65535) // 65536 * 65536 + offset, size, prot, flags | 0x10, -1, 0)
"""
# A kernel that has the advice, and refuses ranges with a certain address in them.
REFUSING = """
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
long syscall(long number, long a, long b, long c, long d, long e, long f)
{
	long (*next)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	unsigned long bad = strtoul(getenv("BAD_ADDRESS"), NULL, 0);
	const struct iovec *range = (const struct iovec *)b;
	long done = 0;

	if (number == SYS_madvise)
		return 0;
	if (number != SYS_process_madvise)
		return next(number, a, b, c, d, e, f);
	for (long i = 0; i < c; i++) {
		if (bad - (unsigned long)range[i].iov_base < range[i].iov_len) {
			errno = atoi(getenv("BAD_ERRNO"));
			return i ? done : -1;
		}
		done += (long)range[i].iov_len;
	}
	return done;
}
"""
PRIVATE, SHARED, STACK = 0x22, 0x21, 0x122


def kernel():
    """errno with which this kernel answers the probe of MADV_PAGESIZE_64K; 0: it has it."""
    libc = ctypes.CDLL(None, use_errno=True)
    return ctypes.get_errno() if libc.madvise(None, 0, 164) else 0


class Adopt(ToolCase):
    def setUp(self):
        super().setUp()
        self.status = 3 if kernel() else 0

    def start(self, code="", prefix=()):
        return self.start_python(f"{MAP}\n{code}", prefix)

    def plan(self, *words, status=None, **options):
        """The object of a dry run."""
        said = self.expect(self.status if status is None else status, "adopt", "--dry-run",
                           "--json", *words, **options)
        return json.loads(said.stdout)

    def test_kernel_without_patches(self):
        if not kernel():
            self.skipTest("this kernel has the patches")
        for words in ([os.getpid()], ["--json", os.getpid()], ["--undo", os.getpid()]):
            said = self.expect(3, "adopt", *words)
            self.assertEqual(said.stdout, "")
            self.assertIn("kernel-patch/README.md", self.one_line(said.stderr))
            self.assertIn("pg64 run", said.stderr)

    def test_what_would_be_adopted(self):
        plain = self.plan(self.start())["processes"][0]
        data = self.plan(self.start(
            f"place(0, 8 << 20, {PRIVATE}); place(0, 4 << 20, {SHARED}); "
            f"place(0, 2 << 20, {PRIVATE}, 0)"))["processes"][0]
        grown = data["advised_bytes"] - plain["advised_bytes"]
        self.assertLessEqual(abs(grown - 14 * MIB), MIB, data["advised_bytes"])
        self.assertEqual(data["state"], "would-adopt")
        self.assertEqual(data["refused"], [])
        self.assertEqual(data["before"], data["after"])
        self.assertGreater(data["left"]["stack"]["bytes"], 0)
        self.assertGreater(data["left"]["file"]["resident_bytes"], 0)

    def test_misplaced(self):
        """Shared memory between granules: no folio can be mapped there as a whole."""
        data = self.plan(self.start(f"place(4096, 4 << 20, {SHARED})"))["processes"][0]
        self.assertEqual(data["left"]["misplaced"]["bytes"], 4 * MIB)

    def test_file_on_tmpfs(self):
        """A mapped file is memory where it is on a tmpfs, as the process's own mounts tell."""
        self.need_root()
        code = ("import os; f = os.open('file', os.O_RDWR | os.O_CREAT); os.ftruncate(f, 4 << 20);"
                "x = mmap.mmap(f, 4 << 20)")
        script = 'mount -t "$0" pg64 "$1" && cd "$1" && shift && exec "$@"'
        found = {}
        for kind in ("tmpfs", "ramfs"):
            prefix = ("unshare", "-m", "sh", "-c", script, kind, self.folder)
            if subprocess.run([*prefix, "true"], check=False).returncode:
                self.skipTest("cannot mount")
            data = self.plan(self.start(code, prefix))["processes"][0]
            found[kind] = data["left"]["file"]["bytes"]
        self.assertEqual(found["ramfs"] - found["tmpfs"], 4 * MIB)

    def test_left_alone(self):
        code = (f"libc.madvise(ctypes.c_void_p(place(0, 3 << 20, {PRIVATE})), 3 << 20, 15); "
                f"place(0, 1 << 20, {STACK})")
        left = self.plan(self.start(code))["processes"][0]["left"]
        self.assertGreaterEqual(left["nohugepage"]["bytes"], 3 * MIB)
        self.assertGreaterEqual(left["stack"]["ranges"], 2)

    def test_refused_in_the_middle(self):
        """Of a range that has changed somewhere, no more is lost than the granule concerned."""
        shim = self.compile("refusing.so", "-shared", "-fPIC", "-D_GNU_SOURCE", source=REFUSING)
        pid = self.start(f"place(0, 64 << 20, {PRIVATE})")
        start = next(int(line.split("-")[0], 16)
                     for line in self.read(f"/proc/{pid}/maps").splitlines()
                     if int(line.split()[0].split("-")[1], 16)
                     - int(line.split("-")[0], 16) >= 64 * MIB and " rw-p " in line)
        for error, status in ((errno.EINVAL, 1), (errno.ENOMEM, 0), (errno.EAGAIN, 1)):
            said = self.expect(status, "adopt", "--json", pid, env=clean_env(
                LD_PRELOAD=shim, ASAN_OPTIONS="verify_asan_link_order=0",
                BAD_ADDRESS=hex(start + 10 * MIB), BAD_ERRNO=str(error)))
            data = json.loads(said.stdout)["processes"][0]
            (refused,) = data["refused"]
            self.assertEqual((refused["errno"], refused["ranges"]), (error, 1))
            if error == errno.EAGAIN:
                self.assertGreaterEqual(refused["bytes"], 64 * MIB)
            else:
                self.assertEqual(refused["bytes"], 65536)
                self.assertGreaterEqual(data["advised_bytes"], 64 * MIB - 65536)

    def test_family(self):
        """Each process once, its own and those of a PID that is named twice."""
        pid = self.start("import os, time\nif not os.fork(): time.sleep(60)")
        data = self.plan("--all", pid, pid)
        self.assertEqual(len(data["processes"]), 2)
        self.assertEqual(data["processes"][0]["pid"], pid)
        self.assertEqual(data["total"]["advised_bytes"],
                         sum(one["advised_bytes"] for one in data["processes"]))
        self.assertEqual(self.plan("--tree", pid)["processes"][1]["pid"],
                         data["processes"][1]["pid"])
        self.assertEqual(len(self.plan(pid)["processes"]), 1)

    def test_text(self):
        said = self.expect(self.status, "adopt", "--dry-run", self.start())
        self.assertIn("python", said.stdout)
        self.assertIn("would be ", said.stdout)
        self.assertIn("all, PSS", said.stdout)

    def test_gone(self):
        """Those that are there are adopted all the same."""
        with subprocess.Popen(["true"]) as child:
            gone = child.pid
            child.wait()
        pid = self.start()
        said = self.expect(self.status or 1, "adopt", "--dry-run", "--json", gone, pid)
        self.assertIn(f"no process {gone}: ", said.stderr.splitlines()[0])
        states = {one["pid"]: one["state"] for one in json.loads(said.stdout)["processes"]}
        self.assertEqual(states, {gone: "ended", pid: "would-adopt"})

    def test_thread(self):
        pid = self.start("import threading, time\n"
                         "threading.Thread(target=time.sleep, args=[60], daemon=True).start()")
        thread = max(map(int, os.listdir(f"/proc/{pid}/task")))
        said = self.expect(self.status or 1, "adopt", "--dry-run", thread)
        self.assertIn(f"{thread} is a thread", said.stderr.splitlines()[0])

    def test_kernel_thread(self):
        try:
            if not int(self.read("/proc/2/stat").rpartition(")")[2].split()[6]) & 0x200000:
                raise FileNotFoundError
        except FileNotFoundError:
            self.skipTest("no thread of the kernel is to be seen")
        said = self.expect(self.status or 1, "adopt", "--dry-run", 2)
        self.assertIn("2 is a thread of the kernel", said.stderr.splitlines()[0])
        self.assertEqual(said.stdout, "")

    def test_of_another_user(self):
        self.need_root()
        pid = self.start()
        said = self.expect(self.status or 1, "adopt", "--undo", "--dry-run", "--all", pid,
                           prefix=self.unprivileged())
        self.assertIn(f"sudo pg64 adopt --all --dry-run --undo {pid}", said.stderr.splitlines()[0])
        self.assertEqual(said.stdout, "")

    def test_large_pages_disabled(self):
        pid = self.start("libc.prctl(41, 1, 0, 0, 0)")
        if "\nTHP_enabled:\t0" not in self.read(f"/proc/{pid}/status"):
            self.skipTest("this kernel does not show PR_SET_THP_DISABLE")
        said = self.expect(self.status or 1, "adopt", "--dry-run", pid)
        self.assertIn("PR_SET_THP_DISABLE", said.stderr.splitlines()[0])

    @staticmethod
    def read(path):
        with open(path, encoding="utf-8") as file:
            return file.read()


if __name__ == "__main__":
    unittest.TestCase.maxDiff = None
    main()
