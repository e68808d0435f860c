#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lint: C and C++ files are as clang-format 14 writes them, shell scripts please shellcheck, and
python files compile.

usage: format.py c|shell|python [--fix] [ROOT]
Other releases of clang-format differ in details, so only the one of Debian 12 has a say.
"""
import os
import re
import shutil
import subprocess
import sys

import tree

VERSION = "14"


def skip(reason):
    print(f"SKIP: {reason}")
    sys.exit(77)


def clang_format():
    for name in (f"clang-format-{VERSION}", "clang-format"):
        path = shutil.which(name)
        if path:
            said = subprocess.run([path, "--version"], stdout=subprocess.PIPE, check=True)
            if re.search(rf"version {VERSION}\.", said.stdout.decode()):
                return path
    return skip(f"no clang-format {VERSION} here")


def check_c(root, names, fix):
    names = [name for name in names if name.endswith((".c", ".h", ".cc", ".cpp", ".hpp"))
             and not name.startswith("kernel-patch/")]
    if not names:
        return []
    mode = ["-i"] if fix else ["--dry-run"]
    said = subprocess.run([clang_format(), "--style=file", *mode, *names], cwd=root,
                          stderr=subprocess.PIPE, check=True).stderr.decode()
    places = re.findall(r"^([^\s:]+:\d+):\d+: warning: code should be clang-formatted", said,
                        flags=re.M)
    return [f"{place}: clang-format differs (tests/lint/format.py c --fix)"
            for place in dict.fromkeys(places)]


def shell_scripts(root, names):
    for name in names:
        if re.search(r"\.(sh|bash)$", name):
            yield name
        elif "." not in os.path.basename(name):
            content = tree.text(root, name) or ""
            if re.match(r"#!.*\b(ba)?sh\b", content):
                yield name


def check_shell(root, names, _fix):
    scripts = list(shell_scripts(root, names))
    tool = shutil.which("shellcheck")
    if not tool:
        skip("no shellcheck here")
    if not scripts:
        return []
    said = subprocess.run([tool, "-f", "gcc", *scripts], cwd=root, stdout=subprocess.PIPE,
                          check=False)
    return said.stdout.decode().split("\n")[:-1]


def check_python(root, names, _fix):
    findings = []
    for name in names:
        content = tree.text(root, name) or ""
        if name.endswith(".py") or re.match(r"#!.*\bpython3\b", content):
            try:
                compile(content, name, "exec")
            except SyntaxError as error:
                findings.append(f"{name}:{error.lineno}: {error.msg}")
    return findings


def main(argv):
    fix = "--fix" in argv
    words = [word for word in argv[1:] if word != "--fix"]
    checks = {"c": check_c, "shell": check_shell, "python": check_python}
    if not words or words[0] not in checks:
        sys.exit(__doc__)
    root = words[1] if len(words) > 1 else tree.ROOT
    tree.finish(words[0], checks[words[0]](root, tree.files(root), fix))


if __name__ == "__main__":
    main(sys.argv)
