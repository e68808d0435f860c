# SPDX-License-Identifier: MIT
"""Work for python: containers.py N: lists, dicts, sets and strings of about N objects each."""
import sys


def numbers(count):
    state = 1
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
        yield state >> 24


def main(count):
    values = list(numbers(count))
    table = {value: str(value) for value in values}
    nested = [[value, (value, text), {"n": value}] for value, text in table.items()
              if value % 4 == 0]
    print("nested", len(nested), sum(row[2]["n"] for row in nested) % 1000007)
    words = [text[:5] for text in table.values()]
    print("words", len(set(words)), max(words))
    groups = {}
    for word, value in zip(words, values):
        groups.setdefault(word[:3], []).append(value)
    print("groups", len(groups), max(len(group) for group in groups.values()))
    for value in values[::2]:
        table.pop(value, None)
    values.sort()
    print("values", values[count // 2], len(table))
    print("text", len(",".join(table.values())))


main(int(sys.argv[1]))
