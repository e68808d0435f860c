#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fill the tables of options and counters into a manual page, from the tables of the library.

usage: options_man.py TEMPLATE OPTIONS.DEF COUNTERS.DEF OUTPUT
"""
import re
import sys

STRING = r'"((?:[^"\\]|\\.)*)"'
OPTION = re.compile(r"^PG64_OPTION\((\w+), (\w+), .+?, " + ", ".join([STRING] * 3) + r"\)$")
COUNTER = re.compile(r"^PG64_COUNTER\((\w+), " + STRING + r"\)$")


def entries(path, macro, pattern):
    """The arguments of each use of the macro; a line that is not understood is an error."""
    found = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.startswith(macro + "("):
                continue
            match = pattern.match(line.rstrip())
            if not match:
                sys.exit(f"{path}:{number}: not understood: {line.rstrip()}")
            found.append(match.groups())
    if not found:
        sys.exit(f"{path}: no {macro} in it")
    return found


def roff(text):
    """Text as roff reads it: no line may begin with a dot, a backslash is an escape."""
    text = text.replace('\\"', '"').replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in (".", "'") else text


def sentence(text, names=()):
    """Names of functions and values are not written with a capital, even in front."""
    first = text.split(" ")[0]
    if "(" not in first and first not in names:
        text = text[:1].upper() + text[1:]
    return roff(text if text.endswith(".") else text + ".")


def option_table(path):
    lines = []
    for name, _type, default, values, text in entries(path, "PG64_OPTION", OPTION):
        lines += [
            f".It Ev PG64_{name.upper()} Pq Li {name}",
            sentence(text, values.split("|")),
            f"Allowed: {roff(values)}.",
            f"Default: {roff(default)}." if default else "Default: none.",
        ]
    return "\n".join(lines)


def counter_table(path):
    lines = []
    for name, text in entries(path, "PG64_COUNTER", COUNTER):
        lines += [f".It Li {name}", sentence(text)]
    return "\n".join(lines)


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    template, options, counters, output = sys.argv[1:]
    with open(template, encoding="utf-8") as file:
        page = file.read()
    for mark, table in (("@OPTIONS@", option_table(options)),
                        ("@COUNTERS@", counter_table(counters))):
        if page.count(mark) != 1:
            sys.exit(f"{template}: {mark} must be there once")
        page = page.replace(mark, table)
    with open(output, "w", encoding="utf-8") as file:
        file.write(page)


main()
