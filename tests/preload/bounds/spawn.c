/* SPDX-License-Identifier: MIT */
/*
 * Runs a command from a small process and prints what it cost as "name value" lines on file
 * descriptor 3: minor faults and the largest resident memory in bytes. (A child that is forked by
 * a large process starts with its figure of resident memory.)
 *
 * usage: spawn [NAME=VALUE...] COMMAND [ARG...]     (NAME=VALUE is for the command only)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct rusage usage;
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
		execv(argv[first], argv + first);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
		return 126;
	dprintf(3, "minor_faults %ld\nrss_max %ld\n", usage.ru_minflt, usage.ru_maxrss * 1024);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}
