/* SPDX-License-Identifier: MIT */
/*
 * The map behind pg64_owned().
 */
#include "arena/owner.h"

uint64_t pg64_owner_map[(size_t)1 << (PG64_OWNER_ADDRESS_BITS - PG64_SEGMENT_SHIFT - 6)];

void pg64_owner_set(const void *segment, bool owned)
{
	uintptr_t unit = (uintptr_t)segment >> PG64_SEGMENT_SHIFT;

	if (unit >> (PG64_OWNER_ADDRESS_BITS - PG64_SEGMENT_SHIFT))
		return;
	uint64_t bit = (uint64_t)1 << (unit & 63);
	if (owned)
		__atomic_fetch_or(&pg64_owner_map[unit >> 6], bit, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&pg64_owner_map[unit >> 6], ~bit, __ATOMIC_RELAXED);
}
