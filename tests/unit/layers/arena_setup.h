/* SPDX-License-Identifier: MIT */
/*
 * Arenas on a fake kernel that has one backend.
 */
#ifndef PG64_ARENA_SETUP_H
#define PG64_ARENA_SETUP_H

#include "arena/arena.h"
#include "arena/owner.h"
#include "fake_kernel.h"
#include "layers.h"

struct totals {
	uint64_t reserved, committed, advised, collapsed;
};

static inline struct totals totals(void)
{
	struct totals t;

	pg64_arena_totals(&t.reserved, &t.committed, &t.advised, &t.collapsed);
	return t;
}

/**
 * Thresholds in bytes. The backend is probed, so that what is counted later is the arena's doing.
 */
static inline struct pg64_config arenas(
	enum pg64_backend backend, size_t heap_min, size_t collapse_min)
{
	struct pg64_config config;

	fake_reset();
	fake.patched = backend == PG64_BACKEND_PATCHED;
	fake.mthp = backend == PG64_BACKEND_MTHP;
	pg64_config_defaults(&config);
	config.backend = backend;
	config.heap_min = heap_min;
	config.collapse_min = collapse_min;
	pg64_page_init(&config);
	pg64_page_reset();
	pg64_arena_init(&config);
	/* As if the heap had grown already: see reservations_double() in test_commit.c. */
	pg64_arenas.next_bytes = pg64_arenas.arena_bytes;
	REQUIRE(pg64_page_backend(PG64_MEM_HEAP) == backend);
	fake.mmaps = fake.munmaps = fake.mprotects = fake.mincores = fake.faults = 0;
	memset(fake.advised, 0, sizeof(fake.advised));
	return config;
}

#endif /* PG64_ARENA_SETUP_H */
