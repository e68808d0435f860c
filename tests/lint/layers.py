#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lint: a lower layer never includes an upper one, and only lib/heap names its engine.

usage: layers.py [--self-test] [ROOT]
"""
import os
import re
import sys
import tempfile

import tree

ORDER = ["base", "config", "page", "arena", "heap", "stats", "preload"]
ENGINE = re.compile(r"\b_?mi_\w+|\bMI_\w+|mimalloc", re.I)
ENGINE_HEADERS = re.compile(r"^(static\.c|mimalloc([-/].*)?\.h)$")
PUBLIC = "pg64.h"


def layer_of(path):
    """Layer name of a file: "page" for lib/page/x.c; None outside of the layered folders."""
    parts = path.split("/")
    if parts[0] == "lib" and len(parts) > 2:
        return parts[1]
    return parts[0] if parts[0] in ("preload", "tools") and len(parts) > 1 else None


def resolve(root, path, target):
    """The file that #include "target" in path means, or None."""
    for folder in (os.path.dirname(path), "lib", "preload", "tools", "."):
        candidate = os.path.normpath(os.path.join(folder, target))
        if os.path.isfile(os.path.join(root, candidate)):
            return candidate
    return None


def check_include(root, path, target):
    """None, or what is wrong with one quoted include."""
    layer = layer_of(path)
    if layer == "heap" and ENGINE_HEADERS.match(target):
        return None
    found = resolve(root, path, target)
    if found is None:
        return "is not in the tree"
    if found == f"lib/{PUBLIC}":
        return None
    if found.endswith((".c", ".cc")):
        return "is a source file: only headers are included"
    other = layer_of(found)
    if layer == "tools":
        return None if other == "tools" else f"tools use {PUBLIC} only"
    if other is None or other not in ORDER:
        return "belongs to no layer"
    if ORDER.index(other) > ORDER.index(layer):
        return f"{layer} is below {other}"
    return None


def check(root):
    findings = []
    for path in tree.files(root):
        layer = layer_of(path)
        if layer is None or not path.endswith((".c", ".h", ".def")):
            continue
        if layer not in ORDER + ["tools"]:
            findings.append(f"{path}: lib/{layer} is no layer: add it to {__file__}")
            continue
        code = tree.without_comments(tree.text(root, path) or "")
        for number, line in enumerate(code.split("\n"), 1):
            include = re.match(r'\s*#\s*include\s*([<"])([^">]+)[">]', line)
            wrong = None
            if include and include.group(1) == '"':
                wrong = check_include(root, path, include.group(2))
                if wrong:
                    findings.append(f'{path}:{number}: "{include.group(2)}" {wrong}')
            bare = re.sub(r'"(\\.|[^"\\])*"', '""', line)  # doctor may look for its name
            if layer != "heap" and not wrong and ENGINE.search(bare):
                word = ENGINE.search(bare).group(0)
                findings.append(f"{path}:{number}: names the engine ({word}): lib/heap only")
    return findings


def self_test():
    with tempfile.TemporaryDirectory() as root:
        tree.plant(root, {
            "lib/pg64.h": "int a;\n",
            "lib/base/base.h": '#include "pg64.h"\n#include "page/page.h"\n',
            "lib/page/page.h": '#include "base/base.h"\n/* mimalloc may be named here */\n',
            "lib/page/up.c": '#include "page.h"\n#include "heap/heap.h"\n',
            "lib/page/gone.c": '#include "page/gone.h"\n',
            "lib/heap/heap.h": '#include "arena/arena.h"\n',
            "lib/heap/engine.c": '#include "heap.h"\n#include "static.c"\nvoid *p = mi_malloc;\n',
            "lib/arena/arena.h": "void *q = mi_malloc(1);\nconst char *s = \"mi_malloc\";\n",
            "lib/arena/source.c": '#include "page/up.c"\n',
            "lib/odd/odd.h": "int b;\n",
            "preload/all.c": '#include "heap/heap.h"\n#include "pg64.h"\n',
            "tools/tool.h": "int c;\n",
            "tools/tool.c": '#include "tool.h"\n#include "pg64.h"\n#include "base/base.h"\n',
        })
        tree.expect("layers", check(root), [
            "base is below page", "page is below heap", "not in the tree", "lib/arena/arena.h:1",
            "source file", "lib/odd is no layer", "tools use pg64.h only"])


if __name__ == "__main__":
    if "--self-test" in sys.argv:
        self_test()
    else:
        tree.finish("layers", check(sys.argv[1] if len(sys.argv) > 1 else tree.ROOT))
