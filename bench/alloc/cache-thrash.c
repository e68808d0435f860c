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

static uint64_t work(unsigned index, unsigned threads, uint64_t steps)
{
	(void)index;
	(void)threads;
	return cache_rounds(steps, WRITES);
}

int main(int argc, char **argv)
{
	return run_parts(argc, argv, ROUNDS, work);
}
