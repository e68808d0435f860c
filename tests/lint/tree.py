# SPDX-License-Identifier: MIT
"""What the lints share: the files of the tree, C without comments, and how findings are told."""
import os
import re
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))


def files(root):
    """Every file that is or could be committed, as paths relative to root."""
    listed = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if listed.returncode == 0 and os.path.exists(os.path.join(root, ".git")):
        names = listed.stdout.decode().split("\0")
    else:  # a release tarball, or a fixture
        names = []
        for folder, folders, entries in os.walk(root):
            folders[:] = [name for name in folders
                          if not re.match(r"build|\.git$|__pyc|mimalloc-", name)]
            names += [os.path.relpath(os.path.join(folder, entry), root) for entry in entries]
    return sorted({name for name in names
                   if name and os.path.isfile(os.path.join(root, name))
                   and not os.path.islink(os.path.join(root, name))})


def text(root, name):
    """The contents, or None for a file that is not text."""
    with open(os.path.join(root, name), "rb") as file:
        data = file.read()
    if b"\0" in data:
        return None
    return data.decode("utf-8", "replace")


def without_comments(code):
    """C code with each comment blanked out; line numbers stay, string literals stay."""
    def blank(match):
        found = match.group(0)
        return found if found[0] in "\"'" else re.sub(r"[^\n]", " ", found)
    pattern = r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*'
    return re.sub(pattern, blank, code, flags=re.S)


def finish(name, findings):
    """Print the findings, exit 1 when there are any."""
    for finding in findings:
        print(finding)
    print(f"{name}: {len(findings)} findings")
    sys.exit(1 if findings else 0)


def expect(name, findings, wanted):
    """For self-tests: each wanted piece of text is in one finding, and nothing else was found."""
    missing = [piece for piece in wanted if not any(piece in finding for finding in findings)]
    if missing or len(findings) != len(wanted):
        print(f"{name}: self-test failed; missing: {missing}; found:", *findings, sep="\n  ")
        sys.exit(1)
    print(f"{name}: self-test passed, {len(wanted)} planted mistakes found")


def plant(root, contents):
    """Write {path: text} under root, for self-tests."""
    for path, content in contents.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(content)
