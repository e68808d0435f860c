/* SPDX-License-Identifier: MIT */
/*
 * The composition root's state, as the interposers use it.
 */
#ifndef PG64_PRELOAD_H
#define PG64_PRELOAD_H

#include "base/base.h"
#include "config/config.h"

/** What an interposed call does. */
enum pg64_mode {
	PG64_UNSTARTED = 0, /* start up first */
	PG64_SERVE = 1, /* pg64 serves it */
	PG64_ASIDE = 2, /* passed through unchanged */
};

struct pg64_process {
	_Atomic uint32_t malloc_mode, mmap_mode; /* enum pg64_mode */
	struct pg64_config config;
	const char *aside; /* why pg64 steps aside, NULL: it does not */
};

extern struct pg64_process pg64_process __attribute__((visibility("hidden")));

/**
 * Start up, once: configuration, layers, modes. Works inside the process's first malloc, before
 * any constructor. Threads that come second wait for the first.
 */
PG64_COLD void pg64_boot(void);

/** Is the malloc family served by pg64? Starts up on the first call. */
static inline bool pg64_serves_malloc(void)
{
	uint32_t mode = __atomic_load_n((uint32_t *)&pg64_process.malloc_mode, __ATOMIC_RELAXED);

	if (pg64_likely(mode == PG64_SERVE))
		return true;
	if (mode == PG64_UNSTARTED) {
		pg64_boot();
		return pg64_process.malloc_mode == PG64_SERVE;
	}
	return false;
}

static inline bool pg64_serves_mmap(void)
{
	if (pg64_process.mmap_mode == PG64_UNSTARTED)
		pg64_boot();
	return pg64_process.mmap_mode == PG64_SERVE;
}

/** The C library's own malloc family, for when pg64 steps aside. False: it cannot be found. */
bool pg64_libc_find(void);

#endif /* PG64_PRELOAD_H */
