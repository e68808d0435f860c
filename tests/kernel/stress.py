# SPDX-License-Identifier: MIT
"""stress.c in a guest, with swap on zram and a memory cgroup that has less than the program needs:
no page ever holds what was not written to it, and at the end all memory is given back.

usage: stress.py [stock|patched|debug|stock-debug] [SECONDS]    (default: patched 45)
"""
import os
import subprocess
import sys
import time

from kernel import check, main_in_guest, pg64test
import pages
from preload import case, program

KIND = sys.argv.pop(1) if len(sys.argv) > 1 and not sys.argv[1].isdigit() else "patched"
SECONDS = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].isdigit() else "45"
GROUP = "/sys/fs/cgroup/stress"
ZRAM = "/sys/block/zram0"
MIB = 1 << 20
SIZE_MIB, HIGH_MIB, SWAP_MIB = 192, 128, 512
SLACK_BYTES = 8 * MIB  # caches of the kernel
# KASAN keeps up to so much that was freed (QUARANTINE_FRACTION in mm/kasan/quarantine.c).
QUARANTINE_FRACTION = 32


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def table(path):
    """Numbers of "name value" or "name: value kB" lines."""
    return {line.split()[0].rstrip(":"): int(line.split()[1]) for line in read(path).splitlines()}


def swap_on():
    write(f"{ZRAM}/disksize", f"{SWAP_MIB}M")
    for words in (["mkswap", "/dev/zram0"], ["swapon", "/dev/zram0"]):
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def swap_off():
    subprocess.run(["swapoff", "/dev/zram0"], check=True)  # its slots are kept for reuse until then
    write(f"{ZRAM}/reset", "1")


def settled():
    """(free, anonymous, shared, swapped) bytes when nothing is left to wait for."""
    write("/proc/sys/vm/drop_caches", "3")
    write("/proc/sys/vm/compact_memory", "1")
    time.sleep(1)
    info = {name: value << 10 for name, value in table("/proc/meminfo").items()}
    free = info["MemFree"] + pages.free_on_cpu_lists()
    return (free, info["AnonPages"], info["Shmem"], info["SwapTotal"] - info["SwapFree"])


def in_group():
    write(f"{GROUP}/cgroup.procs", "0")


def stress(seconds, threads, seed):
    env = {**pg64test.clean_environment(), "STRESS_CGROUP": GROUP}
    said = subprocess.run([program("stress"), str(seconds), str(threads), str(SIZE_MIB), str(seed)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env,
                          preexec_fn=in_group, check=False, timeout=int(seconds) + 200)
    check(said.returncode == 0, f"seed {seed}: status {said.returncode}\n{said.stdout[-3000:]}")
    return {line.split()[0]: int(line.split()[1]) for line in said.stdout.splitlines()
            if line.split()[0] in ("steps", "refused", "advised")}


def pgsz64():
    return {name: value for name, value in table("/proc/vmstat").items()
            if name.startswith("pgsz64_")}


@case
def data_holds_and_memory_comes_back():
    os.makedirs(GROUP, exist_ok=True)
    write(f"{GROUP}/memory.high", str(HIGH_MIB * MIB))
    swap_on()
    stress(4, 4, 1)  # so that what is allocated once is allocated
    swap_off()
    before = settled()
    seed = int(time.time())
    swap_on()
    told = stress(SECONDS, 4, seed)
    swap_off()
    after = settled()
    group = table(f"{GROUP}/memory.stat")
    # Mapped may be what the program was first to read of a library, and this process maps, too: a
    # fault maps 16 pages around it. What is lost in steps would be many times as much.
    allowed = {"anon": 0, "shmem": 0, "file_mapped": min(MIB // 2, group["file"])}
    left = {name: group[name] for name, most in allowed.items() if group[name] > most}
    check(not left, f"the cgroup is still charged: {left}")
    check(read(f"{GROUP}/memory.swap.current").strip() == "0", "swap is still charged")
    charge = int(read(f"{GROUP}/memory.current")) - sum(
        group[name] for name in ("kernel", "file") if name in group)
    check(charge < 2 * MIB, f"the cgroup is still charged with {charge >> 10} KiB: {group}")
    os.rmdir(GROUP)
    lost = before[0] - after[0]
    slack = SLACK_BYTES
    if KIND.startswith("debug"):
        slack += table("/proc/meminfo")["MemTotal"] * 1024 // QUARANTINE_FRACTION
    check(lost < slack, f"seed {seed}: {lost >> 20} MiB less are free than before")
    for name, old, new in zip(("anonymous", "shared", "swapped"), before[1:], after[1:]):
        check(new - old < 4 * MIB, f"{(new - old) >> 10} KiB {name} more than before")
    swapped = table("/proc/vmstat")
    check(swapped["pswpout"] > 0 and swapped["pswpin"] > 0, "nothing was swapped")
    counters = pgsz64()
    if not KIND.startswith("stock"):
        check(told["advised"] > 0, "MADV_PAGESIZE_64K was never taken")
        for name in ("fault_alloc", "cow", "swpin", "repair", "demote"):
            check(counters.get(f"pgsz64_{name}"), f"pgsz64_{name} is 0 or missing")
    wanted = ("pswpout", "pswpin", "compact_success", "thp_split_page")
    seen = {**{name: swapped.get(name, 0) for name in wanted}, **counters}
    numbers = ", ".join(f"{name} {value}" for name, value in seen.items())
    return (f"seed {seed}, {told['steps']} steps, {told['refused']} refused, "
            f"{told['advised']} advised, {lost >> 10} KiB less free; {numbers}")


if __name__ == "__main__":
    sys.argv[1:] = [KIND, SECONDS] if not os.environ.get("KERNEL_GUEST") else []
    main_in_guest(__file__, kind=KIND, options=["--memory", "1G", "--numa"],
                  timeout=int(SECONDS) * 4 + 300)
