/* SPDX-License-Identifier: MIT */
/*
 * cache-scratch: passive false sharing. The first thread allocates one small object for each
 * thread, neighbours most likely; each thread frees the one it was given and then works like
 * cache-thrash. An allocator that lets a thread reuse what another one allocated keeps the lines
 * shared.
 *
 * Pattern: E. Berger, K. McKinley, R. Blumofe, P. Wilson, "Hoard: A Scalable Memory Allocator for
 * Multithreaded Applications", ASPLOS 2000 (there passive-false).
 */
#include "cache.h"

#define ROUNDS 12000000
#define WRITES 400

struct shared {
	const struct options *options;
	uint64_t rounds;
	struct slot given[MAX_THREADS];
	uint64_t checksum[MAX_THREADS];
};

static void work(unsigned index, void *argument)
{
	struct shared *shared = argument;
	const uint64_t rounds = share(shared->rounds, shared->options->threads, index);
	uint64_t sum = slot_empty(&shared->given[index]);

	shared->checksum[index] = sum + cache_rounds(rounds, WRITES);
}

int main(int argc, char **argv)
{
	static struct shared shared;
	struct options options;
	uint64_t checksum = 0;

	parse_options(&options, argc, argv);
	shared.options = &options;
	shared.rounds = scaled(&options, ROUNDS);
	for (unsigned i = 0; i < options.threads; i++)
		slot_fill(&shared.given[i], 8, i + 1);
	run_threads(options.threads, work, &shared);
	for (unsigned i = 0; i < options.threads; i++)
		checksum += shared.checksum[i];
	print_metric("operations", shared.rounds);
	print_metric("checksum", checksum);
	return 0;
}
