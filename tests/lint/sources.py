#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lint: licence lines, sizes of files, functions and lines, links to files that are there, and
nothing that ties the tree to one machine: no absolute path of a person's or builder's folder, no
host of a package registry.

usage: sources.py [--self-test] [ROOT]
"""
import ast
import os
import re
import sys
import tempfile

import tree

CODE = (".c", ".h", ".cc", ".cpp", ".hpp", ".py", ".sh", ".bash", ".java", ".js")
C_CODE = (".c", ".h", ".cc", ".cpp", ".hpp")
LICENSED = CODE + (".def", ".S", "meson.build", "meson_options.txt")
MAX_FILE, MAX_FUNCTION, MAX_COLUMNS = 650, 80, 100
# In pieces, so that this file passes its own check.
FOLDERS = re.compile(r"(?<![\w.$}>*-])/(?:%s)/" % "|".join(("wo" + "rk", "ro" + "ot", "ho" + "me")))
HOSTS = re.compile("|".join(re.escape(a + b) for a, b in (
    ("deb.", "debian.org"), ("security.", "debian.org"), ("snapshot.", "debian.org"),
    ("ftp.", "debian.org"), ("archive.", "ubuntu.com"), ("registry.", "npmjs"), ("pypi.", "org"),
    ("files.", "pythonhosted"), ("crates", ".io"), ("proxy.", "golang.org"),
    ("repo.maven.", "apache"), ("repo1.", "maven"), ("wrapdb.", "mesonbuild"))))


LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
SCHEME = re.compile(r"[a-z]+:")


def is_script(name, content):
    return content.startswith("#!") and "." not in os.path.basename(name)


def licence(name, lines):
    first = lines[1] if lines[0].startswith("#!") and len(lines) > 1 else lines[0]
    if "SPDX-License-Identifier: " not in first:
        return [f"{name}:1: no SPDX-License-Identifier in the first line (or after #!)"]
    wanted = "GPL-2.0-only" if name.startswith("kernel-patch/") else "MIT"
    if wanted not in first:
        return [f"{name}:1: the licence here is {wanted}"]
    return []


def c_functions(lines):
    """(name, first line, length) of each brace block that starts in column 0 after a ')'."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif start and line.startswith("}"):
            head = " ".join(lines[max(0, start - 4):start - 1])
            names = re.findall(r"(\w+)\s*\(", head)
            yield (names[-1] if names else "?"), start, number - start + 1
            start = None


def python_functions(content):
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, node.end_lineno - node.lineno + 1


def sizes(name, content, lines):
    found = []
    if len(lines) > MAX_FILE:
        found.append(f"{name}: {len(lines)} lines, more than {MAX_FILE}")
    functions = []
    if name.endswith(C_CODE):
        functions = c_functions(lines)
    elif name.endswith(".py"):
        functions = python_functions(content)
    found += [f"{name}:{start}: {function}() has {length} lines, more than {MAX_FUNCTION}"
              for function, start, length in functions if length > MAX_FUNCTION]
    for number, line in enumerate(lines, 1):
        if len(line.expandtabs(8)) > MAX_COLUMNS:
            found.append(f"{name}:{number}: more than {MAX_COLUMNS} columns")
        if line != line.rstrip():
            found.append(f"{name}:{number}: white space at the end")
    return found


def links(root, name, lines):
    """Those of a Markdown text that lead to no file."""
    for number, line in enumerate(lines, 1):
        for target in LINK.findall(line):
            path = os.path.join(root, os.path.dirname(name), target)
            if not SCHEME.match(target) and not os.path.exists(path):
                yield f"{name}:{number}: {target} is not there"


def check(root):
    findings = []
    for name in tree.files(root):
        content = tree.text(root, name)
        if not content:
            continue
        lines = content.split("\n")
        if lines[-1] == "":
            lines.pop()
        script = is_script(name, content)
        if script or name.endswith(LICENSED):
            findings += licence(name, lines)
        if script or name.endswith(CODE):
            findings += sizes(name, content, lines)
        if name.endswith(".md"):
            findings += links(root, name, lines)
        for number, line in enumerate(lines, 1):
            if FOLDERS.search(line):
                findings.append(f"{name}:{number}: an absolute path of one machine")
            if HOSTS.search(line):
                findings.append(f"{name}:{number}: the host of a package registry")
    return findings


def self_test():
    spdx = "/* SPDX-License-Identifier: MIT */\n"
    python = "# SPDX-License-Identifier: MIT\n"
    long_body = "\tx();\n" * MAX_FUNCTION
    with tempfile.TemporaryDirectory() as root:
        tree.plant(root, {
            "good.c": spdx + "int main(void)\n{\n" + "\tx();\n" * 70 + "}\n",
            "bad.c": "int main(void)\n{\n}\n",
            "kernel-patch/mit.c": spdx,
            "long.c": spdx + "int longest(void)\n{\n" + long_body + "}\n",
            "huge.h": spdx + "int x;\n" * MAX_FILE,
            "wide.c": spdx + "\t" * 12 + "abcde\n",
            "space.sh": "#!/bin/sh\n" + python + "true \n",
            "long.py": python + "def f():\n" + "    x = 1\n" * MAX_FUNCTION,
            "script": "#!/bin/sh\ntrue\n",
            "notes.md": "see /" + "work/shared\nnot $HOME/" + "work/x or a/" + "root/b\n",
            "hosts.txt": "deb." + "debian.org\n",
            "docs/links.md": "[a](../good.c#L1), [b](#here), [c](https://example.org/x)\n"
                             "[d](good.c) is in another folder\n",
        })
        tree.expect("sources", check(root), [
            "bad.c:1: no SPDX", "the licence here is GPL", "longest() has", "huge.h: 651",
            "wide.c:2: more", "space.sh:3", "f() has", "script:1: no SPDX", "notes.md:1",
            "hosts.txt:1", "docs/links.md:2: good.c is not there"])


if __name__ == "__main__":
    if "--self-test" in sys.argv:
        self_test()
    else:
        tree.finish("sources", check(sys.argv[1] if len(sys.argv) > 1 else tree.ROOT))
