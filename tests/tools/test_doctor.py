#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""pg64 doctor: captured machines, this machine, programs of each kind, processes."""
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import knobs  # noqa: E402
from toolcase import NOBODY, SYSFS, THP, TIMEOUT_S, TOOL, ToolCase, clean_env, main  # noqa: E402

ALLOCATOR = """
#include <stddef.h>
static char pool[1 << 20]; static size_t used;
void *malloc(size_t n) { used += (n + 15) / 16 * 16; return pool + used - (n + 15) / 16 * 16; }
void free(void *p) { (void)p; }
void *mi_malloc(size_t n) { return malloc(n); }
int main(void) { return 3; }
"""


class Captured(ToolCase):
    def doctor(self, name, status):
        data, found = self.findings(f"--root={os.path.join(SYSFS, name)}", status=status)
        self.assertFalse(data["probed"])
        self.assertEqual(data["probes"], [])
        self.assertIn("skipped", found["probing"]["text"])
        return data, found

    def test_off(self):
        _, found = self.doctor("vm-6.18", 1)
        self.assertEqual(found["hugepages-64kB/enabled"]["mend"], "sudo pg64 enable")
        self.assertEqual(found["hugepages-64kB/shmem_enabled"]["mend"], "sudo pg64 enable --shmem")
        self.assertEqual(found["heap"]["status"], "problem")
        self.assertIn("fences", found["hugepages-2048kB"]["text"])
        self.assertIn("does not have pg64's patches", found["pagesize_64k"]["text"])

    def test_on(self):
        data, found = self.doctor("madvise-64k", 0)
        self.assertEqual(data["backend"], {"heap": "mthp", "anon": "mthp", "shared": "mthp"})
        self.assertEqual(found["hugepages-64kB/enabled"]["status"], "ok")

    def test_old_kernel(self):
        _, found = self.doctor("debian-6.1", 1)
        self.assertEqual(found["hugepages-64kB/enabled"]["status"], "problem")
        # There is nothing that pg64 enable could set.
        self.assertIsNone(found["heap"]["mend"])

    def test_nothing_there(self):
        data, found = self.findings(f"--root={self.folder}", status=1)
        self.assertFalse(data["heap_64k"])
        self.assertEqual(found["PMD size"]["status"], "note")

    def test_limits(self):
        root = self.capture("madvise-64k")
        self.write("root/proc/sys/kernel/osrelease", "9.9.9-test\n")
        self.write("root/proc/sys/vm/overcommit_memory", "2\n")
        self.write("root/proc/sys/vm/max_map_count", "1000\n")
        self.write("root/proc/self/limits",
                   "Limit                     Soft Limit           Hard Limit           Units\n"
                   "Max data size             unlimited            unlimited            bytes\n"
                   "Max locked memory         8388608              8388608              bytes\n"
                   "Max address space         1073741824           unlimited            bytes\n")
        self.write("root/proc/self/status", "Name:\tx\nTHP_enabled:\t0\nSeccomp:\t0\n")
        self.write("root/proc/self/cgroup", "0::/a/b\n")
        self.write("root/sys/fs/cgroup/a/memory.max", "536870912\n")
        self.write("root/sys/fs/cgroup/a/b/memory.max", "max\n")
        self.write(f"root/{THP}/defrag", "always defer defer+madvise madvise [never]\n")
        _, found = self.findings(f"--root={root}")
        self.assertIn("9.9.9-test", found["release"]["text"])
        self.assertEqual(found["RLIMIT_AS"]["mend"], "ulimit -v unlimited")
        self.assertEqual(found["RLIMIT_DATA"]["status"], "ok")
        self.assertIn("8 MiB", found["RLIMIT_MEMLOCK"]["text"])
        self.assertEqual(found["overcommit_memory"]["mend"], "sudo sysctl vm.overcommit_memory=0")
        self.assertEqual(found["max_map_count"]["status"], "note")
        self.assertIn("512 MiB", found["cgroup memory"]["text"])
        self.assertEqual(found["PR_SET_THP_DISABLE"]["status"], "problem")
        self.assertTrue(found["defrag"]["mend"].startswith("echo madvise | sudo tee /sys/"))

    def test_cgroup_v1(self):
        root = self.capture("madvise-64k")
        self.write("root/proc/self/cgroup", "4:memory:/x\n0::/\n")
        self.write("root/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1073741824\n")
        self.write("root/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
        _, found = self.findings(f"--root={root}")
        self.assertIn("1 GiB", found["cgroup memory"]["text"])

    def test_patched_kernel(self):
        root = self.capture("vm-6.18")
        self.write("root/proc/sys/vm/pagesize_64k", "1\n")
        self.write("root/proc/sys/vm/pagesize_64k_cow", "0\n")
        data, found = self.findings(f"--root={root}", status=0)
        self.assertEqual(set(data["backend"].values()), {"patched"})
        self.assertEqual(found["pagesize_64k"]["status"], "ok")
        self.assertIn("has pg64's patches", found["pagesize_64k"]["text"])
        self.assertEqual(found["pagesize_64k_cow"]["status"], "note")
        self.assertEqual(found["pagesize_64k_cow"]["mend"], "sudo sysctl vm.pagesize_64k_cow=1")
        self.write("root/proc/sys/vm/pagesize_64k_cow", "1\n")
        _, found = self.findings(f"--root={root}", status=0)
        self.assertEqual(found["pagesize_64k_cow"]["status"], "ok")

    def test_patched_kernel_switched_off(self):
        root = self.capture("vm-6.18")
        self.write("root/proc/sys/vm/pagesize_64k", "0\n")
        _, found = self.findings(f"--root={root}", status=1)
        self.assertEqual(found["pagesize_64k"]["status"], "problem")
        self.assertEqual(found["pagesize_64k"]["mend"], "sudo sysctl vm.pagesize_64k=1")
        self.assertNotIn("pagesize_64k_cow", found)

    def test_every_finding(self):
        """Each has the members that are promised, and no problem of a knob is without a line."""
        for name in sorted(os.listdir(SYSFS)):
            if os.path.isdir(os.path.join(SYSFS, name)):
                data, _ = self.findings(f"--root={os.path.join(SYSFS, name)}")
                for finding in data["findings"]:
                    self.assertEqual(set(finding), {"group", "name", "status", "text", "mend"})
                    self.assertIn(finding["status"], ("ok", "note", "problem"))


class Machine(ToolCase):
    def test_probes(self):
        data, found = self.findings()
        self.assertTrue(data["probed"])
        self.assertEqual(len(data["probes"]), 12)
        for kind in ("heap", "anon", "shared"):
            works = [probe["backend"] for probe in data["probes"]
                     if probe["kind"] == kind and probe["works"]]
            self.assertEqual(data["backend"][kind], works[0])
            self.assertIn(kind, found)
        self.assertEqual(data["heap_64k"], data["backend"]["heap"] != "base")

    def test_thp_disabled(self):
        """Where the knobs are right and a parent forbade it, to set them again is no advice."""
        forbid = [sys.executable, "-c", "import ctypes, os, sys; "
                  "assert ctypes.CDLL(None).prctl(41, 1, 0, 0, 0) == 0; "
                  "os.execv(sys.argv[1], sys.argv[1:])"]
        try:
            with knobs.Knobs("mthp"):
                data, found = self.findings(prefix=forbid)
        except knobs.Unavailable as reason:
            self.skipTest(str(reason))
        self.assertEqual(data["backend"]["heap"], "base")
        self.assertEqual(found["PR_SET_THP_DISABLE"]["status"], "problem")
        for name in ("heap", "anon", "shared"):
            self.assertIsNone(found[name]["mend"])

    def test_text(self):
        said = self.tool("doctor")
        self.assertIn("64 KiB pages for the heap: ", said.stdout)
        self.assertEqual(said.returncode, 0 if said.stdout.endswith("yes\n") else 1)

    def test_unprivileged(self):
        said = self.tool("doctor", prefix=self.unprivileged())
        self.assertIn(said.returncode, (0, 1))
        self.assertEqual(said.stderr, "")

    def test_options(self):
        _, found = self.findings(env=clean_env(PG64_PMD="allow", PG64_VERBOSE="nonsense"))
        self.assertEqual(found["pg64_pmd"]["status"], "ok")
        self.assertEqual(found["pg64_verbose"]["mend"], "unset PG64_VERBOSE")


class Programs(ToolCase):
    def program(self, path, status=None):
        return self.findings(path, status=status)[1]

    def test_plain(self):
        found = self.program(self.compile("plain"))
        self.assertEqual(found["linking"]["status"], "ok")
        self.assertEqual(found["allocator"]["status"], "ok")
        self.assertEqual(found["set-id"]["status"], "ok")

    def test_static(self):
        found = self.program(self.compile("static", "-static"), status=1)
        self.assertEqual(found["linking"]["status"], "problem")
        self.assertIn("hugepages-64kB/enabled", found["linking"]["mend"])

    def test_libpg64_linked_in(self):
        for name, flags in (("dynamic", ()), ("static", ("-static",))):
            with self.subTest(name):
                found = self.program(self.compile_with_pg64(name, *flags))
                self.assertEqual(found["linking"]["status"], "ok")
                self.assertIn(f"{name}, with libpg64.a linked in", found["linking"]["text"])
                self.assertEqual(found["allocator"]["status"], "ok")

    def test_static_pie(self):
        found = self.program(self.compile("static", "-static-pie"), status=1)
        self.assertEqual(found["linking"]["status"], "problem")

    def test_asan(self):
        found = self.program(self.compile("asan", "-fsanitize=address"), status=1)
        self.assertIn("AddressSanitizer", found["sanitizer"]["text"])

    def test_tsan(self):
        found = self.program(self.compile("tsan", "-fsanitize=thread"), status=1)
        self.assertIn("ThreadSanitizer", found["sanitizer"]["text"])

    def test_set_id(self):
        self.need_root()
        path = self.compile("setid")
        os.chown(path, NOBODY, NOBODY)
        os.chmod(path, 0o4755)
        found = self.program(path, status=1)
        self.assertEqual(found["set-id"]["status"], "problem")

    def test_file_capabilities(self):
        self.need_root()
        path = self.compile("caps")
        if not shutil.which("setcap") or subprocess.run(
                ["setcap", "cap_net_raw+ep", path], check=False).returncode:
            self.skipTest("file capabilities cannot be set here")
        self.assertIn("file capabilities", self.program(path)["set-id"]["text"])

    def test_exported_allocator(self):
        found = self.program(self.compile("own", "-rdynamic", "-fno-builtin", source=ALLOCATOR))
        self.assertIn("exported", found["allocator"]["text"])
        self.assertIn("mimalloc", found["allocator"]["text"])
        self.assertTrue(found["allocator"]["mend"].startswith("pg64 run --no-malloc -- "))

    def test_hidden_allocator(self):
        found = self.program(self.compile("own", "-fvisibility=hidden", "-fno-builtin",
                                          source=ALLOCATOR))
        self.assertIn("compiled in", found["allocator"]["text"])

    def test_linked_jemalloc(self):
        redis = shutil.which("redis-server")
        if not redis or "libjemalloc" not in subprocess.run(
                ["ldd", redis], stdout=subprocess.PIPE, text=True, check=False).stdout:
            self.skipTest("no redis-server with jemalloc")
        found = self.program("redis-server")
        self.assertIn("jemalloc", found["allocator"]["text"])
        self.assertEqual(found["allocator"]["mend"], "pg64 run --no-malloc -- redis-server")

    def test_go(self):
        path = self.compile("go", source='__attribute__((section(".go.buildinfo"), used)) '
                            "static int info = 1; int main(void) { return 3; }\n")
        self.assertEqual(self.program(path, status=1)["Go"]["status"], "problem")

    def test_dlopen(self):
        path = self.compile("dl", "-ldl", source='#include <dlfcn.h>\n'
                            'int main(void) { return dlopen("", 1) != 0; }\n')
        self.assertIn("cannot be told", self.program(path)["dlopen"]["text"])

    def test_script(self):
        script = self.write("script", "#!/usr/bin/env -S sh -e\necho x\n", 0o755)
        found = self.program(script)
        self.assertIn(script, found["script"]["text"])
        self.assertEqual(found["linking"]["status"], "ok")

    def test_script_loop(self):
        path = self.path("loop")
        self.write("loop", f"#!{path}\n", 0o755)
        self.program(path)

    def test_not_found(self):
        self.one_line(self.expect(1, "doctor", "pg64-no-such-command").stderr)
        self.one_line(self.expect(1, "doctor", "./nope").stderr)


class Processes(ToolCase):
    def start(self, *prefix):
        """A process with a few MiB of heap that sleeps until it is killed."""
        return self.start_python("x = [bytearray(100000) for i in range(200)]", prefix)

    def test_with_pg64(self):
        pid = self.start(TOOL, "run", "--backend=base", "--")
        _, found = self.findings(pid, status=1)
        self.assertIn("libpg64.so", found["libpg64"]["text"])
        self.assertEqual(found["libpg64"]["status"], "ok")
        self.assertEqual(found["seccomp"]["status"], "ok")
        self.assertIn("file", found)

    def test_without_pg64(self):
        _, found = self.findings(self.start(), status=1)
        self.assertEqual(found["libpg64"]["status"], "problem")
        self.assertTrue(found["libpg64"]["mend"].startswith("pg64 run -- "))

    def test_of_another_user(self):
        pid = self.start(TOOL, "run", "--")
        if os.geteuid() != 0:
            self.skipTest("needs root to have two users")
        said = self.tool("doctor", pid, prefix=self.unprivileged())
        self.assertEqual(said.stderr, "")
        self.assertIn(f"sudo pg64 doctor {pid}", said.stdout)

    def test_gone(self):
        pid = self.start()
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + TIMEOUT_S
        # A zombie is gone, too.
        while self.tool("doctor", pid).returncode != 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertIn("no process", self.one_line(self.expect(1, "doctor", pid).stderr))
        self.one_line(self.expect(1, "doctor", "2147483647").stderr)


if __name__ == "__main__":
    unittest.TestCase.maxDiff = None
    main()
