/* SPDX-License-Identifier: MIT */
/*
 * alloc-test: many slots, a few of which are used most of the time. Each step picks one (80 % of
 * the steps pick among about 20 % of the slots) and empties it if it was full, fills it if it was
 * empty; sizes fall off by a power law. Meant to come close to the heap of a real program.
 *
 * Pattern: S. Ignatchenko, D. Ivanchykhin, "Testing Memory Allocators: ptmalloc2 vs tcmalloc vs
 * hoard vs jemalloc While Trying to Simulate Real-World Loads", 2018.
 */
#include "common.h"

#define SLOTS (1 << 18)
#define MIN_SIZE 8
#define MAX_SIZE 8192
#define STEPS 28000000

/* u^3 puts 0.2^(1/3) = 58 % of the steps on the first 20 % of the slots; u^7, 79 %. */
static uint32_t pareto_index(uint64_t *seed, uint32_t count)
{
	double u = random_unit(seed), square = u * u;

	return (uint32_t)(square * square * square * u * count);
}

static uint64_t work(unsigned index, unsigned threads, uint64_t steps)
{
	const uint32_t count = SLOTS / threads;
	struct slot *slots = get_block(count * sizeof(*slots));
	uint64_t seed = 1000 + index, sum = 0;

	memset(slots, 0, count * sizeof(*slots));
	for (uint64_t i = 0; i < steps; i++) {
		struct slot *slot = &slots[pareto_index(&seed, count)];

		if (slot->block)
			sum += slot_empty(slot);
		else
			slot_fill(slot, random_power_size(&seed, MIN_SIZE, MAX_SIZE),
				random_next(&seed));
	}
	for (uint32_t i = 0; i < count; i++)
		sum += slot_empty(&slots[i]);
	free(slots);
	return sum;
}

int main(int argc, char **argv)
{
	return run_parts(argc, argv, STEPS, work);
}
