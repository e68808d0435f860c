/* SPDX-License-Identifier: MIT */
/*
 * Arenas: large 64 KiB-aligned reservations from which the heap engine takes spans of granules.
 *
 * An arena is reserved PROT_NONE and made accessible from its start upwards, so that it is one or
 * two VMAs. Where a limit refuses that (RLIMIT_DATA, overcommit_memory=2, mlockall) it commits
 * exactly what is in use instead. Memory of a fresh span reads as zero.
 *
 * Thread-safe; a lock is held for bookkeeping and for the system calls that change it.
 */
#ifndef PG64_ARENA_H
#define PG64_ARENA_H

#include "base/base.h"
#include "config/config.h"

void pg64_arena_init(const struct pg64_config *config);

/**
 * Take a span of @len bytes (rounded up to granules) aligned to @align (a power of two, at least
 * the granule). It is reserved, not committed. NULL: no address space or a limit.
 */
void *pg64_span_alloc(size_t len, size_t align);

/**
 * Take @len bytes (rounded up to granules) right behind a span that ends at @end, and commit them.
 * They are one span with it then. False: they are not free, or a limit.
 */
bool pg64_span_extend(void *end, size_t len);

/** Give back [span, span + len), the whole of what pg64_span_alloc() gave or any granules of it. */
void pg64_span_free(void *span, size_t len);

/**
 * Make [addr, addr + len) of a span accessible and choose its page size: below the threshold of
 * the configuration it stays on base pages, above it 64 KiB pages are asked for.
 * 0, or -ENOMEM where a limit refuses.
 */
int pg64_span_commit(void *addr, size_t len);

/**
 * The caller is about to write all of [addr, addr + len), committed memory of one span: a backend
 * that fills memory at once may do so. A hint; never fails.
 */
void pg64_span_will_fill(void *addr, size_t len);

/**
 * While true in a thread: what it commits is mostly room for alignment, which nobody will fill.
 */
extern __thread bool pg64_span_padded __attribute__((visibility("hidden")));

/**
 * What this thread's last pg64_span_commit() committed, if all of it reads as zero for sure: it was
 * not in use before, and nothing of it was kept from an earlier use. Empty else.
 */
struct pg64_span_fresh {
	const char *start, *end;
};

extern __thread struct pg64_span_fresh pg64_span_fresh __attribute__((visibility("hidden")));

/**
 * The contents of [addr, addr + len) are not needed any more; reads zero or old data from now on.
 */
void pg64_span_decommit(void *addr, size_t len);

/* The heap is at the size for promotion. */
extern bool pg64_promote_watch __attribute__((visibility("hidden")));

/**
 * Time to look for a stretch to promote? Cheap: to be asked often, whenever the engine is at rest.
 */
static inline bool pg64_promote_due(void)
{
	static __thread uint8_t calls;

	return pg64_unlikely(__atomic_load_n(&pg64_promote_watch, __ATOMIC_RELAXED)) &&
	       pg64_unlikely(calls++ % 64 == 0);
}

/**
 * Promote a few neighbouring stretches of the heap that are dense and old, if it is time for it:
 * promotion takes no more than a sixteenth of the time. Takes up to milliseconds when it does
 * something.
 */
void pg64_promote_step(void);

/**
 * Is exactly what is in use accessible, because a limit counts what is? Then nothing is to be kept
 * in reserve. May become true at any time, never false again.
 */
bool pg64_arena_is_exact(void);

/** Sums over all arenas, bytes. */
void pg64_arena_totals(
	uint64_t *reserved, uint64_t *committed, uint64_t *advised, uint64_t *collapsed);

/** Call @visit for each arena's accessible part. For statistics; takes no lock. */
void pg64_arena_each(void (*visit)(void *context, uintptr_t start, size_t len), void *context);

/** Fork: hold all arena locks over the call; afterwards say whether this is the child. */
void pg64_arena_before_fork(void);
void pg64_arena_after_fork(bool child);

#endif /* PG64_ARENA_H */
