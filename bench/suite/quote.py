# SPDX-License-Identifier: MIT
"""Tables of a document that are kept true to results: each stands below the command that prints it.

A quote is a paragraph that is a command and nothing else, and the table after it, if there is one
yet:

    `bench/table bench/results/memory`

    | | time / glibc | ...

The command is run from the top of the tree, and is bench/table or bench/targets.
"""
import argparse
import contextlib
import io
import os
import re
import shlex
import sys

import table
import targets

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
COMMANDS = {"bench/table": table.main, "bench/targets": targets.main}
QUOTE = re.compile(r"(?:\A|(?<=\n\n))`(bench/[^`\n]*)`:?[ \t]*\n(?:\n|\Z)"
                   r"((?:\|[^\n]*(?:\n|\Z))*)")


class QuoteError(Exception):
    """A command of a document that gives no table; the text says which and why."""


def printed(command):
    """What a command prints. Not safe with threads: it replaces standard output and error."""
    try:
        program, *words = shlex.split(command)
    except ValueError as error:
        raise QuoteError(f"{command}: {error}") from None
    if program not in COMMANDS:
        raise QuoteError(f"{command}: only {' and '.join(COMMANDS)} can be quoted")
    out, complaint, before = io.StringIO(), io.StringIO(), os.getcwd()
    os.chdir(ROOT)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(complaint):
            status = COMMANDS[program](words)
    except SystemExit as leaving:  # argparse: an option that there is not
        status = leaving.code
    finally:
        os.chdir(before)
    if status or not out.getvalue().startswith("| "):
        raise QuoteError(f"{command}: {complaint.getvalue().strip() or 'it prints no table'}")
    return out.getvalue()


def renewed(text):
    """(the text with each quote as its command prints it now, [(line, command) that changed])."""
    changed = []

    def again(match):
        new, old = printed(match.group(1)), match.group(2)
        if new == old:
            return match.group(0)
        changed.append((text.count("\n", 0, match.start()) + 1, match.group(1)))
        return f"`{match.group(1)}`\n\n{new}" + ("" if old else "\n")

    return QUOTE.sub(again, text), changed


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="bench/quote", description="Write each table below a paragraph that is a command, "
        "`bench/table ...` or `bench/targets ...`, anew, as the command prints it.")
    parser.add_argument("file", nargs="+", help="a Markdown document")
    parser.add_argument("--check", action="store_true",
                        help="change nothing; say what differs, with exit status 1")
    options = parser.parse_args(argv)
    differs = False
    for path in options.file:
        try:
            with open(path, encoding="utf-8") as file:
                old = file.read()
            new, changed = renewed(old)
        except (OSError, QuoteError) as error:
            print(f"bench/quote: {path}: {error}", file=sys.stderr)
            return 2
        for line, command in changed:
            said = "differs from" if options.check else "written anew:"
            print(f"{path}:{line}: {said} {command}")
        differs |= bool(changed)
        if changed and not options.check:
            with open(path, "w", encoding="utf-8") as file:
                file.write(new)
    if differs and options.check:
        print(f"To mend it: bench/quote {' '.join(options.file)}")
    return 1 if differs and options.check else 0
