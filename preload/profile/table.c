/* SPDX-License-Identifier: MIT */
/*
 * Open addressing with linear probing. The 64-bit hash stands for the stack: with the few thousand
 * stacks of a program, two that share one are not to be expected. So a thread that finds its hash
 * adds to the slot at once, even while another is still writing the stack down.
 */
#include "table.h"

#include <string.h>

/* A full table must not make every growth look at all of it. */
#define PROBES_MAX 256

static uint64_t hash_of(const uintptr_t *pc, unsigned int depth)
{
	uint64_t hash = depth + 1;

	for (unsigned int i = 0; i < depth; i++) {
		hash = (hash ^ pc[i]) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	hash *= UINT64_C(0xbf58476d1ce4e5b9);
	hash ^= hash >> 32;
	return hash ? hash : 1;
}

/* The slot of the stack with hash @key, taken for it if need be; NULL: no room. */
static struct profile_slot *slot_of(
	struct profile_table *table, uint64_t key, const uintptr_t *pc, unsigned int depth)
{
	uint32_t probes = table->count < PROBES_MAX ? table->count : PROBES_MAX;

	for (uint32_t i = 0; i < probes; i++) {
		uint32_t index = (uint32_t)(key + i) & (table->count - 1);
		struct profile_slot *slot = &table->slots[index];
		uint64_t found = atomic_load_explicit(&table->keys[index], memory_order_relaxed);

		if (found == key)
			return slot;
		if (found)
			continue;
		if (atomic_compare_exchange_strong(&table->keys[index], &found, key)) {
			memcpy(slot->pc, pc, depth * sizeof(*pc));
			slot->depth = depth;
			atomic_store_explicit(&slot->ready, 1, memory_order_release);
			return slot;
		}
		if (found == key)
			return slot;
	}
	return NULL;
}

void profile_table_add(
	struct profile_table *table, const uintptr_t *pc, unsigned int depth, uint64_t bytes)
{
	struct profile_slot *slot = slot_of(table, hash_of(pc, depth), pc, depth);

	if (slot) {
		atomic_fetch_add_explicit(&slot->count, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&slot->bytes, bytes, memory_order_relaxed);
	} else {
		atomic_fetch_add_explicit(&table->dropped_count, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&table->dropped_bytes, bytes, memory_order_relaxed);
	}
}

const struct profile_slot *profile_table_get(const struct profile_table *table, uint32_t index)
{
	const struct profile_slot *slot = &table->slots[index];

	if (!atomic_load_explicit(&table->keys[index], memory_order_relaxed))
		return NULL;
	return atomic_load_explicit(&slot->ready, memory_order_acquire) ? slot : NULL;
}
