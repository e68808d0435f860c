/* SPDX-License-Identifier: MIT */
/*
 * Address -> owner: can this pointer be a block of a segment of the heap engine?
 *
 * One bit per PG64_SEGMENT of address space, 512 KiB of .bss for 47 bits, of which a process
 * touches a page or two. Answers before the engine looks at a pointer, in a few instructions.
 *
 * The engine finds a block's segment by rounding the address before the block down to a segment
 * boundary, so only the first unit of a segment is marked: what lies in a later unit of a large
 * segment is no block.
 */
#ifndef PG64_OWNER_H
#define PG64_OWNER_H

#include "base/base.h"

#define PG64_SEGMENT_SHIFT 25 /* 32 MiB: the heap engine's segment */
#define PG64_SEGMENT ((size_t)1 << PG64_SEGMENT_SHIFT)
#define PG64_OWNER_ADDRESS_BITS 47

extern uint64_t pg64_owner_map[(size_t)1 << (PG64_OWNER_ADDRESS_BITS - PG64_SEGMENT_SHIFT - 6)]
	__attribute__((visibility("hidden")));

/** False for NULL as well. */
static inline bool pg64_owned(const void *block)
{
	uintptr_t unit = ((uintptr_t)block - 1) >> PG64_SEGMENT_SHIFT;

	if (pg64_unlikely(unit >> (PG64_OWNER_ADDRESS_BITS - PG64_SEGMENT_SHIFT)))
		return false;
	return __atomic_load_n(&pg64_owner_map[unit >> 6], __ATOMIC_RELAXED) >> (unit & 63) & 1;
}

/**
 * Mark the segment that starts at @segment (aligned to PG64_SEGMENT) as the engine's, or not.
 * Addresses over PG64_OWNER_ADDRESS_BITS cannot be marked; pg64_owner_can() tells.
 */
void pg64_owner_set(const void *segment, bool owned);

/**
 * Call @visit with the start of each marked segment. Takes no lock: what other threads mark or
 * unmark meanwhile is seen or not.
 */
void pg64_owner_each(void (*visit)(void *segment));

static inline bool pg64_owner_can(const void *segment)
{
	return !((uintptr_t)segment >> PG64_OWNER_ADDRESS_BITS);
}

#endif /* PG64_OWNER_H */
