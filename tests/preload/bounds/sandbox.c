/* SPDX-License-Identifier: MIT */
/*
 * sandbox [open]: a program that fills part of its heap, then shuts itself into a sandbox that
 * kills it for any system call that a heap does not need, fills more, and goes on using it. Says
 * what was promoted, before and after. With "open" it opens a file in there, and must be killed.
 */
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../check.h"

#define BLOCK 4096
#define BEFORE (48 * MIB)
#define AFTER (48 * MIB)
#define SECONDS 10
#define ENOUGH 20 /* stretches */

static const int allowed[] = {SYS_madvise, SYS_mincore, SYS_mmap, SYS_munmap, SYS_mprotect,
	SYS_prctl, SYS_futex, SYS_clock_gettime, SYS_sched_yield, SYS_write, SYS_exit_group};

#define ALLOWED (sizeof(allowed) / sizeof(allowed[0]))

static void shut_in(void)
{
	struct sock_filter filter[2 * ALLOWED + 2];
	struct sock_fprog program = {.filter = filter};
	unsigned short n = 0;

	filter[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ALLOWED; i++) {
		filter[n++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)allowed[i], 0, 1);
		filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	program.len = n;
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void fill(size_t len)
{
	for (size_t have = 0; have < len; have += BLOCK) {
		char *p = malloc(BLOCK);

		CHECK(p);
		memset(p, 1, BLOCK);
	}
}

/* A program that lives, until enough of its heap was promoted or the time is up. */
static void live(void)
{
	static void *blocks[64];
	time_t end = time(NULL) + SECONDS;

	for (size_t i = 0; time(NULL) < end && counter("promote_ok") < ENOUGH; i++) {
		void **block = &blocks[i % 64];

		free(*block);
		*block = malloc(100000);
		CHECK(*block);
	}
}

static void say(const char *name, unsigned long long value)
{
	char text[80];
	int len = snprintf(text, sizeof(text), "%s %llu\n", name, value);

	CHECK(write(STDOUT_FILENO, text, (size_t)len) == len);
}

int main(int argc, char **argv)
{
	fill(BEFORE);
	say("before", counter("promote_ok"));
	shut_in();
	if (argc > 1 && strcmp(argv[1], "open") == 0)
		return open("/dev/null", O_RDONLY) < 0;
	fill(AFTER);
	live();
	say("promoted", counter("promote_ok"));
	say("born", counter("promote_born"));
	_exit(0);
}
