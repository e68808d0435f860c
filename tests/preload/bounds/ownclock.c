/* SPDX-License-Identifier: MIT */
/*
 * A program that has a clock_gettime() of its own, as libraries that fake the time have, and one
 * that allocates and frees. Prints how deep its calls were nested.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int depth, deepest;

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *time)
{
	if (++depth > deepest)
		deepest = depth;
	if (depth < 10) {
		free(malloc((size_t)40 << 20));
		free(malloc(3000));
	}
	depth--;
	return (int)syscall(SYS_clock_gettime, clock, time);
}

int main(void)
{
	void *first = malloc((size_t)8 << 20);

	free(malloc(300000));
	free(first);
	for (int i = 0; i < 1000; i++)
		free(malloc(i % 2 ? 100 : 5000));
	printf("deepest %d\n", deepest);
	return 0;
}
