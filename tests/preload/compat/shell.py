#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compatibility of the shell and what is called from it: shell.py bash|coreutils|git|sqlite"""
import os
import subprocess
import sys

from harness import compare, need
import pg64test

OWN_GIT = ["git", "-c", "safe.directory=*", "-C", pg64test.ROOT]
OWN_HEAD = "" if not os.path.exists(os.path.join(pg64test.ROOT, ".git")) else subprocess.run(
    [*OWN_GIT, "rev-parse", "HEAD"], stdout=subprocess.PIPE, check=False).stdout.decode().strip()
DATA = "seq 1 120000 | awk '{print ($1 * 7919) % 120011, \"row\" $1, $1 % 97}' > data"

COREUTILS = [
    DATA,
    "sort data | sha256sum", "sort -n -k3,3 -k1,1 data | sha256sum",
    "sort --parallel=2 -S 1M -u -k3,3 data | head", "sort -R --random-source=data data | sha256sum",
    "shuf --random-source=data data | sha256sum", "tac data | sha1sum", "rev data | md5sum",
    "sha512sum data; b2sum data; cksum data", "wc data", "wc -L data",
    "cut -d' ' -f3 data | sort | uniq -c | sort -rn | head -5", "tr a-z A-Z < data | tail -2",
    "split -n l/7 data part.; wc -l part.*; cat part.* | cmp - data",
    "sort -k1,1 data > a; sort -k1,1 -r data | sort -k1,1 > b; join a b | sha256sum; comm a b | wc",
    "paste data data | fold -w 30 | sha256sum", "nl data | tail -1",
    "od -A d -t x1z data | tail -3",
    "base64 data | base64 -d | cmp - data", "gzip -n9 -c data | tee d.gz | gzip -dc | cmp - data",
    "xz -T2 -1 -c data | xz -dc | cmp - data", "xz -6 -c data | xz -dc | sha256sum",
    "dd if=data of=copy bs=64K status=none; cmp data copy",
    "cp --sparse=always data sparse; cmp data sparse",
    "mkdir -p t/a/b t/c; touch -d @1700000000 t/a/1 t/a/b/2 t/c/3 t t/a t/a/b t/c; ls -lR t",
    "tar --sort=name --mtime=@0 -cf t.tar t data; sha256sum t.tar; tar -tvf t.tar",
    "find t -type f -printf '%P %s\\n' | sort", "du -s --apparent-size data", "stat -c %s data",
    "grep -c 7 data; grep -E 'row(1|22)3 ' data",
    "sed -n 's/row\\([0-9]*\\)5 /\\1!/p' data | sha256sum",
    "awk '{n[$3] += $1} END {for (i = 0; i < 97; i++) print i, n[i]}' data",
    "factor 600851475143 2147483647 18446744073709551557", "numfmt --to=iec 123456789012",
    "expr 2147483647 '*' 3; printf '%.30f %q\\n' 0.1 'a b'", "date -u -d @1700000000 +%c",
    "ls /nonexistent; cat /nonexistent; cp /nonexistent x", "env -i printf x; echo; timeout 5 true",
    "diff a b | head -5; diff -u --label a --label b part.aa part.ab | sha256sum; cmp a b",
    "seq -f %.3f 1 0.001 9 | md5sum",
    "csplit -s data '/row500 /' '/row90000 /'; wc -c xx*", "ptx data 2>&1 | head -3 | sha256sum",
    "tsort <<< 'a b b c c d'", "head -c 1M /dev/zero | tr '\\0' x | fmt | sha256sum",
    "nproc --all > /dev/null; id -u; pathchk data; basename /a/b; dirname /a/b; realpath .",
    "seq 1 3000 | xargs -n 40 -P 1 echo | sha256sum", "mktemp -u XXXXXX > /dev/null; sync data",
]


def bash_script():
    """A hundred commands of a shell: builtins, subshells, pipes, traps, arrays, strings."""
    lines = ["set -u", "declare -A map", "declare -a list", "trap 'echo leaving $?' EXIT"]
    for i in range(12):
        lines += [
            f"list+=($(seq {i} {i + 40}))",
            f"for w in {{a..z}}{{0..{i}}}; do map[$w]=${{#list[@]}}; done",
            f"s=$(printf '%0{50 + i * 100}d' {i}); echo ${{#s}} ${{s:10:20}} ${{s/0/x}}",
            f"(cd / && echo $BASH_SUBSHELL $PWD; exit {i}); echo status $?",
            f"echo {{1..{200 + i}}} | tr ' ' '\\n' | while read n; do ((n % 50)) || echo $n; done",
            f"cat <<EOF | wc\n{'here ' * (i + 1)}document\nEOF",
            f"f{i}() {{ local x=$1; ((x > 0)) && f{i} $((x - 1)) || echo bottom {i}; }}; f{i} 60",
            "mapfile -t lines < <(printf '%s\\n' \"${list[@]}\"); "
            "echo ${#lines[@]} ${!map[@]} | wc",
        ]
    lines += ["printf '%s\\n' \"${list[@]}\" | sort -n | uniq | tail -3", "wait; echo ${map[z3]}",
              "x=1; for i in {1..3000}; do x+=$i; done; echo ${#x}", "[[ $x =~ 2999(.*) ]]",
              "echo ${BASH_REMATCH[1]}", "exec 5<>/dev/null; echo fd >&5", "false"]
    return "\n".join(lines) + "\n"


def bash(run):
    run.write("script", bash_script())
    run.run("bash", "script", status=1)
    run.run("bash", "-c", "kill -TERM $$", status=-15)
    run.run("sh", "script", status=None)
    run.run("bash", "-n", "script")
    run.run("bash", "-c", "ulimit -v 4000000; echo $(seq 1 20000) | wc -c")


def coreutils(run):
    for command in COREUTILS:
        run.run("bash", "-c", command, status=None)


def git_history(commits, files):
    """A stream for git fast-import: linear history over text files that grow and change."""
    out = []
    for number in range(commits):
        out.append(f"commit refs/heads/main\nmark :{number + 1}\n"
                   f"committer C <c@example.org> {1600000000 + number * 60} +0000\n"
                   f"data <<X\ncommit {number}\nX\n")
        if number:
            out.append(f"from :{number}\n")
        for file in range(number % 3, files, 3):
            body = "".join(f"line {(i * 31 + number * file) % 1009} of {file}\n"
                           for i in range(100 + number % 50))
            out.append(f"M 100644 inline dir{file % 7}/file{file}.txt\n"
                       f"data {len(body)}\n{body}\n")
    return "".join(out) + "done\n"


def git(run):
    run.run("git", "init", "-q", "-b", "main", "repo")
    run.run("git", "-C", "repo", "fast-import", "--quiet", "--done", feed=git_history(150, 60))
    run.run("git", "-C", "repo", "reset", "-q", "--hard")
    for command in ("log --stat", "log -p --all -- dir3", "rev-list --all --objects", "gc -q",
                    "fsck --full --strict --no-progress", "rev-list --all --objects --count",
                    "blame dir0/file0.txt", "diff HEAD~40 HEAD --shortstat", "shortlog -s HEAD",
                    "grep -c line", "ls-tree -r HEAD", "cat-file --batch-check --batch-all-objects",
                    "archive --format=tar -o ../a.tar HEAD", "repack -adfq --threads=2",
                    "fsck --full --no-progress", "log --oneline --graph"):
        run.run("git", "-C", "repo", *command.split())
    run.file("a.tar")
    run.run("git", "clone", "-q", "--no-local", "repo", "clone")
    run.run("git", "-C", "clone", "log", "-1", "--format=%H %T")
    run.write("clone/new", "new\n")
    run.run("git", "-C", "clone", "add", "new")
    run.run("git", "-C", "clone", "commit", "-q", "-m", "new")
    run.run("git", "-C", "clone", "merge-base", "HEAD", "origin/main")
    run.run("git", "-C", "clone", "status", "--short")
    run.run("git", "-C", "clone", "rebase", "-q", "HEAD~3")
    if OWN_HEAD:
        run.run(*OWN_GIT, "rev-list", "--objects", OWN_HEAD)
        run.run(*OWN_GIT, "log", "-p", OWN_HEAD)


SQL = """
CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, b TEXT);
CREATE TABLE u(k INTEGER, v TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
INSERT INTO t SELECT i, (i * 7919) % 10007, printf('text %08d %s', i, hex(i * i)) FROM n;
INSERT INTO u SELECT a, max(b) FROM t GROUP BY a;
COMMIT;
CREATE INDEX ia ON t(a); CREATE INDEX ib ON t(b DESC);
SELECT count(*), sum(t.a), max(u.v) FROM t JOIN u ON t.a = u.k;
SELECT a % 10, count(*), group_concat(substr(b, 6, 8)) FROM t WHERE id < 200 GROUP BY 1;
SELECT length(group_concat(b, ',')) FROM t;
UPDATE t SET b = upper(b) || zeroblob(10) WHERE id % 3 = 0;
DELETE FROM t WHERE id % 7 = 1;
SELECT b FROM t ORDER BY b LIMIT 5;
SELECT sum(x) FROM (SELECT row_number() OVER (PARTITION BY a % 50 ORDER BY b) AS x FROM t);
VACUUM;
PRAGMA integrity_check; PRAGMA foreign_key_check; PRAGMA page_count;
SELECT * FROM nowhere;
"""


def sqlite(run):
    run.run("sqlite3", "test.db", feed=SQL, status=1)
    run.file("test.db")
    run.run("sqlite3", "-csv", "test.db", "SELECT * FROM t WHERE a < 30 ORDER BY id;")
    run.run("sqlite3", "-cmd", "PRAGMA mmap_size=268435456", "test.db", "SELECT sum(a) FROM t;")
    run.run("sqlite3", ":memory:", feed=SQL, status=1)


def main(argv):
    scenarios = {"bash": (bash, ["bash"]), "coreutils": (coreutils, ["bash", "xz"]),
                 "git": (git, ["git"]), "sqlite": (sqlite, ["sqlite3"])}
    if len(argv) != 2 or argv[1] not in scenarios:
        sys.exit(__doc__)
    scenario, programs = scenarios[argv[1]]
    need(*programs)
    compare(scenario)


if __name__ == "__main__":
    main(sys.argv)
