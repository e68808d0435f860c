#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the demo and the benchmarks count of a server's processes that end meanwhile: each fault
once. The server here is one that waits for its child when it is told to."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import pages  # noqa: E402
import pg64test  # noqa: E402
from postgres import Cluster  # noqa: E402

PAGES, SLACK = 4096, 1024  # that the child touches; that the server may besides
SERVER = f"""
import mmap, os, signal, sys
go_in, go_out = os.pipe()
said_in, said_out = os.pipe()
child = os.fork()
if child == 0:
    memory = mmap.mmap(-1, {PAGES} * 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range({PAGES}):
        memory[page * 4096] = 1
    os.write(said_out, b"x")
    os.read(go_in, 1)
    os._exit(0)
os.read(said_in, 1)
print(child, flush=True)
for line in sys.stdin:
    if line == "end\\n":
        os.write(go_out, b"x")
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    else:
        os.waitpid(child, 0)
    print("done", flush=True)
"""


def check(held, message):
    if not held:
        pg64test.fail(message)


class Server:
    """The server, and a cluster that takes it for its own."""

    def __enter__(self):
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True)
        self.child = int(self.process.stdout.readline())
        self.cluster = Cluster.__new__(Cluster)
        self.cluster.server = self.process
        return self

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def tell(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        check(self.process.stdout.readline() == "done\n", f"the server did not {word}")


def what_ends_is_waited_for():
    with Server() as server:
        is_client = Cluster._is_client  # pylint: disable=protected-access
        check(not is_client(server.child), "a process of another title was taken for a client's")
        server.tell("end")
        check(is_client(server.child), "a process that has ended was not waited for")
        server.tell("wait")
        check(not is_client(server.child), "a process that is gone was taken for a client's")


def each_fault_once():
    """The child is waited for right after the 1st, 2nd, or 3rd reading."""
    real = pages.faults
    for moment in (1, 2, 3):
        with Server() as server:
            server.tell("end")
            readings = 0

            def reading(pid):
                nonlocal readings
                found = real(pid)
                readings += 1
                if readings == moment:  # pylint: disable=cell-var-from-loop
                    server.tell("wait")  # pylint: disable=cell-var-from-loop
                return found

            pages.faults = reading
            try:
                found = server.cluster.minor_faults()
            finally:
                pages.faults = real
            wanted = sum(real(server.process.pid))
            check(PAGES <= wanted - SLACK / 4, f"the child had {wanted} only")
            check(abs(found - wanted) < SLACK,
                  f"waited for after reading {moment}: {found}, not {wanted}")


if __name__ == "__main__":
    what_ends_is_waited_for()
    each_fault_once()
