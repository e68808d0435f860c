/* SPDX-License-Identifier: MIT */
/*
 * The heap engine's contract: malloc on arenas. The engine is mimalloc, and only the files of this
 * folder name it; meson picks one (engine_pinned.c or engine_system.c).
 *
 * Semantics are those of malloc(3) of glibc, errno included, unless stated otherwise. All
 * functions work from zeroed .bss, before any constructor, and in a forked child.
 */
#ifndef PG64_HEAP_H
#define PG64_HEAP_H

#include "arena/owner.h"
#include "base/base.h"
#include "config/config.h"

/**
 * The engine maps memory by the process's mmap(), with address hints of its own, in place of taking
 * spans from arenas.
 */
extern const bool pg64_heap_maps_itself __attribute__((visibility("hidden")));

/** Set the engine's options. Called once, before the first allocation is served. */
void pg64_heap_init(const struct pg64_config *config);

/** Second half of the start-up, from a constructor: what needs a started C library. */
void pg64_heap_start(void);

void *pg64_heap_malloc(size_t size);
void *pg64_heap_calloc(size_t count, size_t size);
/** @block must be NULL or owned (pg64_heap_owns()). */
void *pg64_heap_realloc(void *block, size_t size);
/** @align must be a power of two. */
void *pg64_heap_memalign(size_t align, size_t size);
/**
 * Free @block and keep errno. False: it is NULL or not this engine's, and nothing was done.
 */
bool pg64_heap_free(void *block);
/**
 * For free(): the same, but what is NULL or not this engine's goes to @other, as the last thing
 * that is done, so that nobody has to keep and test an answer.
 */
void pg64_heap_free_or(void *block, void (*other)(void *block));
size_t pg64_heap_usable_size(const void *block);

/** Can @block be a block of this engine? False for foreign pointers; a few instructions. */
bool pg64_heap_owns(const void *block);

/** Give back what is free. true: something was given back (malloc_trim). */
bool pg64_heap_trim(void);

/*
 * Private heaps, each bound to the thread that made it, with no blocks but those taken from it.
 * pg64_heap_new(): NULL with errno ENOMEM, or ENOTSUP where the engine has none.
 */
struct pg64_heap;
struct pg64_heap *pg64_heap_new(void);
bool pg64_heap_is_mine(const struct pg64_heap *heap);
void *pg64_heap_new_block(struct pg64_heap *heap, size_t size, size_t align);
/** Free all blocks; the heap stays. 0. */
int pg64_heap_clear(struct pg64_heap *heap);
void pg64_heap_delete(struct pg64_heap *heap);

/** Fork: bring the engine to a state in which the child can go on. */
void pg64_heap_before_fork(void);
void pg64_heap_after_fork_parent(void);
void pg64_heap_after_fork_child(void);

/** Name and version for `pg64 doctor`: "mimalloc 2.0.9". Static storage. */
const char *pg64_heap_engine(void);

#endif /* PG64_HEAP_H */
