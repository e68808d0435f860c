/* SPDX-License-Identifier: MIT */
/*
 * mstress: a server under load. In each phase threads start, allocate blocks of power-law sizes
 * with random lifetimes, free some at once, keep some until they end, and trade some with other
 * threads through a shared array; then the threads end, and the array lives on.
 *
 * Pattern: D. Leijen, B. Zorn, L. de Moura, "Mimalloc: Free List Sharding in Action", APLAS 2019,
 * and the stress test that came with it.
 */
#include <stdatomic.h>

#include "common.h"

#define TRANSFERS 1000
#define PHASES 50
#define BLOCKS 300000 /* of all threads in one phase */
#define MIN_WORDS 2
#define MAX_WORDS 4096
#define LARGE_WORDS (1 << 17)

/* A traded block tells its own size, because a pointer is all that can be traded atomically. */
struct block {
	uint64_t words;
	uint64_t tag;
	uint64_t rest[];
};

struct shared {
	const struct options *options;
	_Atomic(struct block *) transfers[TRANSFERS];
	uint64_t phase, blocks;
	uint64_t made[MAX_THREADS], freed[MAX_THREADS];
};

static uint64_t word_at(const struct block *block, uint64_t i)
{
	return block->tag + i * block->words;
}

static struct block *make_block(uint64_t *seed, uint64_t *made)
{
	uint64_t words = random_below(seed, 20000) ? random_power_size(seed, MIN_WORDS, MAX_WORDS)
						   : LARGE_WORDS;
	struct block *block = get_block(words * sizeof(uint64_t));

	block->words = words;
	block->tag = random_next(seed);
	for (uint64_t i = 0; i + MIN_WORDS < words; i++)
		block->rest[i] = word_at(block, i);
	*made += block->tag;
	return block;
}

static void drop_block(struct block *block, uint64_t *freed)
{
	if (!block)
		return;
	if (block->words < MIN_WORDS || block->words > LARGE_WORDS)
		corrupt("a block has a size that none was given");
	for (uint64_t i = 0; i + MIN_WORDS < block->words; i++) {
		if (block->rest[i] != word_at(block, i))
			corrupt("a block does not hold what was written to it");
	}
	*freed += block->tag;
	block->words = 0; /* so that freeing it twice is seen */
	free(block);
}

/* Swaps *block with a random place of the array. */
static void trade(struct shared *shared, uint64_t *seed, struct block **block)
{
	*block = atomic_exchange(&shared->transfers[random_below(seed, TRANSFERS)], *block);
}

static void work(unsigned index, void *argument)
{
	struct shared *shared = argument;
	uint64_t count = share(shared->blocks, shared->options->threads, index);
	uint64_t seed = shared->phase * MAX_THREADS + index;
	uint64_t made = 0, freed = 0;
	struct block **kept = get_block((count + 1) * sizeof(*kept));
	uint64_t keeps = 0;

	for (uint64_t i = 0; i < count; i++) {
		struct block *block = make_block(&seed, &made);
		uint32_t fate = random_below(&seed, 100);

		if (fate < 25)
			trade(shared, &seed, &block);
		if (fate < 50 && keeps) {
			struct block **old = &kept[random_below(&seed, (uint32_t)keeps)];

			drop_block(*old, &freed);
			*old = block;
		} else if (fate < 75) {
			kept[keeps++] = block;
		} else {
			drop_block(block, &freed);
		}
	}
	while (keeps)
		drop_block(kept[--keeps], &freed);
	free(kept);
	shared->made[index] += made;
	shared->freed[index] += freed;
}

static void drop_transfers(struct shared *shared)
{
	for (unsigned i = 0; i < TRANSFERS; i++)
		drop_block(atomic_exchange(&shared->transfers[i], NULL), &shared->freed[0]);
}

int main(int argc, char **argv)
{
	static struct shared shared;
	struct options options;
	uint64_t made = 0, freed = 0;

	parse_options(&options, argc, argv);
	shared.options = &options;
	shared.blocks = scaled(&options, BLOCKS);
	for (shared.phase = 0; shared.phase < PHASES; shared.phase++) {
		run_threads(options.threads, work, &shared);
		if (shared.phase % 10 == 9)
			drop_transfers(&shared);
	}
	for (unsigned i = 0; i < options.threads; i++) {
		made += shared.made[i];
		freed += shared.freed[i];
	}
	if (made != freed)
		corrupt("other blocks were freed than were allocated");
	print_metric("operations", shared.blocks * PHASES);
	print_metric("checksum", freed);
	return 0;
}
