/* SPDX-License-Identifier: MIT */
/*
 * What cache-scratch and cache-thrash share: threads that allocate a small object, write to it many
 * times, and free it. If the allocator puts objects of two threads on one cache line, each write
 * takes the line from the other thread, and the run takes many times as long.
 */
#ifndef PG64_BENCH_ALLOC_CACHE_H
#define PG64_BENCH_ALLOC_CACHE_H

#include "common.h"

/* The work of one thread on objects of 8 bytes; returns what it counted. */
static inline uint64_t cache_rounds(uint64_t rounds, unsigned writes)
{
	struct slot witness; /* lives all the time: a block that is handed out twice hits it */
	uint64_t sum = 0;

	slot_fill(&witness, 8, rounds);
	for (uint64_t i = 0; i < rounds; i++) {
		volatile uint64_t *object = get_block(sizeof(*object));

		*object = i;
		for (unsigned j = 0; j < writes; j++)
			*object = *object + 1;
		if (*object != i + writes)
			corrupt("an object of one thread was written by somebody else");
		sum += *object;
		free((void *)object);
		check_stamp(witness.block, witness.size, witness.tag);
	}
	slot_empty(&witness);
	return sum;
}

#endif
