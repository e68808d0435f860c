/* SPDX-License-Identifier: MIT */
/*
 * Runs a command from a small process and prints what it cost as "name value" lines on file
 * descriptor 3: minor faults of it and its children, the largest resident memory in bytes, and the
 * anonymous memory in bytes that the command itself had when it exited. (A child that is forked by
 * a large process starts with its figure of resident memory.)
 *
 * The anonymous memory is the figure to hold a program to: what is resident of files depends on how
 * many of their pages the page cache happens to have, and in which folios.
 *
 * usage: spawn [NAME=VALUE...] COMMAND [ARG...]     (NAME=VALUE is for the command only)
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Exact: the counters of /proc/PID/status are summed per CPU, and behind by some pages. */
static long anonymous_bytes(pid_t pid)
{
	char path[64], line[256];
	long kib = -1;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	FILE *file = fopen(path, "re");
	while (file && kib < 0 && fgets(line, sizeof(line), file))
		if (sscanf(line, "Anonymous: %ld kB", &kib) != 1)
			kib = -1;
	if (file)
		fclose(file);
	return kib < 0 ? -1 : kib * 1024;
}

/* Lets the command run from its exec to its end; looks at its memory when it is about to go. */
static bool watch(pid_t pid, int *status, struct rusage *usage, long *anonymous)
{
	bool started = false;

	while (wait4(pid, status, 0, usage) == pid) {
		if (!WIFSTOPPED(*status))
			return true;
		int forward = WSTOPSIG(*status);
		if (*status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8)) {
			*anonymous = anonymous_bytes(pid);
			forward = 0;
		} else if (!started && forward == SIGTRAP) {
			started = true;
			forward = 0;
			if (ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACEEXIT))
				return false;
		}
		if (ptrace(PTRACE_CONT, pid, NULL, (void *)(long)forward))
			return false;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct rusage usage;
	long anonymous = -1;
	int status, first = 1;

	while (first < argc && strchr(argv[first], '='))
		first++;
	if (first >= argc)
		return 2;
	pid_t pid = fork();
	if (pid == 0) {
		for (int i = 1; i < first; i++)
			putenv(argv[i]);
		close(3);
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
			execv(argv[first], argv + first);
		_exit(127);
	}
	if (pid < 0 || !watch(pid, &status, &usage, &anonymous) || anonymous < 0)
		return 126;
	dprintf(3, "minor_faults %ld\nrss_max %ld\nanonymous %ld\n", usage.ru_minflt,
		usage.ru_maxrss * 1024, anonymous);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}
