/* SPDX-License-Identifier: MIT */
/*
 * realloc() keeps what is in a block: growing and shrinking through every size class, over large
 * sizes in small and large steps, for blocks of malloc, calloc and memalign.
 */
#include <malloc.h>

#include "check.h"

static void fill(unsigned char *p, size_t from, size_t to, uint32_t seed)
{
	for (size_t i = from; i < to; i++)
		p[i] = (unsigned char)(seed + i * 31 + (i >> 8) * 7 + (i >> 16));
}

static int holds(const unsigned char *p, size_t n, uint32_t seed)
{
	/* All of a small block; both ends and a sample of a large one. */
	size_t step = n > 256 * KIB ? 509 : 1;

	for (size_t i = 0; i < n; i += step)
		if (p[i] != (unsigned char)(seed + i * 31 + (i >> 8) * 7 + (i >> 16)))
			return 0;
	for (size_t i = n > 64 ? n - 64 : 0; i < n; i++)
		if (p[i] != (unsigned char)(seed + i * 31 + (i >> 8) * 7 + (i >> 16)))
			return 0;
	return 1;
}

static unsigned char *resize(unsigned char *p, size_t old, size_t new, uint32_t seed)
{
	p = realloc(p, new);
	CHECK(p && holds(p, old < new ? old : new, seed));
	CHECK(malloc_usable_size(p) >= new);
	if (new > old)
		fill(p, old, new, seed);
	return p;
}

static void up_and_down(size_t limit, double factor, uint32_t seed)
{
	size_t size = 1;
	unsigned char *p = malloc(size);

	fill(p, 0, size, seed);
	while (size < limit) {
		size_t next = (size_t)((double)size * factor) + 1;

		p = resize(p, size, next, seed);
		size = next;
	}
	while (size > 1) {
		size_t next = (size_t)((double)size / factor);

		p = resize(p, size, next ? next : 1, seed);
		size = next ? next : 1;
	}
	free(p);
}

/* By a constant step, as a buffer that is read into. */
static void steps(size_t step, size_t limit)
{
	size_t size = step;
	unsigned char *p = malloc(size);

	fill(p, 0, size, 3);
	for (; size < limit; size += step)
		p = resize(p, size, size + step, 3);
	free(p);
}

#define SLOTS 200

static void random_walk(uint32_t seed, int moves)
{
	static struct slot {
		unsigned char *p;
		size_t size;
		uint32_t seed;
	} slots[SLOTS];

	for (int i = 0; i < moves; i++) {
		struct slot *s = &slots[next_random(&seed) % SLOTS];
		size_t size = (size_t)1 << (next_random(&seed) % 22);

		size += next_random(&seed) % size;
		if (!s->p) {
			uint32_t how = next_random(&seed) % 3;

			s->p = how == 0	  ? malloc(size)
			       : how == 1 ? calloc(size, 1)
					  : memalign((size_t)16 << next_random(&seed) % 14, size);
			CHECK(s->p);
			s->size = size;
			s->seed = seed;
			fill(s->p, 0, size, s->seed);
		} else if (next_random(&seed) % 3) {
			s->p = resize(s->p, s->size, size, s->seed);
			s->size = size;
		} else {
			CHECK(holds(s->p, s->size, s->seed));
			free(s->p);
			s->p = NULL;
		}
	}
	for (int i = 0; i < SLOTS; i++) {
		CHECK(!slots[i].p || holds(slots[i].p, slots[i].size, slots[i].seed));
		free(slots[i].p);
		slots[i].p = NULL;
	}
}

int main(void)
{
	up_and_down(256 * KIB, 1.05, 1);
	up_and_down(64 * MIB, 1.9, 2);
	up_and_down(96 * MIB, 3.7, 5);
	steps(1000, 300 * KIB);
	steps(60000, 4 * MIB);
	steps(700000, 40 * MIB);
	random_walk(1, 4000);
	random_walk(77, 4000);
	puts("kept");
	return 0;
}
