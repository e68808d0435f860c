/* SPDX-License-Identifier: MIT */
/*
 * Private heaps of the pinned engine hold what was allocated from them and nothing else, also where
 * a thread has ended and left live blocks for others to take in. Without preloading.
 */
#include <pthread.h>

#include "arena/arena.h"
#include "heap/heap.h"
#include "layers.h"
#include "page/page.h"

#define BLOCKS 64

static struct pg64_config config;
static char *left[BLOCKS];
static size_t left_size;

static void *leave_blocks(void *unused)
{
	(void)unused;
	for (int i = 0; i < BLOCKS; i++) {
		left[i] = pg64_heap_malloc(left_size);
		REQUIRE(left[i]);
		memset(left[i], 'a' + i % 26, left_size);
	}
	return NULL;
}

/* The heap is there before anything is left, as making it takes memory, too. */
static struct pg64_heap *start(size_t size)
{
	struct pg64_heap *heap;
	pthread_t thread;

	pg64_page_init(&config);
	pg64_arena_init(&config);
	pg64_heap_init(&config);
	pg64_heap_start();
	heap = pg64_heap_new();
	REQUIRE(heap);
	left_size = size;
	REQUIRE(pthread_create(&thread, NULL, leave_blocks, NULL) == 0);
	REQUIRE(pthread_join(thread, NULL) == 0);
	return heap;
}

/* New blocks of the same size write all over whatever was freed. */
static void is_alive(void)
{
	for (int i = 0; i < 4 * BLOCKS; i++) {
		char *block = pg64_heap_malloc(left_size);

		REQUIRE(block);
		memset(block, 0x55, left_size);
	}
	for (int i = 0; i < BLOCKS; i++) {
		CHECK_EQ(left[i][0], 'a' + i % 26);
		CHECK(memcmp(left[i], left[i] + 1, left_size - 1) == 0);
		pg64_heap_free(left[i]);
	}
}

static void fill(struct pg64_heap *heap, size_t size, size_t bytes)
{
	for (size_t done = 0; done < bytes; done += size)
		REQUIRE(pg64_heap_new_block(heap, size, 16));
}

/* Blocks that need segments of their own: what was left is reclaimed on the way to them. */
static void deleted(void)
{
	struct pg64_heap *heap = start(5000);

	fill(heap, 15 * PG64_MIB, 8 * 15 * PG64_MIB);
	pg64_heap_delete(heap);
	is_alive();
}

/* Blocks of the very size that was left: the pages themselves would do. */
static void cleared(void)
{
	struct pg64_heap *heap = start(5000);

	for (int i = 0; i < 3; i++) {
		fill(heap, 5000, 128 * PG64_MIB);
		CHECK_EQ(pg64_heap_clear(heap), 0);
	}
	pg64_heap_delete(heap);
	is_alive();
}

static void small_blocks(void)
{
	struct pg64_heap *heap = start(48);

	fill(heap, 48, 64 * PG64_MIB);
	pg64_heap_delete(heap);
	is_alive();
}

/* realloc() takes a block out of the heap, also where it could grow in it: it outlives the heap. */
static void moved_out(void)
{
	const size_t size = 200 << 10;
	struct pg64_heap *heap = start(100);
	char *block = pg64_heap_new_block(heap, size, 16);

	REQUIRE(block);
	memset(block, 'x', size);
	char *grown = pg64_heap_realloc(block, 2 * size);
	REQUIRE(grown);
	pg64_heap_delete(heap);
	is_alive();
	CHECK(grown != block && grown[0] == 'x' && memcmp(grown, grown + 1, size - 1) == 0);
	pg64_heap_free(grown);
}

static const struct test_case cases[] = {
	CASE(deleted), CASE(cleared), CASE(small_blocks), CASE(moved_out)};

int main(int argc, char **argv)
{
	pg64_config_defaults(&config);
	config.backend = PG64_BACKEND_BASE;
	return RUN_CASES(cases, argc, argv);
}
