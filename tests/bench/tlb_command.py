#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/tlb-model and its simulator as commands: JSON, errors, sampling, a program under lackey.

usage: tlb_command.py SIMULATOR [lackey]
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import pg64test  # noqa: E402

SIMULATOR = sys.argv[1]
MODEL = os.path.join(ROOT, "bench", "tlb-model")
GEOMETRIES = ["zen4", "zen5", "golden-cove", "neoverse-v2"]
POLICIES = ["4k", "4k-run", "64k", "64k-one", "2m"]


def check(good, message):
    if not good:
        pg64test.fail(message)


def run(*arguments, trace=None, status=0):
    done = subprocess.run([SIMULATOR, *arguments], input=trace, capture_output=True, text=True,
                          check=False, timeout=60)
    check(done.returncode == status,
          f"{arguments}: {done.returncode}, not {status}: {done.stdout}{done.stderr}")
    return done


def document(*arguments, trace=None):
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as file:
        done = run("--json", file.name, *arguments, trace=trace)
        check(done.stdout.startswith("MODEL: "), f"the table has no label: {done.stdout[:80]}")
        return json.load(file)


def figures(found, geometry, policy):
    return found["geometries"][GEOMETRIES.index(geometry)]["policies"][POLICIES.index(policy)]


def test_labels(found):
    check(found["model"] is True and "not a measurement" in found["note"], "no label")
    check([g["name"] for g in found["geometries"]] == GEOMETRIES, "other geometries")
    for geometry in found["geometries"]:
        check(geometry["model"] is True and geometry["source"] and geometry["assumed"],
              f"{geometry['name']}: no label, source or assumptions")
        check([p["policy"] for p in geometry["policies"]] == POLICIES, "other policies")
        for policy in geometry["policies"]:
            check(policy["model"] is True and policy["walks"] == policy["l2_misses"]
                  and policy["walks"] <= policy["l1_misses"] <= policy["accesses"], str(policy))


def test_synthetic():
    found = document("--synthetic", "random:64M", "--warm", "100K", "--limit", "100K")
    test_labels(found)
    count = 100 << 10
    check(found["trace"]["counted"] == count, str(found["trace"]))
    for geometry, policy, reach in (("zen4", "4k", 12), ("zen4", "64k", 48), ("zen5", "4k", 16),
                                    ("golden-cove", "64k", 8), ("neoverse-v2", "4k", 8)):
        walks = figures(found, geometry, policy)["walks"] / count
        check(abs(walks - (1 - reach / 64)) < 0.03, f"{geometry} {policy}: {walks} walks")
    check(figures(found, "neoverse-v2", "64k")["entry_bytes"] == 65536, "contpte")
    check(figures(found, "zen5", "2m")["walks"] == 0, "2 MiB pages miss")
    same = document("--synthetic", "random:64M", "--warm", "100K", "--limit", "100K")
    check(same == found, "not the same twice")
    nested = document("--synthetic", "random:64M", "--warm", "0", "--limit", "1K", "--nested")
    first = figures(nested, "zen5", "2m")
    check(first["walks"] and first["walk_references"] >= 9 * first["walks"], str(first))


def test_trace():
    trace = "==1== Lackey\n" + "".join(f" L {page:x}000,8\nI  400000,3\n S {page:x}010,8\n"
                                       for page in range(0x1000, 0x1100))
    found = document(trace=trace)
    check(found["trace"]["loads"] == found["trace"]["stores"] == 256, str(found["trace"]))
    check(found["trace"]["instructions"] == 256, "instructions")
    check(figures(found, "zen5", "4k")["walks"] == 256, "4k")
    check(figures(found, "zen5", "4k")["accesses"] == 512, "instructions were simulated")
    check(figures(found, "zen5", "4k-run")["walks"] == 64, "4k-run")
    check(figures(found, "golden-cove", "4k")["l1_misses"] == 512, "stores have their own TLB")
    found = document("--skip", "16", "--limit", "32", trace=trace)
    check(found["trace"]["seen"] == 48 and figures(found, "zen4", "4k")["walks"] == 16, "--skip")
    found = document("--every", "64", "--window", "16", trace=trace)
    check(found["trace"]["simulated"] == 128 and found["trace"]["counted"] == 112, "--every")
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as maps:
        maps.write("# heap\n1040000-1060000 rw-p\n1060000-1080000 rw-p\n")
        maps.flush()
        found = document("--maps", maps.name, trace=trace)
        check(figures(found, "neoverse-v2", "64k")["walks"] == 192 + 4, "--maps")
        maps.write("what\n")
        maps.flush()
        done = run("--maps", maps.name, trace=trace, status=2)
        check("line 4:" in done.stderr, done.stderr)


def test_errors():
    for trace, words in ((" L 10,8\n L zz,8\n", "line 2: not a line of lackey's"),
                         (" L 10,8\n\n L 10,", "line 3: truncated"),
                         ("garbage\n", "line 1: not")):
        done = run(trace=trace, status=2)
        check(words in done.stderr and done.stdout == "", f"{trace!r}: {done.stderr}")
    run(trace="==1== nothing\n", status=1)
    for arguments in (["--synthetic", "random:1"], ["--limit", "x"], ["--coalesce", "3"],
                      ["--every", "5"], ["--nested=9"], ["--walk", "small"], ["extra"], ["--what"],
                      ["--maps", "/nonexistent"], ["--run", "1K"],
                      ["--walk", "large", "--synthetic", "random:1M"],
                      ["--walk", "huge", "--synthetic", "random:1M", "--skip", "1"]):
        run(*arguments, trace="", status=2)
    run("--json", "/nonexistent/x", trace=" L 10,8\n", status=1)


# A perf whose counters give what FAKE says: misses an access on small and on huge pages, the
# part of the memory that is on huge pages, and what stands in the columns of the file.
PERF = """#!/usr/bin/env python3
import json, os, re, sys
fake, words = json.loads(os.environ["FAKE"]), sys.argv[1:]
def after(name):
    return words[words.index(name) + 1]
assert words[0] == "stat" and after("--synthetic").startswith("random:"), words
misses = 54321 + round(fake[after("--walk")] * int(after("--limit")))
with open(after("-o"), "w") as file:
    file.write("# started on a day\\n\\n" + fake["row"].replace("MISSES", str(misses)))
print("huge_part", fake["part"])
sys.exit(fake["status"])
"""
ROW = "MISSES,,dTLB-load-misses:u,1000,100.00,,\n99999,,dTLB-loads:u,1000,100.00,,\n"
NO_PMU = "<not supported>,,dTLB-load-misses,0,100.00,,\n<not supported>,,dTLB-loads,0,100.00,,\n"


def validate(folder, *words, **fake):
    """tlb-model --validate with a perf that gives this."""
    env = dict(pg64test.clean_environment(), TLB_SIM=SIMULATOR,
               FAKE=json.dumps({"part": 1.0, "row": ROW, "status": 0, "huge": 0.0, **fake}))
    env["PATH"] = f"{folder}:{env['PATH']}"
    return subprocess.run([MODEL, "--validate", "--synthetic", "random:1G", "--warm", "100K",
                           "--limit", "100K", *words], capture_output=True, text=True, env=env,
                          check=False)


def test_verdicts(folder):
    """4 KiB pages of 1 GiB on zen5: 0.984 walks an access where they are scattered, 0.937 in runs,
    and none on 2 MiB pages. Of 64 MiB: 0.75, or none."""
    zen5, small = ("--processor", "zen5"), ("--synthetic", "random:64M")
    for status, words, fake, said in (
            (0, zen5, {"small": 0.96}, "ratio 1.00: within"),
            (0, zen5, {"small": 1.10}, "ratio 1.12: within"),
            (0, zen5, {"small": 0.75}, "ratio 0.80: within"),
            (3, zen5, {"small": 0.60}, "ratio 0.64: OUTSIDE"),
            (3, zen5, {"small": 1.30}, "ratio 1.32: OUTSIDE"),
            (0, (*zen5, "--tolerance", "45"), {"small": 1.30}, "tolerance 45 %"),
            (3, (*zen5, "--tolerance", "10"), {"small": 0.75}, "ratio 0.80: OUTSIDE"),
            (0, zen5, {"small": 0.96, "huge": 0.009}, "2 MiB pages: measured 0.0090"),
            (3, zen5, {"small": 0.96, "huge": 0.02}, "ratio -: OUTSIDE"),
            (0, zen5, {"small": 0.96, "huge": 0.9, "part": 0.5}, "not compared: 50 %"),
            (0, (*zen5, *small), {"small": 0.5}, "not compared: measured 0.5000"),
            (77, (*zen5, *small), {"small": 0.5, "part": 0.5}, "no row could be compared"),
            (0, ("--processor", "neoverse-v2"), {"small": 1, "huge": 0.9}, "of neoverse-v2 by"),
            (77, zen5, {"small": 1, "row": NO_PMU}, "validated: perf stat: dTLB-load-misses"),
            (77, zen5, {"small": 1, "row": ROW.replace("100.00", "40.00")}, "40.00 % of the time"),
            (77, zen5, {"small": 1, "row": ROW.replace("99999", "0")}, "stands at 0"),
            (77, zen5, {"small": 1, "row": ROW.replace("100.00", "?")}, "wrote '?' for the time"),
            (77, zen5, {"small": 1, "row": ""}, "wrote nothing"),
            (77, zen5, {"small": 1, "status": 4}, "perf stat ended with 4"),
            (2, ("--processor", "z80"), {"small": 1}, ""),
            (2, ("--tolerance", "0"), {"small": 1}, ""),
            (2, ("--tolerance", "few"), {"small": 1}, ""),
            (2, ("--tolerance", "nan"), {"small": 1}, ""),
            (2, ("--every", "10", "--window", "5"), {"small": 1}, "")):
        done = validate(folder, *words, **fake)
        check(done.returncode == status and said in done.stdout,
              f"{words} {fake}: {done.returncode}, not {status} and {said!r}: "
              f"{done.stdout[-600:]}{done.stderr}")
        last = {0: "within the tolerance", 3: "OUTSIDE of the tolerance",
                77: "SKIP: nothing was validated: "}.get(status, "")
        check(last in (done.stdout.splitlines() or [""])[-1], done.stdout[-300:])


def test_processors(folder):
    sys.path.insert(0, os.path.join(ROOT, "bench", "tlb"))
    import validate as module  # pylint: disable=import-outside-toplevel
    path = os.path.join(folder, "cpuinfo")
    for text, name in (
            ("vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n", "zen4"),
            ("vendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\n", "zen5"),
            ("vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 33\n", None),
            ("vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\n", "golden-cove"),
            ("CPU implementer\t: 0x41\nCPU part\t: 0xd4f\n", "neoverse-v2"), ("", None)):
        with open(path, "w", encoding="utf-8") as file:
            file.write("processor\t: 0\n" + text + "\nprocessor\t: 1\n")
        try:
            found = module.processor(path)
        except module.Nothing:
            found = None
        check(found == name, f"{text!r}: {found}, not {name}")


def test_validate():
    """Whatever the machine has, and what counters may say."""
    with tempfile.TemporaryDirectory() as folder:
        env = dict(pg64test.clean_environment(), TLB_SIM=SIMULATOR)
        words = [MODEL, "--validate", "--synthetic", "random:16M", "--warm", "1K", "--limit",
                 "100K"]
        done = subprocess.run(words, capture_output=True, text=True, env=env, check=False)
        check(done.returncode in (0, 3, 77), f"--validate: {done.returncode}: {done.stderr}")
        said = "SKIP: nothing was validated: " if done.returncode == 77 else "measured "
        check(said in done.stdout, done.stdout)
        os.symlink(sys.executable, os.path.join(folder, "python3"))
        words += ["--processor", "zen5"]
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True,
                              env={**env, "PATH": folder}, check=False)
        check(done.returncode == 77 and "perf is not installed" in done.stdout, done.stdout)
        with open(os.path.join(folder, "perf"), "w", encoding="ascii") as file:
            file.write(PERF)
        os.chmod(file.name, 0o755)
        test_verdicts(folder)
        test_processors(folder)


def test_lackey():
    if not shutil.which("valgrind"):
        pg64test.skip("valgrind is not installed")
    env = dict(pg64test.clean_environment(), TLB_SIM=SIMULATOR)
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as file:
        done = subprocess.run([MODEL, "--limit", "0", "--json", file.name, "--", "/bin/echo",
                               "words"], capture_output=True, text=True, env=env, check=False)
        check(done.returncode == 0, f"{done.returncode}: {done.stderr}")
        check(done.stdout.startswith("MODEL: ") and "words" in done.stderr, done.stderr)
        found = json.load(file)
    test_labels(found)
    check(found["trace"]["source"] == "/bin/echo words", found["trace"]["source"])
    check(found["trace"]["loads"] > 5000 and found["trace"]["stores"] > 2000, "a short trace")
    done = subprocess.run([MODEL, "--limit", "2K", "--", "/bin/echo"], capture_output=True,
                          text=True, env=env, check=False)
    check(done.returncode == 0 and " 2048 of 2048 " in done.stdout, done.stdout + done.stderr)
    for arguments, status in ((["--", "/bin/false"], 1), (["--what", "--", "true"], 2), ([], 2)):
        done = subprocess.run([MODEL, *arguments], capture_output=True, env=env, check=False)
        check(done.returncode == status, f"{arguments}: {done.returncode}")


if __name__ == "__main__":
    if "lackey" in sys.argv[2:]:
        test_lackey()
    else:
        test_synthetic()
        test_trace()
        test_errors()
        test_validate()
