/* SPDX-License-Identifier: MIT */
/*
 * Bitmaps against the simplest thing that could do the same: an array of bool.
 */
#include "arena/bits.h"
#include "layers.h"

#define BITS 517

static uint64_t map[(BITS + 63) / 64 + 1];
static bool naive[BITS];

static size_t naive_count(size_t first, size_t count)
{
	size_t n = 0;

	for (size_t i = first; i < first + count; i++)
		n += naive[i];
	return n;
}

static size_t naive_next(size_t from, size_t limit, bool value)
{
	while (from < limit && naive[from] != value)
		from++;
	return from < limit ? from : limit;
}

static void compare_all(void)
{
	for (size_t i = 0; i < BITS; i++)
		CHECK(pg64_bit(map, i) == naive[i]);
	/* Nothing past the end was touched. */
	for (size_t i = BITS; i < sizeof(map) * 8; i++)
		CHECK(!pg64_bit(map, i));
}

static void random_runs(void)
{
	for (int round = 0; round < 4000; round++) {
		size_t first = test_below(BITS + 1), count = test_below(BITS + 1 - first);
		bool set = test_random() & 1;

		if (test_random() % 4 == 0 && count > 3)
			count = 1 + test_below(3);
		if (set)
			pg64_bits_set(map, first, count);
		else
			pg64_bits_clear(map, first, count);
		for (size_t i = first; i < first + count; i++)
			naive[i] = set;

		first = test_below(BITS + 1);
		count = test_below(BITS + 1 - first);
		CHECK_EQ(pg64_bits_count(map, first, count), naive_count(first, count));
		CHECK_EQ(pg64_bits_none(map, first, count), naive_count(first, count) == 0);
		size_t limit = first + count;
		CHECK_EQ(pg64_bits_next(map, first, limit, true), naive_next(first, limit, true));
		CHECK_EQ(pg64_bits_next(map, first, limit, false), naive_next(first, limit, false));
		if (round % 100 == 0)
			compare_all();
	}
}

static void edges(void)
{
	uint64_t two[2] = {0, 0};

	CHECK_EQ(pg64_bits_words(0), 0);
	CHECK_EQ(pg64_bits_words(1), 1);
	CHECK_EQ(pg64_bits_words(64), 1);
	CHECK_EQ(pg64_bits_words(65), 2);
	pg64_bits_set(two, 0, 0);
	pg64_bits_set(two, 128, 0);
	CHECK(two[0] == 0 && two[1] == 0);
	pg64_bits_set(two, 63, 2);
	CHECK(two[0] == (uint64_t)1 << 63 && two[1] == 1);
	pg64_bits_set(two, 0, 128);
	CHECK(two[0] == UINT64_MAX && two[1] == UINT64_MAX);
	CHECK_EQ(pg64_bits_next(two, 0, 128, false), 128);
	CHECK_EQ(pg64_bits_next(two, 128, 128, true), 128);
	pg64_bits_clear(two, 64, 64);
	CHECK(two[0] == UINT64_MAX && two[1] == 0);
	CHECK_EQ(pg64_bits_next(two, 3, 100, false), 64);
}

int main(void)
{
	edges();
	random_runs();
	compare_all();
	return test_result();
}
