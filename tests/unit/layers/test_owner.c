/* SPDX-License-Identifier: MIT */
/*
 * The owner map: which addresses count as blocks of a marked segment, and those that never do.
 */
#include "arena/owner.h"
#include "layers.h"

static void one_segment(uintptr_t unit)
{
	uintptr_t start = unit << PG64_SEGMENT_SHIFT;

	CHECK(pg64_owner_can((void *)start));
	CHECK(!pg64_owned((void *)(start + 1)));
	pg64_owner_set((void *)start, true);
	/* The engine rounds down the address before the block: the segment's start is no block. */
	CHECK(!pg64_owned((void *)start));
	CHECK(pg64_owned((void *)(start + 1)));
	CHECK(pg64_owned((void *)(start + PG64_SEGMENT / 2)));
	CHECK(pg64_owned((void *)(start + PG64_SEGMENT)));
	CHECK(!pg64_owned((void *)(start + PG64_SEGMENT + 1)));
	pg64_owner_set((void *)start, false);
	CHECK(!pg64_owned((void *)(start + PG64_SEGMENT / 2)));
}

static void out_of_range(void)
{
	const uintptr_t top = (uintptr_t)1 << PG64_OWNER_ADDRESS_BITS;
	const uintptr_t addresses[] = {
		top, top + PG64_SEGMENT, top * 2, ~(uintptr_t)0, ~(uintptr_t)0 - PG64_SEGMENT + 1};

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		void *p = (void *)addresses[i];

		CHECK(!pg64_owner_can(p));
		pg64_owner_set(p, true);
		CHECK(!pg64_owned((char *)p + (i < 3 ? 1 : 0)));
	}
	CHECK(!pg64_owned(NULL));
	/* A tagged pointer (arm64) is foreign, and not an index past the map. */
	CHECK(!pg64_owned((void *)((uintptr_t)0xb4 << 56 | 0x1000)));
}

/* Random marks against a list. */
static void random_marks(void)
{
	bool marked[256] = {false};
	const uintptr_t base = 0x1234;

	for (int round = 0; round < 3000; round++) {
		size_t i = test_below(256), look = test_below(256);

		marked[i] = test_random() & 1;
		pg64_owner_set((void *)((base + i) << PG64_SEGMENT_SHIFT), marked[i]);
		uintptr_t block =
			((base + look) << PG64_SEGMENT_SHIFT) + 1 + test_below(PG64_SEGMENT);
		CHECK_EQ(pg64_owned((void *)block), marked[look]);
	}
}

static uintptr_t visited[8];
static size_t visits;

static void note(void *segment)
{
	if (visits < 8)
		visited[visits] = (uintptr_t)segment >> PG64_SEGMENT_SHIFT;
	visits++;
}

/* A walk sees each marked segment once, in order of address, at both ends of the map as well. */
static void walk(void)
{
	const uintptr_t units[] = {0, 1, 63, 64, ((uintptr_t)512 << 6) - 1, (uintptr_t)512 << 6,
		((uintptr_t)1 << (PG64_OWNER_ADDRESS_BITS - PG64_SEGMENT_SHIFT)) - 1};
	const size_t count = sizeof(units) / sizeof(units[0]);

	visits = 0;
	pg64_owner_each(note);
	CHECK_EQ(visits, 0);
	for (size_t i = 0; i < count; i++)
		pg64_owner_set((void *)(units[i] << PG64_SEGMENT_SHIFT), true);
	pg64_owner_each(note);
	CHECK_EQ(visits, count);
	for (size_t i = 0; i < count; i++) {
		CHECK_EQ(visited[i], units[i]);
		pg64_owner_set((void *)(units[i] << PG64_SEGMENT_SHIFT), false);
	}
	visits = 0;
	pg64_owner_each(note);
	CHECK_EQ(visits, 0);
}

int main(void)
{
	walk();
	one_segment(1);
	one_segment(63);
	one_segment(64);
	one_segment(((uintptr_t)1 << (PG64_OWNER_ADDRESS_BITS - PG64_SEGMENT_SHIFT)) - 1);
	/* NULL stays foreign even when the lowest segment is marked. */
	pg64_owner_set(NULL, true);
	CHECK(!pg64_owned(NULL));
	pg64_owner_set(NULL, false);
	out_of_range();
	random_marks();
	return test_result();
}
