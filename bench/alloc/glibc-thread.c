/* SPDX-License-Identifier: MIT */
/*
 * glibc-thread: each thread keeps a working set of 1024 blocks and replaces random ones; the sizes
 * go from 4 bytes to 32 KiB, and their number falls with the square of the size.
 *
 * Pattern: the bench-malloc-thread of the GNU C library's benchtests, the pattern only, written
 * anew. The original runs for a time; here the number of operations is given.
 */
#include "common.h"

#define SET 1024
#define MIN_SIZE 4
#define MAX_SIZE 32768
#define OPERATIONS 40000000

/* The inverse of the distribution function of a density ~ 1 / size^2 on [MIN_SIZE, MAX_SIZE]. */
static size_t random_size(uint64_t *seed)
{
	double u = random_unit(seed);

	return (size_t)(1 / (1.0 / MIN_SIZE - u * (1.0 / MIN_SIZE - 1.0 / MAX_SIZE)));
}

static uint64_t work(unsigned index, unsigned threads, uint64_t steps)
{
	struct slot *set = get_block(SET * sizeof(*set));
	uint64_t seed = 88 + index, sum = 0;

	(void)threads;
	memset(set, 0, SET * sizeof(*set));
	for (uint64_t i = 0; i < steps; i++) {
		struct slot *slot = &set[random_below(&seed, SET)];

		sum += slot_empty(slot);
		slot_fill(slot, random_size(&seed), random_next(&seed));
	}
	for (unsigned i = 0; i < SET; i++)
		sum += slot_empty(&set[i]);
	free(set);
	return sum;
}

int main(int argc, char **argv)
{
	return run_parts(argc, argv, OPERATIONS, work);
}
