/* SPDX-License-Identifier: MIT */
/*
 * launch RESULT-FD COMMAND ARG...: run a command and write what it cost to a descriptor.
 *
 * Why not from Python: exec() hands the peak RSS of the process that called it down to the program
 * (exec_mmap() in fs/exec.c keeps the old high-water mark), so that a big parent hides the RSS of
 * a small child. This program is small. It waits for orphans of the command as well, so that their
 * costs are in, and passes its signals on.
 *
 * Written: "wall_s cpu_s minor_faults rss_bytes status\n"; status is the shell's form.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static volatile sig_atomic_t child;

static void pass_on(int number)
{
	if (child > 0)
		kill((pid_t)child, number);
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Start the command with the signals as they were before launch took them. 0 or an errno. */
static int start(char **argv, int keep_off, pid_t *pid)
{
	posix_spawn_file_actions_t actions;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addclose(&actions, keep_off);
	int error = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

static int wait_for_all(pid_t pid)
{
	int status = 0, found;
	pid_t ended;

	while ((ended = wait(&found)) > 0 || errno == EINTR)
		if (ended == pid) {
			status = found;
			child = 0;
		}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	struct rusage usage;
	char *end;
	pid_t pid;

	if (argc < 3) {
		fprintf(stderr, "usage: launch RESULT-FD COMMAND ARG...\n");
		return 2;
	}
	int fd = (int)strtol(argv[1], &end, 10);
	if (*end || fd < 0) {
		fprintf(stderr, "launch: %s is no descriptor\n", argv[1]);
		return 2;
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	double begin = now();
	int error = start(argv + 2, fd, &pid);
	if (error) {
		fprintf(stderr, "launch: %s: %s\n", argv[2], strerror(error));
		return 127;
	}
	child = pid;
	signal(SIGTERM, pass_on);
	signal(SIGINT, pass_on);
	int status = wait_for_all(pid);
	double wall = now() - begin;
	getrusage(RUSAGE_CHILDREN, &usage);
	dprintf(fd, "%.6f %.6f %ld %ld %d\n", wall,
		seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_minflt,
		usage.ru_maxrss * 1024, status);
	return status;
}
