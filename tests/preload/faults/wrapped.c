/* SPDX-License-Identifier: MIT */
/*
 * Allocates by all of the family; says whether a wrapper of malloc was called, and whether pg64
 * serves.
 */
#include <malloc.h>

#include "check.h"

extern unsigned long wrapper_calls(void) __attribute__((weak));
extern __typeof__(pg64_stats_get) pg64_stats_get __attribute__((weak));

int main(void)
{
	struct pg64_stats stats = {.size = sizeof(stats)};
	unsigned long before = wrapper_calls ? wrapper_calls() : 0;

	for (size_t size = 1; size < 10 * MIB; size *= 2) {
		char *blocks[] = {
			malloc(size), calloc(1, size), memalign(64, size), strdup("text")};

		for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
			CHECK(blocks[i]);
			hide(blocks[i]);
			if (i % 2)
				CHECK(blocks[i] = realloc(blocks[i], size + 100));
			free(blocks[i]);
		}
	}
	printf("wrapped %d\n", wrapper_calls && wrapper_calls() > before);
	if (pg64_stats_get)
		CHECK(pg64_stats_get(&stats) == 0);
	printf("active %u\n", stats.active);
	printf("foreign_free %llu\n", counter("foreign_free"));
	return 0;
}
