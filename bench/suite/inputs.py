# SPDX-License-Identifier: MIT
"""What programs are given to work on: made by rule, the same everywhere, no file of it kept."""
import random

FUNCTION = """static int f{i}(const int *a, int n, struct node *list)
{{
	int x = {i};

	for (int k = 0; k < n; k++) {{
		switch ((a[k & 15] + x) % 12) {{
{cases}
		}}
		for (int j = 0; j < 16; j++)
			x ^= a[j] * (j + {odd}) >> (k & 3);
	}}
	for (struct node *p = list; p; p = p->next) {{
		p->key += x;
		snprintf(p->text, sizeof(p->text), "%d", x);
		x += (int)strlen(p->text);
	}}
	return x;
}}
"""
HEAD = """#include <stdio.h>
#include <string.h>

struct node {
	struct node *next;
	int key;
	char text[24];
};

"""
TAIL = """int main(void)
{{
	int a[16] = {{3, 1, 4, 1, 5, 9, 2, 6}}, x = 0;
	struct node n = {{0, 1, ""}};

{calls}
	printf("%d\\n", x);
	return 0;
}}
"""


def c_source(functions):
    """A C file with loops, switches, structs and strings that an optimiser can chew on."""
    out = [HEAD]
    for i in range(functions):
        cases = "\n".join(f"\t\tcase {c}:\n\t\t\tx = x * {c + i % 13} + a[{c} & 15];\n"
                          "\t\t\tbreak;" for c in range(12))
        out.append(FUNCTION.format(i=i, cases=cases, odd=i % 7))
    out.append(TAIL.format(calls="\n".join(f"\tx += f{i}(a, 20, &n);"
                                           for i in range(functions))))
    return "\n".join(out)


def lines(count):
    """Pieces (bytes) of a text of `count` lines of 32 random characters and the line's end."""
    source = random.Random(64)
    for first in range(0, count, 100_000):
        here = min(100_000, count - first)
        digits = source.randbytes(here * 16).hex().encode()
        yield b"\n".join([digits[at:at + 32] for at in range(0, len(digits), 32)]) + b"\n"


def prose(size_bytes):
    """Pieces (bytes) of a text of words and numbers, which packs to about a third."""
    source = random.Random(65)
    words = [source.randbytes(source.randrange(2, 6)).hex() for _ in range(4000)]
    done = 0
    while done < size_bytes:
        piece = " ".join(word if len(word) > 4 else f"{source.randrange(1 << 20)}"
                         for word in source.choices(words, k=20_000)).encode()[:size_bytes - done]
        done += len(piece)
        yield piece


def git_history(commits, files=400, changed=12):
    """Pieces (bytes) of a stream for git fast-import: a linear history over files that grow."""
    source = random.Random(66)
    contents = [[f"file {number}\n"] for number in range(files)]
    for number in range(1, commits + 1):
        out = [f"commit refs/heads/main\nmark :{number}\n"
               f"committer C <c@example.org> {1600000000 + number * 60} +0000\n"
               f"data <<X\ncommit {number}\nX\n"]
        if number > 1:
            out.append(f"from :{number - 1}\n")
        for file in source.sample(range(files), changed):
            body = contents[file]
            body.append(f"line {source.randrange(1 << 30)} of {number}\n")
            if len(body) > 30:
                del body[source.randrange(30)]
            text = "".join(body)
            out.append(f"M 100644 inline dir{file % 23}/file{file}.txt\n"
                       f"data {len(text)}\n{text}\n")
        yield "".join(out).encode()
    yield b"done\n"


def sql(rows):
    """Work for the sqlite3 command in a database in memory."""
    return f"""
CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, b TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
INSERT INTO t SELECT i, (i * 7919) % 1000003, printf('text %08d %s', (i * 104729) % 10000019,
    hex(i * i)) FROM n;
COMMIT;
CREATE INDEX ia ON t(a);
CREATE INDEX ib ON t(b DESC);
SELECT count(*), sum(a), min(b), max(b) FROM t;
SELECT a % 10, count(*), sum(length(b)) FROM t GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM t x JOIN t y ON x.a = y.id;
SELECT id, b FROM t ORDER BY b LIMIT 3;
SELECT sum(x) FROM (SELECT row_number() OVER (PARTITION BY a % 50 ORDER BY b) AS x FROM t
    WHERE id % 4 = 0);
UPDATE t SET b = upper(b) || 'X' WHERE id % 5 = 0;
DELETE FROM t WHERE id % 7 = 1;
SELECT count(*), sum(length(b)) FROM t;
PRAGMA integrity_check;
"""
