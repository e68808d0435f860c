/* SPDX-License-Identifier: MIT */
/*
 * What the programs of the allocator set share. Each of them does a fixed amount of work, so its
 * wall time is the result; takes its randomness from fixed seeds; writes a pattern into what it
 * allocates and looks at it again before it frees it; and prints `metric value` lines at its end.
 *
 * Exit status: 0 done, 1 memory was not what was written (or there was none), 2 wrong usage.
 */
#ifndef PG64_BENCH_ALLOC_COMMON_H
#define PG64_BENCH_ALLOC_COMMON_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_THREADS 64

struct options {
	unsigned threads;
	double scale;
};

/* Reads `[--threads N] [--scale S]`; exits with 2 and a line of usage on anything else. */
void parse_options(struct options *options, int argc, char **argv);

/* count * scale, and at least 1. */
uint64_t scaled(const struct options *options, uint64_t count);

/* The part of thread `index` when `total` is shared out; the parts differ by at most 1. */
uint64_t share(uint64_t total, unsigned threads, unsigned index);

/*
 * Runs work(0, argument) to work(threads - 1, argument) at the same time, the first of them on the
 * thread of the caller (one thread then means a process that has no other), and waits for them.
 */
void run_threads(unsigned threads, void (*work)(unsigned index, void *argument), void *argument);

/*
 * main() of programs whose threads do their parts of `total` steps, each by itself: work() does
 * `steps` of them as thread `index` of `threads` and returns its checksum; the sum is printed.
 */
int run_parts(int argc, char **argv, uint64_t total,
	uint64_t (*work)(unsigned index, unsigned threads, uint64_t steps));

/* One `metric value` line. */
void print_metric(const char *name, uint64_t value);

/* One line on stderr, exit status 1, at once: handlers and destructors may meet bad memory too. */
_Noreturn void corrupt(const char *what);

/* malloc that never returns NULL. */
void *get_block(size_t size);

/* splitmix64: small, good enough, and the same everywhere. */
static inline uint64_t mix64(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static inline uint64_t random_next(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15;
	return mix64(*state);
}

/* 0 to limit - 1; limit is below 2^32. */
static inline uint32_t random_below(uint64_t *state, uint32_t limit)
{
	return (uint32_t)((random_next(state) >> 32) * limit >> 32);
}

/* 0 to less than 1. */
static inline double random_unit(uint64_t *state)
{
	return (double)(random_next(state) >> 11) * 0x1p-53;
}

/*
 * A size from min to max, both powers of two: half as many blocks in each doubling as in the one
 * below it, so many small ones and few large ones.
 */
static inline size_t random_power_size(uint64_t *state, size_t min, size_t max)
{
	uint64_t bits = random_next(state);
	size_t size = min;

	for (; size < max && (bits & 1); bits >>= 1)
		size *= 2;
	return size < max ? size + (bits >> 1) % size : max;
}

/*
 * The pattern of a block: each whole word of 8 bytes in a small one; in a large one a word in every
 * 256 bytes, which touches every page and does not drown the allocator; and the last byte, if no
 * word has it.
 */
static inline size_t stamp_stride(size_t size)
{
	return size <= 256 ? 8 : 256;
}

static inline void stamp(void *block, size_t size, uint64_t tag)
{
	unsigned char *bytes = block;
	const size_t stride = stamp_stride(size);
	size_t at = 0;

	for (; at + 8 <= size; at += stride) {
		uint64_t word = tag ^ at;

		memcpy(bytes + at, &word, sizeof(word));
	}
	if (at - stride + 8 != size)
		bytes[size - 1] = (unsigned char)tag;
}

static inline void check_stamp(const void *block, size_t size, uint64_t tag)
{
	const unsigned char *bytes = block;
	const size_t stride = stamp_stride(size);
	size_t at = 0;

	for (; at + 8 <= size; at += stride) {
		uint64_t word;

		memcpy(&word, bytes + at, sizeof(word));
		if (word != (tag ^ at))
			corrupt("a block does not hold what was written to it");
	}
	if (at - stride + 8 != size && bytes[size - 1] != (unsigned char)tag)
		corrupt("the last byte of a block is not what was written to it");
}

/* A block with what its owner knows about it. */
struct slot {
	void *block;
	size_t size;
	uint64_t tag;
};

static inline void slot_fill(struct slot *slot, size_t size, uint64_t tag)
{
	slot->block = get_block(size);
	slot->size = size;
	slot->tag = tag;
	stamp(slot->block, size, tag);
}

/* Checks and frees the block, if there is one; returns its tag. */
static inline uint64_t slot_empty(struct slot *slot)
{
	if (!slot->block)
		return 0;
	check_stamp(slot->block, slot->size, slot->tag);
	free(slot->block);
	slot->block = NULL;
	return slot->tag;
}

#endif
