/* SPDX-License-Identifier: MIT */
/*
 * A kernel that says no: refuse ERRNO RULE... -- COMMAND [ARG...]
 *
 * Runs COMMAND under a seccomp filter that answers these calls with ERRNO:
 *   madvise            any madvise()
 *   madvise=N          madvise() with the advice N
 *   madvise=N/LEN      the same, but for calls with a length of LEN bytes: those of a probe
 *   mincore            any mincore()
 *   vma                prctl(PR_SET_VMA)
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VMA 0x53564d41 /* PR_SET_VMA */
#define LOW_WORD(arg) (offsetof(struct seccomp_data, args) + (arg) * sizeof(__u64))

static struct sock_filter filter[128];
static unsigned short filter_len;

static void add(unsigned short code, unsigned int k, unsigned char yes, unsigned char no)
{
	if (filter_len == sizeof(filter) / sizeof(filter[0]))
		exit(2);
	filter[filter_len++] = (struct sock_filter){.code = code, .jt = yes, .jf = no, .k = k};
}

static void load(size_t offset)
{
	add(BPF_LD | BPF_W | BPF_ABS, (unsigned int)offset, 0, 0);
}

/* The next @count instructions are for this word being, or not being, @value. */
static void if_is(unsigned int value, unsigned char count)
{
	add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count);
}

static void if_is_not(unsigned int value, unsigned char count)
{
	add(BPF_JMP | BPF_JEQ | BPF_K, value, count, 0);
}

static void refuse(int error)
{
	add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)error, 0, 0);
}

static void refuse_if_arg(long nr, int arg, unsigned int value, int error)
{
	load(offsetof(struct seccomp_data, nr));
	if_is((unsigned int)nr, 3);
	load(LOW_WORD(arg));
	if_is(value, 1);
	refuse(error);
}

static void refuse_advice(const char *text, int error)
{
	char *end;
	unsigned int advice = (unsigned int)strtoul(text, &end, 10);

	if (*end != '/') {
		refuse_if_arg(SYS_madvise, 2, advice, error);
		return;
	}
	load(offsetof(struct seccomp_data, nr));
	if_is(SYS_madvise, 5);
	load(LOW_WORD(2));
	if_is(advice, 3);
	load(LOW_WORD(1));
	if_is_not((unsigned int)strtoul(end + 1, NULL, 10), 1);
	refuse(error);
}

static void refuse_call(long nr, int error)
{
	load(offsetof(struct seccomp_data, nr));
	if_is((unsigned int)nr, 1);
	refuse(error);
}

static void add_rule(const char *rule, int error)
{
	if (strcmp(rule, "madvise") == 0)
		refuse_call(SYS_madvise, error);
	else if (strncmp(rule, "madvise=", 8) == 0)
		refuse_advice(rule + 8, error);
	else if (strcmp(rule, "mincore") == 0)
		refuse_call(SYS_mincore, error);
	else if (strcmp(rule, "vma") == 0)
		refuse_if_arg(SYS_prctl, 0, VMA, error);
	else
		exit(2);
}

static int error_of(const char *name)
{
	return strcmp(name, "EPERM") == 0    ? EPERM
	       : strcmp(name, "EINVAL") == 0 ? EINVAL
	       : strcmp(name, "ENOSYS") == 0 ? ENOSYS
					     : 0;
}

int main(int argc, char **argv)
{
	int error = argc > 1 ? error_of(argv[1]) : 0;
	int i = 2;

	if (!error)
		return 2;
	for (; i < argc && strcmp(argv[i], "--") != 0; i++)
		add_rule(argv[i], error);
	if (i + 1 >= argc)
		return 2;
	add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	struct sock_fprog program = {.len = filter_len, .filter = filter};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		perror("seccomp");
		return 77;
	}
	execvp(argv[i + 1], argv + i + 1);
	perror(argv[i + 1]);
	return 2;
}
