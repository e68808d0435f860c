/* SPDX-License-Identifier: MIT */
/*
 * The heap engine: an installed libmimalloc, 2.x or 3.x, linked dynamically (-Dmimalloc=system).
 *
 * Its mmap() and madvise() resolve to the interposers of the preloaded library, which is how its
 * memory gets on 64 KiB pages; pg64's own arenas, the collapse backend and the fork fix-ups of
 * the pinned engine have no part in it. MIMALLOC_* variables are read by libmimalloc itself,
 * before pg64 can say otherwise; what pg64 relies on is set afterwards.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include <mimalloc.h>

#include "base/counters.h"
#include "base/fmt.h"
#include "heap/heap.h"

const bool pg64_heap_maps_itself = true;

/* Options of 2.x and 3.x that have no name in the headers of both. */
static void keep_thp_allowed(void)
{
#if MI_MALLOC_VERSION >= 300
	mi_option_set(mi_option_allow_thp, 1);
#endif
}

void pg64_heap_init(const struct pg64_config *config)
{
	mi_option_set(mi_option_eager_commit, 1);
	mi_option_set(mi_option_eager_commit_delay, 0);
	keep_thp_allowed();
#if MI_MALLOC_VERSION >= 210
	mi_option_set(mi_option_purge_delay, (long)config->purge_delay_ms);
#else
	mi_option_set(mi_option_decommit_delay, (long)config->purge_delay_ms);
#endif
}

void pg64_heap_start(void)
{
}

static void *checked(void *block)
{
	if (pg64_unlikely(!block))
		errno = ENOMEM;
	return block;
}

void *pg64_heap_malloc(size_t size)
{
	return checked(mi_malloc(size));
}

void *pg64_heap_calloc(size_t count, size_t size)
{
	return checked(mi_calloc(count, size));
}

void *pg64_heap_realloc(void *block, size_t size)
{
	return checked(mi_realloc(block, size));
}

/*
 * By the function with an offset: the other one of 2.0.9 believes that a block of 256, 512 or 1024
 * bytes is aligned to its size, which is not so.
 */
void *pg64_heap_memalign(size_t align, size_t size)
{
	return checked(mi_malloc_aligned_at(size, align, 0));
}

bool pg64_heap_free(void *block)
{
	int saved = errno;

	if (!pg64_heap_owns(block))
		return false;
	mi_free(block);
	errno = saved;
	return true;
}

void pg64_heap_free_or(void *block, void (*other)(void *block))
{
	if (!pg64_heap_free(block))
		other(block);
}

size_t pg64_heap_usable_size(const void *block)
{
	return mi_usable_size(block);
}

bool pg64_heap_owns(const void *block)
{
	return block && mi_is_in_heap_region(block);
}

bool pg64_heap_trim(void)
{
	mi_collect(true);
	return true;
}

/*
 * No private heaps: for want of room mimalloc 2.x reclaims what an ended thread left into the heap
 * that asks, and destroying that heap would free the ended thread's live blocks. Only the pinned
 * engine can keep them apart (engine_pinned.c).
 */
struct pg64_heap *pg64_heap_new(void)
{
	errno = ENOTSUP;
	return NULL;
}

bool pg64_heap_is_mine(const struct pg64_heap *heap)
{
	(void)heap;
	return false;
}

void *pg64_heap_new_block(struct pg64_heap *heap, size_t size, size_t align)
{
	(void)heap;
	(void)size;
	(void)align;
	return NULL;
}

int pg64_heap_clear(struct pg64_heap *heap)
{
	(void)heap;
	return -ENOTSUP;
}

void pg64_heap_delete(struct pg64_heap *heap)
{
	(void)heap;
}

void pg64_heap_before_fork(void)
{
}

void pg64_heap_after_fork_parent(void)
{
}

void pg64_heap_after_fork_child(void)
{
}

const char *pg64_heap_engine(void)
{
	static char text[48];
	int v = mi_version();

	pg64_snprintf(
		text, sizeof(text), "mimalloc %d.%d.%d (system)", v / 100, v / 10 % 10, v % 10);
	return text;
}
