# SPDX-License-Identifier: MIT
"""kernel-patch/objdiff on small objects of our own: what counts as a difference, and what does not.
No kernel is needed."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
OBJDIFF = os.path.join(HERE, "..", "..", "kernel-patch", "objdiff")
# Each function in assembly, since a compiler may do as it likes.
ONE = """
one:    test %edi, %edi
        je 1f
        call other
        mov table+8(%rip), %eax
1:      ret
        .p2align 4
"""
TWO = """
two:    lea words(%rip), %rdi
        jmp one
        .p2align 4
"""
# A jump that is patched at run time, as the kernel notes it down.
KEYED = """
keyed:
2:      .byte 0x0f, 0x1f, 0x44, 0, 0
        js 3f
        ret
3:      ud2
        .p2align 4
        .pushsection __jump_table, "aw"
        .long 2b - ., 3b - .
        .quad key - .
        .popsection
"""
DATA = "        .data\n        .long {0}\nwords:  .long 1\n"


def function(text):
    return "        .type {0}, @function\n".format(text.split(":")[0].strip()) + text


class Objects(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="pg64-objdiff-")
        self.addCleanup(holder.cleanup)
        self.folder = holder.name

    def object(self, name, *texts, data=""):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        source = ".text\n" + "".join(map(function, texts)) + DATA.format("0" + data)
        subprocess.run(["as", "-o", path, "-"], input=source, text=True, check=True)
        return path

    def run_on(self, *words, given=None):
        said = subprocess.run([OBJDIFF, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              input=given or "", text=True, timeout=60, check=False)
        return said.returncode, said.stdout

    def differ(self, *texts):
        """Names of the functions that differ from ONE and TWO."""
        status, said = self.run_on(self.object("old.o", ONE, TWO), self.object("new.o", *texts))
        self.assertEqual(status, 0, said)
        return [line.split(":")[0].strip() for line in said.splitlines()[1:]]

    def test_same(self):
        self.assertEqual(self.differ(ONE, TWO), [])

    def test_moved(self):
        """Other addresses, another order, other offsets of data: the same code."""
        self.assertEqual(self.differ(KEYED, TWO, ONE), ["keyed"])
        old = self.object("old.o", ONE, TWO)
        status, said = self.run_on(old, self.object("new.o", TWO, ONE, data=", 0, 0, 0"))
        self.assertEqual((status, said), (0, "old.o: 2 functions in both, 0 differ\n"))

    def test_instruction(self):
        self.assertEqual(self.differ(ONE.replace("je", "jne"), TWO), ["one"])
        self.assertEqual(self.differ(ONE, TWO.replace("lea", "mov")), ["two"])

    def test_target_of_a_jump(self):
        """All instructions are the same, but one goes elsewhere."""
        moved = ONE.replace("1:      ret", "        ret").replace("        mov", "1:      mov")
        self.assertEqual(self.differ(moved, TWO), ["one"])

    def test_callee(self):
        self.assertEqual(self.differ(ONE.replace("other", "another"), TWO), ["one"])
        self.assertEqual(self.differ(ONE.replace("table+8", "table+16"), TWO), ["one"])

    def test_new_and_gone(self):
        self.assertEqual(self.differ(ONE), ["two"])
        self.assertEqual(self.differ(ONE, TWO, KEYED), ["keyed"])

    def test_clones(self):
        """The compiler numbers them anew with each change of the file."""
        old = self.object("old.o", TWO.replace("two", "two.part.0"))
        self.assertIn(" 0 differ", self.run_on(old, self.object(
            "new.o", TWO.replace("two", "two.part.3")))[1])
        self.assertIn(" 1 differ", self.run_on(old, self.object(
            "new.o", TWO.replace("two", "two.part.3").replace("lea", "mov")))[1])

    def test_list(self):
        for folder, text in (("old", ONE), ("new", ONE.replace("je", "jne"))):
            self.object(os.path.join(folder, "mm", "a.o"), text, TWO)
            self.object(os.path.join(folder, "fs", "b.o"), TWO)
        folders = os.path.join(self.folder, "old"), os.path.join(self.folder, "new")
        status, said = self.run_on("--allow", "-", *folders, given="# why\nmm/a.o one is mended\n")
        self.assertEqual(status, 0, said)
        self.assertIn("one: 5 -> 5 (is mended)", said)
        status, said = self.run_on("--allow", "-", *folders, given="fs/b.o one is another\n")
        self.assertEqual(status, 1, said)
        self.assertIn("one: 5 -> 5 (NOT IN THE LIST)", said)
        self.assertIn("note: fs/b.o one is in the list, but does not differ here", said)
        self.assertEqual(self.run_on("--allow", "-", *folders)[0], 1)
        self.assertEqual(self.run_on("--allow", "-", *folders, given="mm/a.o one\n")[0], 2)

    def test_cost(self):
        more = ONE.replace("je 1f", "je 1f\n        jb 1f")
        status, said = self.run_on("--cost", self.object("old.o", ONE, TWO), self.object(
            "new.o", more, TWO, KEYED), "one", "two", "keyed", "none")
        self.assertEqual(status, 0, said)
        self.assertEqual(said.splitlines()[2:], [
            "| `one` | 6 (+1) | 2 (+1) | 0 |", "| `two` | 2 | 0 | 0 |",
            "| `keyed` | 4 (+4) | 1 (+1) | 1 (+1) |", "| `none` | inlined | | |",
            "| all of these | 12 (+5) | 3 (+2) | 1 (+1) |"])

    def test_cannot(self):
        good = self.object("old.o", ONE)
        os.mkdir(os.path.join(self.folder, "empty"))
        for words in ([], [good], ["--none", good], [good, "/no/such"],
                      [os.path.join(self.folder, "empty"), good]):
            self.assertEqual(self.run_on(*words)[0], 2, words)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    if not (shutil.which("as") and shutil.which("objdump")) or os.uname().machine != "x86_64":
        print("SKIP: no assembler for x86-64 here")
        sys.exit(77)
    unittest.main()
