/* SPDX-License-Identifier: MIT */
/*
 * The profile's table of stacks: sums, a table that is full, and threads that add at once.
 */
#include <pthread.h>

#include "../../../preload/profile/table.h"
#include "../check.h"

#define SLOTS 64
#define THREADS 4
#define STACKS 40
#define ROUNDS 20000

static struct profile_slot slots[SLOTS];
static _Atomic uint64_t keys[SLOTS];
static struct profile_table table = {.keys = keys, .slots = slots, .count = SLOTS};

static void clear(void)
{
	memset(slots, 0, sizeof(slots));
	memset((void *)keys, 0, sizeof(keys));
	table.dropped_count = 0;
	table.dropped_bytes = 0;
}

static void sum(uint64_t *stacks, uint64_t *count, uint64_t *bytes)
{
	*stacks = *count = *bytes = 0;
	for (uint32_t i = 0; i < table.count; i++) {
		const struct profile_slot *slot = profile_table_get(&table, i);

		*stacks += slot != NULL;
		*count += slot ? slot->count : 0;
		*bytes += slot ? slot->bytes : 0;
	}
}

static void add(uintptr_t stack, uint64_t bytes)
{
	uintptr_t pc[PROFILE_DEPTH];

	for (unsigned int i = 0; i < PROFILE_DEPTH; i++)
		pc[i] = 0x1000 + i * 16 + stack;
	profile_table_add(&table, pc, 1 + stack % PROFILE_DEPTH, bytes);
}

static void test_same_and_different(void)
{
	uint64_t stacks, count, bytes;

	clear();
	add(1, 100);
	add(2, 10);
	add(1, 1);
	profile_table_add(&table, NULL, 0, 5); /* a stack that could not be taken is one too */
	sum(&stacks, &count, &bytes);
	CHECK(stacks == 3 && count == 4 && bytes == 116);
	for (uint32_t i = 0; i < SLOTS; i++) {
		const struct profile_slot *slot = profile_table_get(&table, i);

		CHECK(!slot || slot->depth != 2 || (slot->count == 2 && slot->bytes == 101));
		CHECK(!slot || slot->depth != 2 || slot->pc[1] == 0x1000 + 16 + 1);
	}
}

static void test_full(void)
{
	uint64_t stacks, count, bytes;

	clear();
	for (uintptr_t i = 0; i < SLOTS + 36; i++)
		add(i, 3);
	sum(&stacks, &count, &bytes);
	CHECK(stacks == SLOTS && count == SLOTS && bytes == 3 * SLOTS);
	CHECK(table.dropped_count == 36 && table.dropped_bytes == 3 * 36);
	add(0, 3); /* a stack that is in still counts */
	CHECK(table.dropped_count == 36);
}

static void *add_many(void *unused)
{
	for (uintptr_t i = 0; i < ROUNDS; i++)
		add(i % STACKS, 2);
	return unused;
}

static void test_threads(void)
{
	pthread_t threads[THREADS];
	uint64_t stacks, count, bytes;

	clear();
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, add_many, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	sum(&stacks, &count, &bytes);
	CHECK(stacks == STACKS);
	CHECK(count == THREADS * ROUNDS && bytes == 2 * THREADS * ROUNDS);
}

int main(void)
{
	test_same_and_different();
	test_full();
	test_threads();
	return 0;
}
