/* SPDX-License-Identifier: MIT */
/*
 * The map behind pg64_owned(), and which parts of it were ever used, so that a walk over what is
 * marked touches a page or two, too.
 */
#include "arena/owner.h"

#define WORDS ((size_t)1 << (PG64_OWNER_ADDRESS_BITS - PG64_SEGMENT_SHIFT - 6))
#define PART_WORDS (4096 / sizeof(uint64_t)) /* a page, and the marks of a TiB */
#define PARTS (WORDS / PART_WORDS)

uint64_t pg64_owner_map[WORDS];

static uint64_t parts[PARTS / 64];

static void use_part(size_t part)
{
	uint64_t bit = (uint64_t)1 << (part & 63);

	if (!(__atomic_load_n(&parts[part >> 6], __ATOMIC_RELAXED) & bit))
		__atomic_fetch_or(&parts[part >> 6], bit, __ATOMIC_RELAXED);
}

void pg64_owner_set(const void *segment, bool owned)
{
	uintptr_t unit = (uintptr_t)segment >> PG64_SEGMENT_SHIFT;

	if (unit >> (PG64_OWNER_ADDRESS_BITS - PG64_SEGMENT_SHIFT))
		return;
	uint64_t bit = (uint64_t)1 << (unit & 63);
	if (owned) {
		use_part((unit >> 6) / PART_WORDS);
		__atomic_fetch_or(&pg64_owner_map[unit >> 6], bit, __ATOMIC_RELAXED);
	} else {
		__atomic_fetch_and(&pg64_owner_map[unit >> 6], ~bit, __ATOMIC_RELAXED);
	}
}

static void visit_word(size_t word, void (*visit)(void *segment))
{
	uint64_t marks = __atomic_load_n(&pg64_owner_map[word], __ATOMIC_RELAXED);

	for (; marks; marks &= marks - 1) {
		uintptr_t unit = word * 64 + (unsigned int)__builtin_ctzll(marks);

		visit((void *)(unit << PG64_SEGMENT_SHIFT));
	}
}

void pg64_owner_each(void (*visit)(void *segment))
{
	for (size_t part = 0; part < PARTS; part++) {
		if (!(__atomic_load_n(&parts[part >> 6], __ATOMIC_RELAXED) >> (part & 63) & 1))
			continue;
		for (size_t i = 0; i < PART_WORDS; i++)
			visit_word(part * PART_WORDS + i, visit);
	}
}
