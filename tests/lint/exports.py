#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lint: libpg64.so exports what its reviewed map file says and nothing else, and is safe to
preload: small initial-exec thread storage, no text relocation, no dlsym, few libraries.

usage: exports.py LIBRARY MAPFILE | exports.py --self-test
"""
import os
import re
import subprocess
import sys
import tempfile

import tree

MAX_TLS_BYTES = 256
LIBRARIES = re.compile(r"libc\.so\.6|ld-linux[-\w.]*\.so\.\d+|libunwind[-\w.]*\.so\.\d+")
ENGINE_LIBRARY = re.compile(r"libmimalloc[-\w]*\.so(\.[\d.]+)?")
FORBIDDEN_IMPORTS = ("dlsym", "dlvsym", "dlopen", "dlmopen")


def output(*command):
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True,
                            env={**os.environ, "LC_ALL": "C", "LD_PRELOAD": ""})
    return result.stdout.decode()


def parse_map(text):
    """(global names, version node names, findings) of a linker version script."""
    text = re.sub(r"/\*.*?\*/|#[^\n]*", " ", text, flags=re.S)
    names, nodes, findings = set(), set(), []
    for node, body in re.findall(r"([\w.]*)\s*\{(.*?)\}[^;]*;", text, flags=re.S):
        if node:
            nodes.add(node)
        section = "global"
        for part in re.split(r"([\w]+\s*:|;)", body):
            part = part.strip()
            if part.endswith(":"):
                section = part[:-1].strip()
            elif part and part != ";":
                if section == "global" and re.search(r"[*?\[]", part):
                    findings.append(f"map: {part}: exports are listed one by one")
                elif section == "global":
                    names.add(part)
                elif part != "*":
                    findings.append(f"map: local: {part}: only `local: *;` is expected")
    if not re.search(r"local\s*:\s*\*\s*;", text):
        findings.append("map: `local: *;` is missing")
    return names, nodes, findings


def exported(library):
    """{name: type letter} of the dynamic symbols that the library defines."""
    found = {}
    for line in output("nm", "-D", "--defined-only", library).split("\n"):
        parts = line.split()
        if len(parts) >= 3:
            found[parts[2].split("@")[0]] = parts[1]
    return found


def check_symbols(library, map_text):
    wanted, nodes, findings = parse_map(map_text)
    found = {name: kind for name, kind in exported(library).items()
             if not (kind == "A" and name in nodes)}
    findings += [f"{name}: exported, and not in the map" for name in sorted(set(found) - wanted)]
    findings += [f"{name}: in the map, and not exported" for name in sorted(wanted - set(found))]
    findings += [f"{name}: a symbol of the engine is exported" for name in sorted(found)
                 if re.match(r"_?mi_", name)]
    imports = {line.split()[-1].split("@")[0]
               for line in output("nm", "-D", "--undefined-only", library).split("\n") if line}
    findings += [f"{name}: imported; raw system calls only" for name in FORBIDDEN_IMPORTS
                 if name in imports]
    return findings


def check_elf(library, system_engine=False):
    findings = []
    dynamic = output("readelf", "-dW", library)
    segments = output("readelf", "-lW", library)
    tls = re.search(r"^\s*TLS\s+\S+\s+\S+\s+\S+\s+(0x\w+)\s+(0x\w+)", segments, flags=re.M)
    if tls:
        if int(tls.group(2), 16) > MAX_TLS_BYTES:
            findings.append(f"{int(tls.group(2), 16)} bytes of thread storage, more than "
                            f"{MAX_TLS_BYTES}: the static TLS area of a dlopen is small")
        if "STATIC_TLS" not in dynamic:
            findings.append("thread storage is not initial-exec (no STATIC_TLS flag)")
    if "TEXTREL" in dynamic:
        findings.append("has text relocations")
    if "GNU_RELRO" not in segments:
        findings.append("has no RELRO segment")
    if re.search(r"GNU_STACK.*RWE", segments):
        findings.append("asks for an executable stack")
    for name in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic):
        if not LIBRARIES.fullmatch(name) and not (
                system_engine and ENGINE_LIBRARY.fullmatch(name)):
            findings.append(f"needs {name}")
    return findings


def self_test():
    source = """
        #include <dlfcn.h>
        __thread char big[300];
        __thread long small = 3;
        char *good(void) { return big; }
        long *mi_bad(void) { return &small; }
        void *extra(void) { return dlsym(0, "x"); }
    """
    with tempfile.TemporaryDirectory() as folder:
        tree.plant(folder, {"bad.c": source})
        library = os.path.join(folder, "bad.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-ftls-model=global-dynamic", "-lm",
                        "-Wl,--no-as-needed", "-o", library, os.path.join(folder, "bad.c"), "-lm"],
                       check=True)
        found = check_symbols(library, "V_1 { global: good; gone; pg64_*; local: *; };")
        found = [line for line in found if not line.startswith(("big", "small"))]
        tree.expect("exports", found + check_elf(library), [
            "pg64_*: exports are listed", "extra: exported", "mi_bad: exported",
            "gone: in the map", "mi_bad: a symbol of the engine", "dlsym: imported",
            "bytes of thread storage", "not initial-exec", "needs libm.so"])


def main(argv):
    if argv[1:] == ["--self-test"]:
        self_test()
        return
    if len(argv) != 3:
        sys.exit(__doc__)
    if re.search(r" U __(asan|ubsan|tsan|msan)_", output("nm", "-D", argv[1])):
        print("SKIP: a build with sanitizers exports what they need")
        sys.exit(77)
    with open(argv[2], encoding="utf-8") as file:
        findings = check_symbols(argv[1], file.read())
    findings += check_elf(argv[1], os.environ.get("PG64_MIMALLOC") == "system")
    tree.finish("exports", findings)


if __name__ == "__main__":
    main(sys.argv)
