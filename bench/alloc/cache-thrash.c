/* SPDX-License-Identifier: MIT */
/*
 * cache-thrash: active false sharing. Each thread allocates a small object, writes to it many times
 * and frees it, over and over: an allocator that hands out neighbours to different threads makes
 * them share cache lines.
 *
 * Pattern: E. Berger, K. McKinley, R. Blumofe, P. Wilson, "Hoard: A Scalable Memory Allocator for
 * Multithreaded Applications", ASPLOS 2000 (there active-false).
 */
#include "cache.h"

#define ROUNDS 12000000
#define WRITES 400

struct shared {
	const struct options *options;
	uint64_t rounds;
	uint64_t checksum[MAX_THREADS];
};

static void work(unsigned index, void *argument)
{
	struct shared *shared = argument;

	shared->checksum[index] =
		cache_rounds(share(shared->rounds, shared->options->threads, index), WRITES);
}

int main(int argc, char **argv)
{
	static struct shared shared;
	struct options options;
	uint64_t checksum = 0;

	parse_options(&options, argc, argv);
	shared.options = &options;
	shared.rounds = scaled(&options, ROUNDS);
	run_threads(options.threads, work, &shared);
	for (unsigned i = 0; i < options.threads; i++)
		checksum += shared.checksum[i];
	print_metric("operations", shared.rounds);
	print_metric("checksum", checksum);
	return 0;
}
