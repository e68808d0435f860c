/* SPDX-License-Identifier: MIT */
/*
 * Named counters. Lower layers write them, the stats layer reads them. They live in the exported
 * block `pg64_live`, where `pg64 stat` finds them from outside.
 */
#ifndef PG64_COUNTERS_H
#define PG64_COUNTERS_H

#include "base.h"

enum pg64_counter {
#define PG64_COUNTER(name, help) PG64_C_##name,
#include "counters.def"
#undef PG64_COUNTER
	PG64_COUNTERS
};

_Static_assert(PG64_COUNTERS <= PG64_LIVE_COUNTERS, "pg64_live has no room for more counters");

static inline void pg64_count_add(enum pg64_counter counter, uint64_t n)
{
	__atomic_fetch_add(&pg64_live.counters[counter], n, __ATOMIC_RELAXED);
}

static inline void pg64_count(enum pg64_counter counter)
{
	pg64_count_add(counter, 1);
}

static inline uint64_t pg64_counted(enum pg64_counter counter)
{
	return __atomic_load_n(&pg64_live.counters[counter], __ATOMIC_RELAXED);
}

#endif /* PG64_COUNTERS_H */
