/* SPDX-License-Identifier: MIT */
/*
 * What the pinned engine keeps of blocks that are freed (lib/heap/recent.h): who gets it, who does
 * not, and when it goes back. On the kernel that is there, without preloading: the C library's
 * malloc is beside it, and what is counted is the engine's alone.
 *
 * Each case is a process with one block of 5 KiB in a segment and nothing else.
 */
#include <pthread.h>

#include "arena/arena.h"
#include "base/counters.h"
#include "heap/heap.h"
#include "layers.h"
#include "page/page.h"

#define KIB ((size_t)1 << 10)

static struct pg64_config config;
static void *other; /* keeps the first segment */
static size_t padding; /* bytes that a debug build of the engine adds to each block */
static size_t large, mib; /* the largest blocks in pages of 256 KiB and 1 MiB */

static void start(void)
{
	pg64_page_init(&config);
	pg64_arena_init(&config);
	pg64_heap_init(&config);
	pg64_heap_start();
	other = pg64_heap_malloc(5 * KIB - 8);
	REQUIRE(other);
	/* It tells the size that was asked for, and others that of the page or its part. */
	padding = pg64_heap_usable_size(other) == 5 * KIB ? 0 : 8;
	large = 256 * KIB - padding;
	mib = PG64_MIB - padding;
}

/* Bytes given back to the kernel since the last call. */
static uint64_t purged(void)
{
	static uint64_t before;
	uint64_t now = pg64_counted(PG64_C_heap_purged_bytes), since = now - before;

	before = now;
	return since;
}

static void *dirty(size_t size)
{
	void *block = pg64_heap_malloc(size);

	REQUIRE(block);
	memset(block, 0xa5, size);
	return block;
}

static bool all_zero(const unsigned char *block, size_t size)
{
	return block[0] == 0 && memcmp(block, block + 1, size - 1) == 0;
}

static void comes_back_zeroed(void *block, size_t size)
{
	pg64_heap_free(block);
	unsigned char *zeroed = pg64_heap_calloc(1, size);
	CHECK(zeroed == block);
	CHECK(all_zero(zeroed, size));
	pg64_heap_free(zeroed);
}

static void *in_thread(void *(*function)(void *), void *arg)
{
	pthread_t thread;
	void *result;

	REQUIRE(pthread_create(&thread, NULL, function, arg) == 0);
	REQUIRE(pthread_join(thread, &result) == 0);
	return result;
}

/* ---- large blocks ---- */

/* A segment of its own goes back with its block, but not while that is kept. */
static void *alone(void *unused)
{
	void *block = dirty(large);

	(void)unused;
	purged();
	for (int i = 0; i < 100; i++) {
		pg64_heap_free(block);
		CHECK(pg64_heap_malloc(large) == block);
	}
	CHECK_EQ(purged(), 0);
	pg64_heap_free(block);
	return NULL;
}

static void large_again(void)
{
	start();
	in_thread(alone, NULL);
	CHECK(purged() >= large); /* the thread has ended */
}

static void large_is_zeroed(void)
{
	start();
	for (size_t size = large; size <= mib; size *= 2) {
		comes_back_zeroed(dirty(size), size);
	}
}

/* A block of another size, another heap or an alignment does not get it in its place. */
static void large_of_its_size(void)
{
	start();
	char *block = dirty(large);
	struct pg64_heap *heap = pg64_heap_new();

	pg64_heap_free(block);
	char *less = pg64_heap_malloc(large - 64 * KIB), *more = pg64_heap_malloc(large + 1);
	char *theirs = pg64_heap_new_block(heap, large, 8);
	CHECK(less != block && more != block && theirs != block);
	CHECK_EQ(pg64_heap_usable_size(less), large - 64 * KIB);
	CHECK_EQ(pg64_heap_usable_size(more), padding ? large + 1 : large + 64 * KIB);
	CHECK(pg64_heap_malloc(large) == block);
	CHECK_EQ(pg64_heap_usable_size(block), large);
	pg64_heap_delete(heap);
}

/* An aligned block lies somewhere in its page; the next that takes the page has all of it. */
static void large_was_aligned(void)
{
	start();
	char *aligned = pg64_heap_memalign(128 * KIB, large);
	size_t page = 384 * KIB - padding;

	CHECK(pg64_is_aligned((uintptr_t)aligned, 128 * KIB));
	pg64_heap_free(aligned);
	char *block = dirty(page);
	CHECK(block <= aligned && aligned < block + page);
	CHECK_EQ(pg64_heap_usable_size(block), page);
	char *grown = pg64_heap_realloc(block, page + 1);
	CHECK(grown[0] == (char)0xa5 && grown[page - 1] == (char)0xa5);
}

/* One block a thread of at most a MiB, and nothing around it. */
static void *bounded(void *unused)
{
	char *blocks[8];

	(void)unused;
	for (size_t i = 0; i < 8; i++)
		blocks[i] = dirty(mib);
	purged();
	for (size_t i = 0; i < 8; i++)
		pg64_heap_free(blocks[i]);
	CHECK(purged() >= 7 * PG64_MIB);
	pg64_heap_free(pg64_heap_malloc(64 * KIB)); /* the segment has another page now */
	CHECK(pg64_heap_malloc(mib) == blocks[7]);
	pg64_heap_free(blocks[7]);
	return NULL;
}

static void *too_large(void *unused)
{
	(void)unused;
	purged();
	pg64_heap_free(dirty(mib + 1));
	CHECK(purged() > PG64_MIB);
	return NULL;
}

/* The page that shares the segment with the kept one is freed last. */
static void *last_beside(void *unused)
{
	void *block = dirty(large), *beside = dirty(3 * PG64_MIB);

	(void)unused;
	pg64_heap_free(block);
	purged();
	pg64_heap_free(beside);
	CHECK(purged() >= 3 * PG64_MIB);
	return NULL;
}

static void large_bounds(void)
{
	start();
	in_thread(bounded, NULL);
	in_thread(too_large, NULL);
	in_thread(last_beside, NULL);
}

static void large_is_trimmed(void)
{
	start();
	pg64_heap_free(dirty(large));
	CHECK(pg64_heap_trim());
	CHECK(purged() >= large);

	/* Of a private heap, which the trim does not look through otherwise. */
	struct pg64_heap *heap = pg64_heap_new();
	pg64_heap_free(memset(pg64_heap_new_block(heap, large, 8), 1, large));
	CHECK(pg64_heap_trim());
	CHECK(purged() >= large);
	pg64_heap_delete(heap);
}

static bool apart(const char *a, const char *b)
{
	return a + large <= b || b + large <= a;
}

/* Clearing or deleting a heap takes what is kept of it; what comes after is nobody else's. */
static void large_of_a_heap(void)
{
	start();
	for (int i = 0; i < 4; i++) {
		struct pg64_heap *heap = pg64_heap_new();

		pg64_heap_free(pg64_heap_new_block(heap, large, 8));
		if (i % 2 == 0)
			CHECK_EQ(pg64_heap_clear(heap), 0);
		else
			pg64_heap_delete(heap);
		char *block = i % 2 ? pg64_heap_malloc(large) : pg64_heap_new_block(heap, large, 8);
		pg64_heap_free(pg64_heap_malloc(large));
		char *next = pg64_heap_malloc(large), *third = pg64_heap_malloc(large);
		CHECK(apart(block, next) && apart(block, third) && apart(next, third));
		if (i % 2 == 0)
			pg64_heap_delete(heap);
	}
}

static void *free_it(void *block)
{
	pg64_heap_free(block);
	return pg64_heap_malloc(large);
}

/* What another thread frees is not for that thread, and comes home at the next malloc. */
static void large_of_another_thread(void)
{
	start();
	void *block = dirty(large);

	CHECK(in_thread(free_it, block) != block);
	pg64_heap_free(pg64_heap_malloc(64 * KIB));
	CHECK(pg64_heap_malloc(large) == block);
}

static void *without_delay(void *unused)
{
	(void)unused;
	purged();
	pg64_heap_free(dirty(large));
	CHECK(purged() >= large);
	return NULL;
}

static void large_without_delay(void)
{
	config.purge_delay_ms = 0;
	start();
	in_thread(without_delay, NULL);
}

/* ---- medium blocks ---- */

/* The only block of a page is the next one too, once the page is not known to be zero. */
static void medium_again(void)
{
	start();
	for (size_t size = 6 * KIB; size <= 128 * KIB; size *= 2) {
		for (int i = 0; i < 16; i++)
			pg64_heap_free(dirty(size));
		comes_back_zeroed(dirty(size), size);
	}
}

static void *free_all(void *blocks)
{
	for (void **block = blocks; *block; block++)
		pg64_heap_free(*block);
	return NULL;
}

/* A page that empties with more than one block on its list loses none of them. */
static void medium_by_twos(void)
{
	start();
	void *first = dirty(6 * KIB);
	uintptr_t granule = (uintptr_t)first / PG64_GRANULE;

	pg64_heap_free(first);
	for (int i = 0; i < 16; i++)
		pg64_heap_free(dirty(6 * KIB));
	for (int i = 0; i < 100; i++) {
		void *a = dirty(6 * KIB), *b = dirty(6 * KIB);

		CHECK_EQ((uintptr_t)a / PG64_GRANULE, granule);
		CHECK_EQ((uintptr_t)b / PG64_GRANULE, granule);
		pg64_heap_free(a);
		pg64_heap_free(b);
	}
}

/* What others freed comes home although there always is a block for the next malloc. */
static void medium_of_another_thread(void)
{
	config.purge_delay_ms = 0;
	start();
	void *blocks[513] = {NULL};

	for (size_t i = 0; i < 512; i++)
		blocks[i] = dirty(16 * KIB);
	for (int i = 0; i < 16; i++)
		pg64_heap_free(dirty(6 * KIB));
	purged();
	in_thread(free_all, blocks);
	pg64_heap_free(dirty(6 * KIB));
	CHECK(purged() >= 6 * PG64_MIB);
}

/* A write to a kept block, which is a bug of the program's, does not choose what comes next. */
static void large_was_written(void)
{
	static char victim[64];

	start();
	void *block = dirty(large);
	pg64_heap_free(block);
	*(void **)block = victim;
	CHECK(pg64_heap_malloc(large) == block);
	pg64_heap_free(block);
	CHECK(pg64_heap_malloc(large) != victim);
}

#define LEFT 10

/* Fills a page that was retired, and leaves it full. */
static void *leave_full(void *blocks)
{
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < LEFT; i++)
			((void **)blocks)[i] = dirty(48 * KIB);
		for (int i = 0; i < LEFT && round == 0; i++)
			pg64_heap_free(((void **)blocks)[i]);
		if (round == 0)
			pg64_heap_free(dirty(48 * KIB));
	}
	pg64_heap_free(dirty(48 * KIB));
	return NULL;
}

/* What was retired in another thread's heap is looked at in this one, and makes room. */
static void medium_of_an_ended_thread(void)
{
	void *blocks[LEFT];

	pg64_page_init(&config);
	pg64_arena_init(&config);
	pg64_heap_init(&config);
	pg64_heap_start();
	in_thread(leave_full, blocks);
	REQUIRE(pg64_heap_malloc(200 * KIB)); /* the first segment: takes in what was left */
	for (int i = 0; i < LEFT; i++)
		pg64_heap_free(blocks[i]);
	for (int i = 0; i < 16384; i++) /* two segments */
		dirty(2000);
	void *again = pg64_heap_malloc(48 * KIB);
	for (int i = 0; i < LEFT; i++)
		CHECK(again != blocks[i]);
}

/* A block that moved has some to spare, which it does not say; its page says it to the next. */
static void large_has_grown(void)
{
	start();
	void *first = dirty(200 * KIB);

	dirty(200 * KIB); /* in its way */
	char *grown = pg64_heap_realloc(first, 600 * KIB);
	CHECK(grown && grown != first);
	CHECK_EQ(pg64_heap_usable_size(grown), 600 * KIB);
	pg64_heap_free(grown);
	CHECK(pg64_heap_malloc(mib) == grown);
	CHECK_EQ(pg64_heap_usable_size(grown), mib);
	comes_back_zeroed(grown, mib);
}

static const struct test_case cases[] = {CASE(large_again), CASE(large_is_zeroed),
	CASE(large_of_its_size), CASE(large_was_aligned), CASE(large_bounds), CASE(large_has_grown),
	CASE(large_is_trimmed), CASE(large_of_a_heap), CASE(large_of_another_thread),
	CASE(large_without_delay), CASE(large_was_written), CASE(medium_of_an_ended_thread),
	CASE(medium_again), CASE(medium_by_twos), CASE(medium_of_another_thread)};

int main(int argc, char **argv)
{
	pg64_config_defaults(&config);
	config.backend = PG64_BACKEND_BASE;
	config.purge_delay_ms = 60000; /* what is purged in these tests did not wait for it */
	return RUN_CASES(cases, argc, argv);
}
