/* SPDX-License-Identifier: MIT */
/*
 * Heap and mappings of some 100 MiB, filled, freed, grown and moved. Prints what does not depend
 * on addresses: a sum of all contents.
 */
#include <sys/mman.h>

#include "check.h"

#define BLOCKS 6000
#define ROUNDS 3

static unsigned char *blocks[BLOCKS];
static size_t sizes[BLOCKS];

static uint64_t sum_of(const unsigned char *p, size_t size)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < size; i += 61)
		sum = sum * 31 + p[i];
	return sum + p[size - 1];
}

static uint64_t fill_and_free(uint32_t *random)
{
	uint64_t sum = 0;

	for (int i = 0; i < BLOCKS; i++) {
		sizes[i] = i % 500 == 0	 ? MIB + next_random(random) % MIB
			   : i % 10 == 0 ? 100 * KIB
					 : 1 + next_random(random) % (8 * KIB);
		CHECK(blocks[i] = malloc(sizes[i]));
		memset(blocks[i], i, sizes[i]);
	}
	for (int i = 0; i < BLOCKS; i += 2) {
		sum += sum_of(blocks[i], sizes[i]);
		free(blocks[i]);
		blocks[i] = NULL;
	}
	for (int i = 1; i < BLOCKS; i += 2) {
		CHECK(blocks[i] = realloc(blocks[i], sizes[i] + 3 * KIB));
		sum += sum_of(blocks[i], sizes[i]);
		free(blocks[i]);
	}
	for (int i = 0; i < 100; i++) {
		unsigned char *zero = calloc(1, 200 * KIB);

		CHECK(zero && sum_of(zero, 200 * KIB) == 0);
		free(zero);
	}
	return sum;
}

static uint64_t map_and_move(int flags)
{
	size_t size = 9 * MIB + 4 * KIB;
	unsigned char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	CHECK(sum_of(p, size) == 0);
	memset(p, 0x5a, size);
	if (flags & MAP_PRIVATE) {
		unsigned char *q = mremap(p, size, 2 * size, MREMAP_MAYMOVE);

		CHECK(q != MAP_FAILED);
		p = q;
		CHECK(munmap(p + size, size) == 0);
	}
	uint64_t sum = sum_of(p, size);
	CHECK(munmap(p, size) == 0);
	return sum;
}

int main(void)
{
	uint32_t random = 64;

	for (int i = 0; i < ROUNDS; i++)
		printf("%016llx\n", (unsigned long long)fill_and_free(&random));
	printf("%016llx\n", (unsigned long long)map_and_move(MAP_PRIVATE));
	printf("%016llx\n", (unsigned long long)map_and_move(MAP_SHARED));
	return 0;
}
