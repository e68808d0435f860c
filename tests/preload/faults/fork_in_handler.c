/* SPDX-License-Identifier: MIT */
/*
 * A signal handler that forks, again and again, in a program with one thread that does nothing but
 * allocate: many of these signals come in the middle of malloc.
 */
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define FORKS 300

static volatile sig_atomic_t forks;

static void on_alarm(int number)
{
	int saved = errno;
	pid_t pid = fork();

	(void)number;
	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	forks++;
	errno = saved;
}

int main(void)
{
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct itimerval soon = {{0, 0}, {0, 1000}};
	int seen = -1;
	void *blocks[64] = {NULL};
	unsigned int r = 1;

	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	while (forks < FORKS) {
		/* One at a time: where a fork takes longer than that, nothing else would run. */
		if (forks != seen) {
			seen = forks;
			CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
		}
		r = r * 1103515245 + 12345;
		void **b = &blocks[r >> 16 & 63];
		free(*b);
		*b = malloc((r >> 8 & 0xfffff) + 70000);
		CHECK(*b);
	}
	puts("forked");
	return 0;
}
