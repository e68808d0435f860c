/* SPDX-License-Identifier: MIT */
/*
 * The linkable interface of pg64.h that needs the whole library: advice, arenas and growth.
 */
#include <errno.h>
#include <stddef.h>

#include "arena/growth.h"
#include "arena/regions.h"
#include "base/base.h"
#include "heap/heap.h"
#include "page/page.h"
#include "preload.h"

PG64_EXPORT int pg64_advise(void *addr, size_t len_bytes, enum pg64_mem kind)
{
	uintptr_t start = pg64_align_up((uintptr_t)addr, PG64_GRANULE);
	uintptr_t end = pg64_align_down((uintptr_t)addr + len_bytes, PG64_GRANULE);
	struct pg64_region region;

	if ((unsigned int)kind >= PG64_MEM_KINDS || start >= end || start < (uintptr_t)addr)
		return -EINVAL;
	pg64_serves_malloc();
	int ret = pg64_page_advise_once((void *)start, end - start, kind);
	if (ret < 0)
		return ret;
	bool fence = pg64_page_needs_fence(kind);
	bool known = pg64_regions_find(start, end - start, &region) &&
		     region.kind != PG64_REGION_RESERVED;
	/* A pattern that was moved stays as it is. */
	if (known && region.fenced > 1)
		return 0;
	/* So that mremap() knows why it is several VMAs; without that no fences. */
	if (!known || (fence && !region.fenced))
		fence = pg64_regions_add(start, end - start, kind, fence) && fence;
	if (fence)
		pg64_page_fence((void *)start, end - start);
	return 0;
}

static struct pg64_heap *heap_of(struct pg64_arena *arena)
{
	return (struct pg64_heap *)(void *)arena;
}

static bool is_mine(struct pg64_arena *arena)
{
	return pg64_heap_is_mine(heap_of(arena));
}

PG64_EXPORT struct pg64_arena *pg64_arena_create(void)
{
	/* With malloc left to the C library there is no engine to take private heaps from. */
	if (!pg64_serves_malloc()) {
		errno = ENOTSUP;
		return NULL;
	}
	return (struct pg64_arena *)(void *)pg64_heap_new();
}

PG64_EXPORT void *pg64_arena_alloc(struct pg64_arena *arena, size_t size, size_t align)
{
	if (!arena || (align && !pg64_is_pow2(align))) {
		errno = EINVAL;
		return NULL;
	}
	if (!is_mine(arena)) {
		errno = EPERM;
		return NULL;
	}
	void *block = pg64_heap_new_block(heap_of(arena), size, align);
	if (!block)
		errno = ENOMEM;
	return block;
}

PG64_EXPORT void pg64_arena_free(struct pg64_arena *arena, void *block)
{
	(void)arena;
	pg64_heap_free(block);
}

PG64_EXPORT size_t pg64_arena_usable_size(struct pg64_arena *arena, const void *block)
{
	(void)arena;
	return pg64_heap_owns(block) ? pg64_heap_usable_size(block) : 0;
}

PG64_EXPORT int pg64_arena_reset(struct pg64_arena *arena)
{
	if (!arena)
		return -EINVAL;
	return is_mine(arena) ? pg64_heap_clear(heap_of(arena)) : -EPERM;
}

PG64_EXPORT int pg64_arena_destroy(struct pg64_arena *arena)
{
	if (!arena)
		return 0;
	if (!is_mine(arena))
		return -EPERM;
	pg64_heap_delete(heap_of(arena));
	return 0;
}

PG64_EXPORT pg64_growth_fn pg64_on_growth(pg64_growth_fn hook)
{
	return pg64_growth_set(hook);
}
