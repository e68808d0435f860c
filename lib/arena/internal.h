/* SPDX-License-Identifier: MIT */
/*
 * What arena.c (reservations, spans) and commit.c (pages of spans) share.
 */
#ifndef PG64_ARENA_INTERNAL_H
#define PG64_ARENA_INTERNAL_H

#include "arena/arena.h"
#include "arena/bits.h"
#include "base/lock.h"

#define PG64_ARENAS_MAX 1024
#define PG64_ARENA_MAPS 3

struct arena {
	char *start; /* aligned to PG64_SEGMENT; NULL: this slot is free */
	size_t granules;
	size_t frontier; /* bytes from start that are accessible (not in exact mode) */
	size_t fenced; /* bytes from start that have their fences */
	bool asked; /* the backend has been asked for 64 KiB pages */
	bool advised; /* and took it */
	size_t meta_len; /* bytes mapped for the bitmaps; 0: static */
	uint64_t *used; /* granules that belong to a span */
	uint64_t *committed; /* granules in use by the engine */
	uint64_t *collapsed; /* PMD-size stretches that were collapsed and not purged since */
	uint64_t *busy; /* of these, the ones that a thread is collapsing now, without the lock */
	uint64_t *held; /* collapsed stretches of which free parts were kept with what is in them */
	uint64_t *aged; /* stretches that were in use whole at the last scan, and ever since */
	uint64_t *forked; /* stretches of which another process, parent or child, may have a part */
};

struct pg64_arena_state {
	struct pg64_lock lock;
	struct arena table[PG64_ARENAS_MAX];
	size_t count; /* slots ever used */
	bool first_meta_used;
	bool unclean; /* a purge was refused: what is not committed may hold old data */
	bool exact; /* commit exactly what is in use: a limit counts accessible memory */
	size_t arena_bytes; /* the largest reservation made ahead of need */
	size_t next_bytes; /* the next one; doubles up to arena_bytes */
	size_t heap_min, collapse_min, pmd_min;
	uint64_t next_hint;
	uint64_t committed_bytes;
	uint64_t collapsed_stretches;
};

extern struct pg64_arena_state pg64_arenas __attribute__((visibility("hidden")));

/** The arena that @addr is in, or NULL. Lock held. */
struct arena *pg64_arena_of(const void *addr);

/** Give arena @a back to the kernel if nothing of it is in use. Lock held. */
void pg64_arena_release(struct arena *a);

/**
 * The contents of granules [first, first + count) are not needed. @discard: they must read as zero
 * from now on, or be inaccessible; else what sits in a collapsed stretch may stay. Lock held.
 * 0, or -errno: some may hold old data although @discard was asked for.
 */
int pg64_arena_decommit(struct arena *a, size_t first, size_t count, bool discard);

/* commit.c: the pages of an arena. All with the lock held. */

/** Make the arena accessible up to @end, bytes from its start, and a bit more. 0 or -errno. */
int pg64_arena_grow(struct arena *a, size_t end);
/** Purge granules. 0, or -errno: zero is promised (@discard), and some may hold old data. */
int pg64_arena_purge(struct arena *a, size_t first, size_t count, bool discard);
/** Draw the fences that what is accessible needs and does not have yet. */
void pg64_arena_fence(struct arena *a);

/* stretch.c: PMD-size pieces. */

/** Is collapsing what this arena's memory needs now? Lock held. */
bool pg64_stretch_wanted(const struct arena *a);
/**
 * Collapse the stretches that [start, end) is in, if their time has come. @granules: how many come
 * into use; @whole: only stretches all of which is in use. No lock held.
 */
void pg64_stretch_collapse(char *start, char *end, size_t granules, bool whole);
/**
 * Take @stretch for promotion, if it is in use whole, and settle it: @done, it is a PMD-size page.
 * The lock is held for taking, not for settling.
 */
bool pg64_stretch_take(struct arena *a, size_t s);
void pg64_stretch_settle(char *stretch, bool done);
/**
 * Part of collapsed stretch @s is not needed any more: granules, @touched of them. 0 or -errno as
 * pg64_arena_purge(). Lock held.
 */
int pg64_stretch_purge(struct arena *a, size_t s, size_t touched, bool discard);

/**
 * Collapse the whole stretches inside [start, end) that are committed, if the heap is at the size
 * for it. No lock held; the range may have been freed meanwhile.
 */
void pg64_arena_collapse(char *start, char *end);

/* promote.c: stretches that are dense and old. */

/** Begin anew, and not before @wait_ns from now. Lock held, or no other thread there yet. */
void pg64_promote_reset(uint64_t wait_ns);
/** There was a fork: what is there belongs to two processes. Lock held. */
void pg64_promote_forked(void);
/** Granules are not in use any more: what is given back whole is nobody else's later. Lock held. */
void pg64_promote_given_back(struct arena *a, size_t first, size_t count);

/* ahead.c: large blocks that are being filled from their start. */

/** Watch a large block that has just been committed. */
void pg64_ahead_watch(char *start, size_t len);
/**
 * Look at the watched blocks, and collapse the stretch that a fill has just entered. No lock
 * held.
 */
void pg64_ahead_step(void);
/**
 * Was [start, end), readable memory of a large block, filled by the program, but for what the
 * engine may have rounded up? By one stretch of it.
 */
bool pg64_ahead_is_filled(const char *start, const char *end);
/** [start, start + len) is not what it was. */
void pg64_ahead_forget(const char *start, size_t len);

/* Fork: taken after the lock of the arenas. */
void pg64_ahead_before_fork(void);
void pg64_ahead_after_fork(void);

#endif /* PG64_ARENA_INTERNAL_H */
