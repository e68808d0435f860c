#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""pg64 enable and disable, on captured machines: what is set, undone, left alone."""
import json
import os
import unittest

from toolcase import THP, ToolCase, main

ENABLED = f"{THP}/hugepages-64kB/enabled"
SHMEM = f"{THP}/hugepages-64kB/shmem_enabled"
STATE = "run/pg64/knobs.json"
BOOT = "etc/tmpfiles.d/pg64.conf"


class Knobs(ToolCase):
    def setUp(self):
        super().setUp()
        self.root = self.capture("vm-6.18")

    def get(self, name):
        with open(os.path.join(self.root, name), encoding="utf-8") as file:
            text = file.read().strip()
        return text.split("[")[1].split("]")[0] if "[" in text else text

    def put(self, name, text):
        self.write(os.path.join("root", name), text)

    def there(self, name):
        return os.path.exists(os.path.join(self.root, name))

    def pg64(self, status, command, *options):
        return self.expect(status, command, f"--root={self.root}", *options)

    def test_round_trip(self):
        said = self.pg64(0, "enable")
        self.assertIn("never -> madvise", said.stdout)
        self.assertIn("MADV_HUGEPAGE", said.stdout)
        self.assertEqual((self.get(ENABLED), self.get(SHMEM)), ("madvise", "never"))
        said = self.pg64(0, "disable")
        self.assertIn("madvise -> never", said.stdout)
        self.assertEqual(self.get(ENABLED), "never")
        self.assertFalse(self.there(STATE))

    def test_only_these_knobs(self):
        before = {}
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), self.root)
                before[path] = self.get(path)
        self.pg64(0, "enable", "--shmem")
        changed = {path for path, value in before.items() if self.get(path) != value}
        self.assertEqual(changed, {ENABLED, SHMEM})
        self.pg64(0, "disable")
        self.assertEqual({path: self.get(path) for path in before}, before)

    def test_twice(self):
        self.pg64(0, "enable")
        self.pg64(0, "enable", "--shmem")
        self.pg64(0, "enable")
        with open(os.path.join(self.root, STATE), encoding="utf-8") as file:
            old = {knob["path"]: knob["old"] for knob in json.load(file)["knobs"]}
        self.assertEqual(old, {"/" + ENABLED: "never", "/" + SHMEM: "never"})
        self.pg64(0, "disable")
        self.assertEqual((self.get(ENABLED), self.get(SHMEM)), ("never", "never"))

    def test_inherited_value_comes_back(self):
        self.put(f"{THP}/enabled", "always madvise [never]\n")
        self.put(ENABLED, "always [inherit] madvise never\n")
        self.assertIn("inherit -> madvise", self.pg64(0, "enable").stdout)
        self.pg64(0, "disable")
        self.assertEqual(self.get(ENABLED), "inherit")

    def test_what_works_is_left_alone(self):
        for value in ("[always] inherit madvise never\n", "always inherit [madvise] never\n",
                      "always [inherit] madvise never\n"):
            with self.subTest(value):
                self.put(ENABLED, value)
                self.assertIn("left as it is", self.pg64(0, "enable").stdout)
                with open(os.path.join(self.root, ENABLED), encoding="utf-8") as file:
                    self.assertEqual(file.read(), value)
                self.assertFalse(self.there(STATE))

    def test_nothing_to_undo(self):
        self.put(ENABLED, "always inherit [madvise] never\n")
        said = self.pg64(1, "disable")
        self.assertIn("--force", self.one_line(said.stderr))
        self.assertEqual(self.get(ENABLED), "madvise")
        self.pg64(0, "disable", "--force")
        self.assertEqual(self.get(ENABLED), "never")

    def test_set_by_somebody_else(self):
        self.pg64(0, "enable")
        self.put(ENABLED, "[always] inherit madvise never\n")
        self.assertIn("left as it is", self.pg64(0, "disable").stdout)
        self.assertEqual(self.get(ENABLED), "always")
        self.assertFalse(self.there(STATE))

    def test_persist(self):
        self.pg64(0, "enable", "--persist", "--shmem")
        with open(os.path.join(self.root, BOOT), encoding="utf-8") as file:
            lines = [line.split() for line in file if not line.startswith("#")]
        self.assertEqual(lines, [["w", "/" + ENABLED, "-", "-", "-", "-", "madvise"],
                                 ["w", "/" + SHMEM, "-", "-", "-", "-", "advise"]])
        self.pg64(0, "disable")
        self.assertFalse(self.there(BOOT))
        self.assertEqual((self.get(ENABLED), self.get(SHMEM)), ("never", "never"))

    def test_persist_over_a_reboot(self):
        """The state file is gone then, and the values are those of the boot file."""
        self.pg64(0, "enable", "--persist")
        os.unlink(os.path.join(self.root, STATE))
        self.pg64(0, "enable")
        self.assertEqual(self.get(ENABLED), "madvise")
        if self.there(STATE):
            os.unlink(os.path.join(self.root, STATE))
        self.pg64(0, "disable", "--persist")
        self.assertEqual(self.get(ENABLED), "never")
        self.assertFalse(self.there(BOOT))

    def test_persist_what_is_set_already(self):
        """always must not become madvise at the next boot."""
        self.put(ENABLED, "[always] inherit madvise never\n")
        self.pg64(0, "enable", "--persist")
        with open(os.path.join(self.root, BOOT), encoding="utf-8") as file:
            self.assertIn("- - - - always\n", file.read())
        self.pg64(0, "disable")
        self.assertEqual(self.get(ENABLED), "always")

    def test_foreign_boot_file(self):
        self.write(os.path.join("root", BOOT), "# mine\n")
        self.pg64(0, "enable")
        self.pg64(0, "disable")
        self.assertTrue(self.there(BOOT))

    def test_old_kernel(self):
        os.unlink(os.path.join(self.root, SHMEM))
        said = self.pg64(1, "enable", "--shmem")
        self.assertIn("sudo pg64 enable", self.one_line(said.stderr))
        self.assertEqual(self.get(ENABLED), "never")
        self.assertFalse(self.there(STATE))
        os.unlink(os.path.join(self.root, ENABLED))
        said = self.pg64(1, "enable")
        self.assertIn("pg64 doctor", self.one_line(said.stderr))

    def test_damaged_state(self):
        self.write(os.path.join("root", STATE), "{ nonsense")
        for command in ("enable", "disable"):
            self.assertIn("damaged", self.one_line(self.pg64(1, command).stderr))
        self.write(os.path.join("root", STATE), json.dumps({"pg64_knobs": 1, "knobs": [
            {"path": "/" + ENABLED, "old": "../../evil\n"}, {"path": 3}, 7, None]}))
        self.pg64(0, "disable")
        self.assertEqual(self.get(ENABLED), "never")

    def test_needs_root(self):
        for command, option in (("enable", "--shmem"), ("disable", "--force")):
            said = self.expect(1, command, option, prefix=self.unprivileged())
            self.assertIn(f"sudo pg64 {command} {option}", self.one_line(said.stderr))

    def test_cannot_be_set(self):
        os.unlink(os.path.join(self.root, ENABLED))
        os.mkdir(os.path.join(self.root, ENABLED))
        self.one_line(self.pg64(1, "enable").stderr)


if __name__ == "__main__":
    unittest.TestCase.maxDiff = None
    main()
