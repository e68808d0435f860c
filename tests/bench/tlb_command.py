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
                      ["--every", "5"], ["--nested=9"], ["--validate"], ["extra"], ["--what"],
                      ["--maps", "/nonexistent"], ["--run", "1K"]):
        run(*arguments, trace="", status=2)
    run("--json", "/nonexistent/x", trace=" L 10,8\n", status=1)


def test_validate():
    done = subprocess.run([SIMULATOR, "--validate", "--synthetic", "random:16M", "--warm", "1K",
                           "--limit", "100K"], capture_output=True, text=True, check=False)
    check(done.returncode in (0, 77), f"--validate: {done.returncode}: {done.stderr}")
    said = "measured: " if done.returncode == 0 else "SKIP: nothing to validate with: "
    check(said in done.stdout, done.stdout)


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
