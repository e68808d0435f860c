/* SPDX-License-Identifier: MIT */
/*
 * Linked with libpg64.a, so that it has pg64 in it also as a set-id program: says whether the
 * kernel takes it for one, and what pg64 made of its environment.
 */
#include <sys/auxv.h>

#include "check.h"

int main(void)
{
	struct pg64_stats stats = {.size = sizeof(stats)};
	void *p = malloc(100);

	CHECK(p && pg64_stats_get(&stats) == 0);
	printf("secure %lu\n", getauxval(AT_SECURE));
	printf("active %u\n", stats.active);
	printf("bad_option %llu\n", counter("bad_option"));
	free(p);
	return 0;
}
