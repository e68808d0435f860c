# SPDX-License-Identifier: MIT
"""kernel-patch/boot on the stock kernel: output and exit status pass, trouble does not."""
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from kernel import BOOT, DIED, TIMED_OUT, TROUBLE, Ran, boot, case, check, image, main


def shell(text, **options):
    return boot("sh", "-c", text, kind="stock", **options)


def lines(ran):
    return ran.expect().out.splitlines()


@case
def output_and_status():
    ran = shell("echo out; echo err >&2; exit 3").expect(3)
    check((ran.out, ran.err) == ("out\n", "err\n"), f"{ran.out!r} {ran.err!r}")
    return f"{ran.took:.1f} s"


@case
def statuses():
    """Those that this program uses itself pass, too: a command may end with 124."""
    for status in (0, 1, 77, 124, 125, 255):
        shell(f"exit {status}").expect(status)
    shell("kill -KILL $$").expect(137)
    boot("pg64-no-such-command", kind="stock").expect(127, "No such file")
    boot("/etc/passwd", kind="stock").expect(126, "Permission denied")


@case
def output_is_exact():
    """All bytes of much output, in both channels; a last line without its end."""
    code = ("import sys, os\nblock = bytes(range(256)) * 4096\n"
            "for i in range(4):\n    os.write(1, block); os.write(2, block)\nos.write(1, b'end')")
    with Streams("python3", "-c", code) as (out, err):
        block = bytes(range(256)) * 4096 * 4
        check(hashlib.sha256(out).digest() == hashlib.sha256(block + b"end").digest(),
              f"{len(out)} bytes of output")
        check(err == block, f"{len(err)} bytes of standard error")


class Streams:
    """Output and standard error as bytes, each to a file."""

    def __init__(self, *words):
        self.words = [BOOT, "--image", image("stock"), "--timeout", "120", "--", *words]

    def __enter__(self):
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            subprocess.run(self.words, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                           timeout=400, check=True)
            out.seek(0)
            err.seek(0)
            return out.read(), err.read()

    def __exit__(self, *_):
        return False


@case
def arguments_folder_environment():
    with tempfile.TemporaryDirectory(prefix="pg64 guest,") as folder:
        words = ["a b", "", "new\nline", "'\"$HOME\\", "ä", "-x", "--timeout"]
        code = "import os, sys; print(repr((sys.argv[1:], os.getcwd(), os.environ.get('SEEN')," \
               " os.environ.get('UNSEEN'), os.environ.get('PASSED'))))"
        env = {**os.environ, "UNSEEN": "1", "PASSED": "x=y z"}
        ran = boot(sys.executable, "-c", code, *words, kind="stock", cwd=folder, env=env,
                   options=["--env", "SEEN=a b=c", "--env", "PASSED"]).expect()
        wanted = repr((words, os.path.realpath(folder), "a b=c", None, "x=y z"))
        check(ran.out.strip() == wanted, f"{ran.out}{wanted}")


@case
def host_is_not_written():
    with tempfile.TemporaryDirectory(prefix="pg64-guest-") as folder:
        with open(os.path.join(folder, "file"), "w", encoding="ascii") as file:
            file.write("before\n")
        seen = lines(shell("cat file; echo after >file; rm -f other; echo new >new; cat file new;"
                           " mkdir d && mv file d/ && cat d/file", cwd=folder))
        check(seen == ["before", "after", "new", "after"], seen)
        with open(os.path.join(folder, "file"), encoding="ascii") as file:
            check((file.read(), os.listdir(folder)) == ("before\n", ["file"]), "written")


@case
def file_systems():
    ran = shell("cat /proc/mounts; ls -d /sys/kernel/mm/transparent_hugepage /dev/ptmx /dev/fd "
                "/sys/fs/cgroup/memory.stat /proc/sys/vm/compact_memory /sys/block/zram0 "
                "/sys/kernel/debug/fail_page_alloc /sys/kernel/tracing/events/kmem; "
                "cat /sys/class/net/lo/operstate; echo yes | tee /dev/shm/x /tmp/x /dev/stderr;"
                " uname -r; nproc", options=["--append", "quiet pg64.test=1"])
    mounted = {tuple(line.split()[1:3]) for line in lines(ran) if line.count(" ") == 5}
    for wanted in (("/", "overlay"), ("/proc", "proc"), ("/sys", "sysfs"), ("/dev", "devtmpfs"),
                   ("/dev/pts", "devpts"), ("/dev/shm", "tmpfs"), ("/sys/fs/cgroup", "cgroup2"),
                   ("/sys/kernel/debug", "debugfs"), ("/sys/kernel/tracing", "tracefs")):
        check(wanted in mounted, f"{wanted} is not in {sorted(mounted)}")
    tail = ran.out.splitlines()
    check(tail[-1] == "2" and tail[-2].endswith("-stock"), tail[-2:])


@case
def machine():
    """Processors, nodes, memory and the kernel command line are as asked for."""
    seen = lines(shell("nproc; ls -d /sys/devices/system/node/node[0-9]* | wc -l;"
                       " cat /proc/cmdline;"
                       " sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo;"
                       " cat /sys/devices/system/node/node1/cpulist",
                       options=["--numa", "--cpus", "4", "--memory", "768M",
                                "--append", "thash_entries=77"]))
    check(seen[:2] == ["4", "2"] and "thash_entries=77" in seen[2] and seen[4] == "2-3", seen)
    check(600 << 10 < int(seen[3]) <= 768 << 10, seen)


@case
def another_user():
    seen = lines(shell("id -u; id -G; echo x >/dev/stdout; touch /etc/x 2>/dev/null || echo no",
                       options=["--user", "nobody"]))
    check(seen[0] == "65534" and seen[2:] == ["x", "no"], seen)


@case
def background_process_does_not_hold_it():
    ran = shell("sleep 1000 & setsid sleep 1000 & echo done", timeout=60).expect()
    check(ran.out == "done\n" and ran.took < 40, f"{ran.out} {ran.took}")


@case
def warning_is_trouble():
    ran = shell("echo 'WARNING: CPU: 0 PID: 1 at mm/made.c:1' >/dev/kmsg; echo seen; exit 4")
    ran.expect(TROUBLE, r"boot: .*lines of trouble")
    check("mm/made.c:1" in ran.err and "ended with 4" in ran.err and ran.out == "seen\n", ran.err)


@case
def warning_is_trouble_with_a_quiet_console():
    shell("dmesg -n 1; echo '<4>BUG: Bad page state in process x' >/dev/kmsg").expect(TROUBLE)


@case
def panic_is_trouble():
    shell("echo c >/proc/sysrq-trigger; sleep 100").expect(TROUBLE, "Kernel panic")


@case
def oom_kill_is_trouble():
    eat = "x = []\nwhile True: x.append(bytearray(1 << 20))"
    small = ["--memory", "256M"]
    boot("python3", "-c", eat, kind="stock", options=small).expect(TROUBLE, "Out of memory")
    boot("python3", "-c", eat, kind="stock", options=[*small, "--allow-oom"]).expect(137)


@case
def timeout():
    with tempfile.TemporaryDirectory(prefix="pg64-guest-") as folder:
        log = os.path.join(folder, "console,log")
        ran = shell("echo before; sleep 1000", timeout=30, options=["--log", log])
        ran.expect(TIMED_OUT, "not at its end after 30 s")
        check(ran.out == "before\n" and ran.took < 60, f"{ran.out!r} {ran.took}")
        check(not machines_with(log), "QEMU is still there")
        with open(log, encoding="utf-8") as file:
            check("Linux version" in file.read(), "no console log")


def machines_with(word):
    """Processes whose command line names the file."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read()
        except OSError:
            continue
        if b"qemu" in words and word.replace(",", ",,").encode() in words:
            found.append(pid)
    return found


@case
def signal_ends_the_guest():
    with tempfile.TemporaryDirectory(prefix="pg64-guest-") as folder:
        log = os.path.join(folder, "log")
        with subprocess.Popen([BOOT, "--image", image("stock"), "--log", log, "sh", "-c",
                               "echo up; sleep 1000"], stdout=subprocess.PIPE,
                              env={**os.environ, "TMPDIR": folder}) as child:
            check(child.stdout.readline() == b"up\n", "no guest")
            child.terminate()
            check(child.wait(30) == 143, f"ended with {child.returncode}")
        check(not machines_with(log), "QEMU is still there")
        check(os.listdir(folder) == ["log"], os.listdir(folder))


@case
def old_logs_go():
    """But not that of a guest that is running."""
    with tempfile.TemporaryDirectory(prefix="pg64-guest-") as cache:
        with subprocess.Popen(["true"]) as ended:
            ended.wait()
        logs = os.path.join(cache, "pg64/kernel/logs")
        os.makedirs(logs)
        running = f"20190101-000000-{os.getpid()}.log"
        for name in (running, *(f"20200101-0000{i:02}-{ended.pid}.log" for i in range(30))):
            with open(os.path.join(logs, name), "w", encoding="utf-8"):
                pass
        boot("true", kind="stock", env={**os.environ, "XDG_CACHE_HOME": cache}).expect()
        left = os.listdir(logs)
        check(running in left and len(left) == 21, left)


@case
def no_status():
    shell("echo o >/proc/sysrq-trigger; sleep 100", timeout=60).expect(DIED, "without a status")


class Emulator:
    """A folder for PATH with a qemu-system-x86_64 that does as told, once a start."""

    def __init__(self, *deeds):
        self.deeds = deeds  # lines of shell; after the last, and where one goes on, the real one

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="pg64-guest-")
        starts, name = os.path.join(self.folder.name, "starts"), "qemu-system-x86_64"
        cases = "".join(f"{i}) {deed} ;;\n" for i, deed in enumerate(self.deeds, 1))
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\necho start >>{starts}\n"
                       f"case $(wc -l <{starts}) in\n{cases}esac\n"
                       f"exec {shutil.which(name)} \"$@\"\n")
        os.chmod(path, 0o755)
        self.env = {**os.environ, "PATH": f"{self.folder.name}:{os.environ['PATH']}"}
        return self

    def starts(self):
        with open(os.path.join(self.folder.name, "starts"), encoding="utf-8") as file:
            return len(file.readlines())

    def __exit__(self, *_):
        self.folder.cleanup()


@case
def emulator_that_crashes_is_started_again():
    with Emulator("kill -SEGV $$", "kill -ABRT $$") as emulator:
        ran = shell("echo out; exit 3", env=emulator.env)
        ran.expect(3, r"(?s)ended by SIGSEGV before .*\.1\n.*ended by SIGABRT before .*\.2\n")
        check(ran.out == "out\n" and emulator.starts() == 3, f"{ran.out!r} {emulator.starts()}")
        check("line" not in ran.err, ran.err)


@case
def emulator_that_always_crashes():
    with Emulator(*["kill -SEGV $$"] * 4) as emulator:
        shell("true", env=emulator.env).expect(DIED, "without a status")
        check(emulator.starts() == 3, emulator.starts())


@case
def command_that_has_begun_is_not_run_again():
    with Emulator() as emulator, tempfile.TemporaryDirectory(prefix="pg64-guest-") as folder:
        log = os.path.join(folder, "log")
        for end in (signal.SIGSEGV, signal.SIGKILL):
            words = [BOOT, "--image", image("stock"), "--log", log, "sh", "-c",
                     "echo up; sleep 1000"]
            with subprocess.Popen(["sh", "-c", 'ulimit -c 0; exec "$@"', "sh", *words],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  env=emulator.env) as child:
                check(child.stdout.readline() == b"up\n", "no guest")
                end_machine(log, end)
                said = child.communicate(timeout=60)[1].decode()
            check(child.returncode == DIED and "without a status" in said,
                  f"{end}: {child.returncode} {said}")
        check(emulator.starts() == 2, emulator.starts())


def end_machine(log, how):
    """Not `timeout`, whose command line has the same words."""
    for pid in machines_with(log):
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            if file.read().startswith("qemu"):
                os.kill(int(pid), how)


@case
def trouble_before_a_crash_is_told():
    """The kernel's word comes first: such a start is not tried again."""
    deed = 'echo "kernel BUG at mm/memory.c" >"$(echo "$*" | grep -o \'path=[^ ]*\' | head -n 1 |' \
           ' cut -c6-)"; kill -SEGV $$'
    with Emulator(deed) as emulator:
        shell("true", env=emulator.env).expect(TROUBLE, "kernel BUG at")
        check(emulator.starts() == 1, emulator.starts())


@case
def silent_machine_is_started_again():
    with Emulator("exec sleep 1000") as emulator:
        ran = shell("exit 4", env=emulator.env, options=["--silence", "20"])
        ran.expect(4, "said nothing for 20 s before the command began: started again")


@case
def no_kernel_that_speaks():
    with Emulator(*["exec sleep 1000"] * 4) as emulator:
        ran = shell("exit 4", env=emulator.env, timeout=3)
        ran.expect(DIED, "the kernel said nothing for 2 s: ")
        check(emulator.starts() == 3 and ran.took < 30, f"{emulator.starts()}, {ran.took:.0f} s")


@case
def signal_ends_a_silent_machine():
    with Emulator("exec sleep 1000") as emulator, \
            tempfile.TemporaryDirectory(prefix="pg64-guest-") as folder:
        with subprocess.Popen([BOOT, "--image", image("stock"), "--log", f"{folder}/log", "true"],
                              env={**emulator.env, "TMPDIR": folder}) as child:
            while not os.path.exists(os.path.join(emulator.folder.name, "starts")):
                time.sleep(0.1)
            child.terminate()
            check(child.wait(30) == 143, f"ended with {child.returncode}")
        check(os.listdir(folder) == ["log"], os.listdir(folder))


@case
def no_kernel():
    Ran([BOOT, "--image", "/etc/passwd", "true"], 60).expect(DIED, "without a status")
    Ran([BOOT, "--image", "/no/such/image", "true"], 60).expect(1, "no such kernel image")


@case
def wrong_usage():
    for words in ([], ["--memory", "2", "true"], ["--cpus", "9", "true"], ["--none", "true"],
                  ["--timeout", "x", "true"], ["--timeout"], ["--silence", "0", "true"],
                  ["--user", "no-such-user", "true"]):
        Ran([BOOT, "--image", image("stock"), *words], 60).expect(2, "boot: ")
    ran = Ran([BOOT, "--help"], 60).expect()
    check("--timeout" in ran.out, ran.out)


@case
def missing_tool():
    with tempfile.TemporaryDirectory(prefix="pg64-guest-") as folder:
        for name in ("bash", "dirname", "cpio", "gcc", "timeout", "setpriv"):
            for place in os.environ["PATH"].split(":"):
                if os.path.exists(os.path.join(place, name)):
                    os.symlink(os.path.join(place, name), os.path.join(folder, name))
                    break
        env = {"PATH": folder, "HOME": folder}
        Ran([BOOT, "--image", image("stock"), "true"], 60, env=env).expect(
            1, r"(?s)missing: qemu-system-x86_64\n.*apt-get install .*qemu-system-x86")


if __name__ == "__main__":
    main(at_once=2)
