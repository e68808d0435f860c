/* SPDX-License-Identifier: MIT */
/*
 * heap MIB: fill a heap with blocks of 32 bytes to 32 KiB, compare them, free all of them. The
 * same blocks each time, so that the page faults and the memory that it takes can be counted. Once
 * only: how much of freed memory is still there for a second time depends on the clock.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALLEST_SHIFT = 5, NR_SHIFTS = 10 };

struct block {
	struct block *next;
	size_t len_bytes;
	unsigned char data[];
};

static uint64_t state = 1;

/* As many of each power of two: most of the bytes are in large blocks. */
static size_t next_len(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	uint64_t shift = SMALLEST_SHIFT + (state >> 60) % NR_SHIFTS;

	return ((size_t)1 << shift) + (size_t)((state >> 32) & ((UINT64_C(1) << shift) - 1));
}

static struct block *fill(size_t total_bytes)
{
	struct block *last = NULL;

	for (size_t taken = 0; taken < total_bytes;) {
		size_t len_bytes = next_len();
		struct block *block = malloc(len_bytes);

		if (!block)
			exit(1);
		block->next = last;
		block->len_bytes = len_bytes;
		memset(block->data, (int)(len_bytes % 251), len_bytes - sizeof(*block));
		last = block;
		taken += len_bytes;
	}
	return last;
}

/* Returns how many blocks do not hold what was written. */
static size_t compare_and_free(struct block *block)
{
	size_t wrong = 0;

	while (block) {
		struct block *next = block->next;
		size_t len = block->len_bytes - sizeof(*block);
		unsigned char wanted = (unsigned char)(block->len_bytes % 251);

		wrong += len && (block->data[0] != wanted || block->data[len - 1] != wanted);
		free(block);
		block = next;
	}
	return wrong;
}

int main(int argc, char **argv)
{
	size_t mib = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;

	if (!mib) {
		fputs("usage: heap MIB\n", stderr);
		return 2;
	}
	return compare_and_free(fill(mib << 20)) ? 1 : 0;
}
