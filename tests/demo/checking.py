#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scripts/check ends a command that it runs when it is terminated itself, or the command's time is
up: by a signal that the command can act on, so that no test of it goes on alone."""
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SCRIPTS = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", "scripts"))
# A command that ends what it has started, if it is let.
COMMAND = """
trap 'kill $!; wait; echo ended >end; exit 1' TERM
sleep 1000 & echo $! >begun.new && mv begun.new begun; wait
"""
CHECK = f"""
import signal, sys
sys.path.insert(0, {SCRIPTS!r})
import check
check.BUILD = sys.argv[1]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
check.run("name", "sh", "-c", sys.argv[2], cwd=sys.argv[1], timeout=float(sys.argv[3]))
"""


class Ends(unittest.TestCase):
    def started(self, folder, timeout):
        return subprocess.Popen([sys.executable, "-c", CHECK, folder, COMMAND, str(timeout)],
                                stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})

    def nothing_is_left(self, folder):
        self.assertIn("end", os.listdir(folder))
        with open(os.path.join(folder, "begun"), encoding="ascii") as file:
            pid = int(file.read())
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, 0)

    def test_when_terminated(self):
        with tempfile.TemporaryDirectory() as folder, self.started(folder, 1000) as child:
            while not os.path.exists(os.path.join(folder, "begun")):
                self.assertIsNone(child.poll())
                time.sleep(0.05)
            child.send_signal(signal.SIGTERM)
            self.assertEqual(child.wait(50), 143)
            self.nothing_is_left(folder)

    def test_when_its_time_is_up(self):
        with tempfile.TemporaryDirectory() as folder, self.started(folder, 5) as child:
            said = child.communicate(timeout=50)[1].decode()
            self.assertIn("TimeoutExpired", said)
            self.nothing_is_left(folder)


if __name__ == "__main__":
    unittest.main()
