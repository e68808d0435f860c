/* SPDX-License-Identifier: MIT */
/*
 * Stacks and what grew under each: a hash table of a fixed number of slots. Threads add to it
 * without locks, nothing is ever taken out.
 */
#ifndef PG64_PROFILE_TABLE_H
#define PG64_PROFILE_TABLE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define PROFILE_DEPTH 64

struct profile_slot {
	_Atomic uint64_t count; /* how often the heap grew here */
	_Atomic uint64_t bytes; /* by how much in all */
	_Atomic uint32_t ready; /* the stack is written */
	uint32_t depth;
	uintptr_t pc[PROFILE_DEPTH]; /* return addresses, the innermost first */
};

struct profile_table {
	_Atomic uint64_t *keys; /* of each slot the hash of its stack; 0: free */
	struct profile_slot *slots; /* untouched as long as they are free */
	uint32_t count; /* of both, a power of two; zeroed by the caller */
	_Atomic uint64_t dropped_count; /* growth whose stack found no room */
	_Atomic uint64_t dropped_bytes;
};

/** Add @bytes that grew under the stack pc[0..depth), at most PROFILE_DEPTH. Never waits. */
void profile_table_add(
	struct profile_table *table, const uintptr_t *pc, unsigned int depth, uint64_t bytes);

/** Slot @index if it holds a whole stack, else NULL. */
const struct profile_slot *profile_table_get(const struct profile_table *table, uint32_t index);

#endif /* PG64_PROFILE_TABLE_H */
