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

struct shared {
	const struct options *options;
	uint64_t operations;
	uint64_t checksum[MAX_THREADS];
};

/* The inverse of the distribution function of a density ~ 1 / size^2 on [MIN_SIZE, MAX_SIZE]. */
static size_t random_size(uint64_t *seed)
{
	double u = random_unit(seed);

	return (size_t)(1 / (1.0 / MIN_SIZE - u * (1.0 / MIN_SIZE - 1.0 / MAX_SIZE)));
}

static void work(unsigned index, void *argument)
{
	struct shared *shared = argument;
	const uint64_t count = share(shared->operations, shared->options->threads, index);
	struct slot *set = get_block(SET * sizeof(*set));
	uint64_t seed = 88 + index, sum = 0;

	memset(set, 0, SET * sizeof(*set));
	for (uint64_t i = 0; i < count; i++) {
		struct slot *slot = &set[random_below(&seed, SET)];

		sum += slot_empty(slot);
		slot_fill(slot, random_size(&seed), random_next(&seed));
	}
	for (unsigned i = 0; i < SET; i++)
		sum += slot_empty(&set[i]);
	free(set);
	shared->checksum[index] = sum;
}

int main(int argc, char **argv)
{
	static struct shared shared;
	struct options options;
	uint64_t checksum = 0;

	parse_options(&options, argc, argv);
	shared.options = &options;
	shared.operations = scaled(&options, OPERATIONS);
	run_threads(options.threads, work, &shared);
	for (unsigned i = 0; i < options.threads; i++)
		checksum += shared.checksum[i];
	print_metric("operations", shared.operations);
	print_metric("checksum", checksum);
	return 0;
}
