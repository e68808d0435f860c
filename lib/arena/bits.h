/* SPDX-License-Identifier: MIT */
/*
 * Bitmaps with one bit per granule or stretch: set, clear and test runs.
 */
#ifndef PG64_BITS_H
#define PG64_BITS_H

#include "base/base.h"

static inline size_t pg64_bits_words(size_t bits)
{
	return (bits + 63) / 64;
}

static inline bool pg64_bit(const uint64_t *map, size_t i)
{
	return map[i / 64] >> (i % 64) & 1;
}

/* The bits of word @w that belong to the run [first, first + count). */
static inline uint64_t pg64_bits_mask(size_t w, size_t first, size_t count)
{
	size_t low = w * 64, from = first > low ? first - low : 0;
	size_t to = first + count - low;

	return (to >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << to) - 1) & ~(uint64_t)0 << from;
}

static inline void pg64_bits_set(uint64_t *map, size_t first, size_t count)
{
	for (size_t w = first / 64; count && w * 64 < first + count; w++)
		map[w] |= pg64_bits_mask(w, first, count);
}

static inline void pg64_bits_clear(uint64_t *map, size_t first, size_t count)
{
	for (size_t w = first / 64; count && w * 64 < first + count; w++)
		map[w] &= ~pg64_bits_mask(w, first, count);
}

/** How many bits of the run are set. */
static inline size_t pg64_bits_count(const uint64_t *map, size_t first, size_t count)
{
	size_t n = 0;

	for (size_t w = first / 64; count && w * 64 < first + count; w++)
		n += (size_t)__builtin_popcountll(map[w] & pg64_bits_mask(w, first, count));
	return n;
}

static inline bool pg64_bits_none(const uint64_t *map, size_t first, size_t count)
{
	for (size_t w = first / 64; count && w * 64 < first + count; w++)
		if (map[w] & pg64_bits_mask(w, first, count))
			return false;
	return true;
}

/** First bit in [from, limit) that is set (@value) or clear (!@value); @limit if there is none. */
static inline size_t pg64_bits_next(const uint64_t *map, size_t from, size_t limit, bool value)
{
	while (from < limit) {
		uint64_t word = (value ? map[from / 64] : ~map[from / 64]) >> (from % 64);

		if (word) {
			from += (size_t)__builtin_ctzll(word);
			return from < limit ? from : limit;
		}
		from = (from / 64 + 1) * 64;
	}
	return limit;
}

#endif /* PG64_BITS_H */
