#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compatibility of compilers and language runtimes: language.py gcc|python|perl|node|java"""
import os
import shutil
import sys

from harness import compare, need

HERE = os.path.dirname(os.path.realpath(__file__))


def c_source(functions):
    """A big C file: loops, switches, structs and strings that an optimiser can chew on."""
    out = ["#include <stdio.h>", "#include <string.h>",
           "struct node { struct node *next; int key; char text[24]; };"]
    for i in range(functions):
        cases = "\n".join(f"\tcase {c}: x = x * {c + i % 13} + a[{c} & 15]; break;"
                          for c in range(12))
        out.append(
            f"static int f{i}(const int *a, int n, struct node *list)\n{{\n\tint x = {i};\n"
            f"\tfor (int k = 0; k < n; k++) {{\n\tswitch ((a[k & 15] + x) % 12) {{\n{cases}\n\t}}\n"
            f"\tfor (int j = 0; j < 16; j++) x ^= a[j] * (j + {i % 7}) >> (k & 3);\n\t}}\n"
            f"\tfor (struct node *p = list; p; p = p->next) {{ p->key += x; "
            f"snprintf(p->text, sizeof(p->text), \"%d\", x); x += (int)strlen(p->text); }}\n"
            f"\treturn x;\n}}")
    calls = "\n".join(f"\tx += f{i}(a, 20, &n);" for i in range(functions))
    out.append("int main(void)\n{\n\tint a[16] = { 3, 1, 4, 1, 5, 9, 2, 6 }, x = 0;\n"
               f"\tstruct node n = {{ 0, 1, \"\" }};\n{calls}\n"
               "\tprintf(\"%d\\n\", x);\n\treturn 0;\n}")
    return "\n".join(out) + "\n"


CXX = """
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>
int main()
{
	std::map<std::string, std::vector<int>> tree;
	std::unordered_map<int, std::unique_ptr<std::string>> table;
	for (int i = 0; i < 100000; i++) {
		tree["key" + std::to_string(i % 997)].push_back(i);
		table[i] = std::make_unique<std::string>(i % 100, 'x');
	}
	std::vector<std::thread> threads;
	std::vector<long> sums(4);
	for (int t = 0; t < 4; t++)
		threads.emplace_back([&, t] {
			for (int i = t; i < 100000; i += 4)
				sums[t] += (long)(*table[i] + "yz").size();
		});
	for (auto &thread : threads)
		thread.join();
	struct alignas(256) wide { char c[256]; };
	std::vector<wide> aligned(1000);
	std::printf("%zu %ld %d\\n", tree.size(), sums[0] + sums[1] + sums[2] + sums[3],
		(int)((unsigned long)aligned.data() % 256));
	try {
		throw std::string("thrown");
	} catch (const std::string &text) {
		std::puts(text.c_str());
	}
}
"""


def gcc(run):
    run.write("big.c", c_source(250))
    run.run("gcc", "-O2", "-c", "big.c", "-o", "big.o")
    run.file("big.o")
    run.run("gcc", "-O1", "-g", "-fPIE", "-pie", "-o", "big", "big.c")
    run.file("big")
    run.run("./big")
    run.write("bad.c", "int main(void) { return undeclared; }\n")
    run.run("gcc", "-c", "bad.c", status=1)
    if shutil.which("g++"):
        run.write("stl.cc", CXX)
        run.run("g++", "-O1", "-std=c++17", "-pthread", "-o", "stl", "stl.cc")
        run.file("stl")
        run.run("./stl")


def python(run):
    program = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    run.run(program, "-I", os.path.join(HERE, "workload.py"))
    run.run(program, "-I", "-X", "dev", "-c", "print(len([str(i) for i in range(200000)]))")
    run.run(program, "-I", "-c", "import sys; sys.exit(len(bytearray(300 << 20)) >> 20 & 127)",
            status=300 & 127)
    run.run(program, "-I", "-c", "x = []; x[0]", status=1)


def perl(run):
    run.run("perl", os.path.join(HERE, "workload.pl"))
    run.run("perl", "-e", "my $s = 'ab' x 5e6; $s =~ s/b/cd/g; print length $s, qq(\\n); exit 3",
            status=3)
    run.run("perl", "-e", "die qq(dead\\n)", status=255)


def node(run):
    run.run("node", os.path.join(HERE, "workload.js"))
    run.run("node", "--max-old-space-size=64", "-e", "console.log([...Array(1e5).keys()].length)")
    run.run("node", "--jitless", "-e", "console.log('x'.repeat(1e6).length); process.exit(7)",
            status=7)


def java(run):
    run.run("java", "-version")
    if not shutil.which("javac"):
        return
    with open(os.path.join(HERE, "Workload.java"), encoding="utf-8") as file:
        run.write("Workload.java", file.read())
    run.run("javac", "-d", ".", "Workload.java")
    run.file("Workload.class")
    for options in (["-XX:+UseSerialGC"], ["-XX:+UseG1GC"], ["-XX:+UseParallelGC", "-Xint"],
                    ["-XX:+UseTransparentHugePages"], ["-XX:+UseZGC"]):
        run.run("java", "-Xmx256m", *options, "Workload", "10" if "-Xint" in options else "60")


def main(argv):
    scenarios = {"gcc": (gcc, ["gcc"]), "python": (python, []), "perl": (perl, ["perl"]),
                 "node": (node, ["node"]), "java": (java, ["java"])}
    if len(argv) != 2 or argv[1] not in scenarios:
        sys.exit(__doc__)
    scenario, programs = scenarios[argv[1]]
    need(*programs)
    compare(scenario)


if __name__ == "__main__":
    main(sys.argv)
