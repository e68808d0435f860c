/* SPDX-License-Identifier: MIT */
/*
 * The heap engine: mimalloc 2.0.9, compiled into this file as its own src/static.c does, part by
 * part, so that its calls to the operating system go to arenas and its segments are entered in
 * the owner map.
 *
 * mimalloc is fetched by scripts/fetch-mimalloc and never changed. A newer release is a change of
 * subprojects/mimalloc.wrap and of this file. What is relied on, of 2.0.9:
 *  - with `eager_commit` off it maps segments of 32 MiB PROT_NONE and commits pieces of them by
 *    mprotect() as they are first used (mi_segment_commitx());
 *  - it decommits whole 64 KiB slices by MADV_DONTNEED, and does not assume what they read as then;
 *  - memory from mmap() is taken to be zero;
 *  - it is told a page size of one granule, so that nothing it asks for cuts a granule.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "arena/arena.h"
#include "arena/growth.h"
#include "arena/owner.h"
#include "base/base.h"
#include "base/counters.h"
#include "base/fmt.h"
#include "base/lock.h"
#include "base/sys.h"
#include "heap/heap.h"

const bool pg64_heap_maps_itself = false;

/* ---- the operating system, as the engine sees it ---- */

static void *engine_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	(void)addr;
	(void)flags;
	(void)fd;
	(void)offset;
	/* Segments are large and aligned to their size; the rest is metadata of threads. */
	size_t align = len >= PG64_MIB ? PG64_SEGMENT : PG64_GRANULE;
	void *span = pg64_span_alloc(len, align);

	if (span && (!pg64_owner_can(span) ||
			    ((prot & PROT_WRITE) && pg64_span_commit(span, len) < 0))) {
		pg64_span_free(span, len);
		span = NULL;
	}
	return span ? span : MAP_FAILED;
}

static int engine_munmap(void *addr, size_t len)
{
	pg64_span_free(addr, len);
	return 0;
}

static int engine_mprotect(void *addr, size_t len, int prot)
{
	if (!(prot & PROT_WRITE)) {
		pg64_span_decommit(addr, len);
		return 0;
	}
	if (pg64_span_commit(addr, len) == 0)
		return 0;
	errno = ENOMEM;
	return -1;
}

static int engine_madvise(void *addr, size_t len, int advice)
{
	/*
	 * Its own MADV_HUGEPAGE would bring 2 MiB pages; page sizes are the page layer's
	 * business.
	 */
	if (advice == MADV_DONTNEED || advice == MADV_FREE)
		pg64_span_decommit(addr, len);
	return 0;
}

static long engine_sysconf(int name)
{
	return name == _SC_PAGESIZE ? (long)PG64_GRANULE : sysconf(name);
}

/* Nothing of /proc and /sys interests the engine: arenas know about overcommit. */
static int engine_open(const char *path, int flags, ...)
{
	(void)path;
	(void)flags;
	return -1;
}

static void segment_live(const void *segment)
{
	pg64_owner_set(segment, true);
}

static void segment_dead(const void *segment)
{
	pg64_owner_set(segment, false);
}

/* ---- mimalloc, part by part in the order of its src/static.c ---- */

#define MI_SHARED_LIB 1 /* no collection at exit */
#define MI_NO_GETENV 1 /* no MIMALLOC_* variable reaches it */
#define MI_CACHE_DISABLE 1 /* of free segments: heap/kept.h is in its place */
#include <mimalloc.h>
#include <mimalloc-internal.h>

/* Commit what is used, not the MiB around it: the arenas' thresholds count it. */
#undef MI_MINIMAL_COMMIT_SIZE
#define MI_MINIMAL_COMMIT_SIZE MI_COMMIT_SIZE

#define mmap engine_mmap
#define munmap engine_munmap
#define mprotect engine_mprotect
#define madvise engine_madvise
#define sysconf engine_sysconf
#define open engine_open

#include <stats.c>
#include <random.c>
#include <os.c>
#include <bitmap.c>
#include <arena.c>
/*
 * With the cache disabled gcc sees that nothing sets what would come with a segment out of it, but
 * not that none ever comes. Clang has no such warning, and would not know its name.
 */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <segment-cache.c>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#define _mi_segment_map_allocated_at segment_live
#define _mi_segment_map_freed_at segment_dead
#define _mi_page_reclaim page_reclaim
static void page_reclaim(mi_heap_t *heap, mi_page_t *page);
#define _mi_segment_cache_pop kept_pop
static void *kept_pop(size_t size, mi_commit_mask_t *committed, mi_commit_mask_t *decommit,
	bool *large, bool *is_pinned, bool *is_zero, mi_arena_id_t arena, size_t *memid,
	mi_os_tld_t *tld);
#define _mi_segment_cache_push kept_push
static bool kept_push(void *start, size_t size, size_t memid, const mi_commit_mask_t *committed,
	const mi_commit_mask_t *decommit, bool is_large, bool is_pinned, mi_os_tld_t *tld);
#define mi_option_is_enabled kept_option
static bool kept_option(mi_option_t option);
#define mi_usable_size whole_size
static size_t whole_size(const void *block);
#include <segment.c>
#undef mi_usable_size
#undef mi_option_is_enabled
#undef _mi_segment_cache_push
#undef _mi_segment_cache_pop
#undef _mi_page_reclaim
/* Of a huge block that another thread frees: what is purged, with what it has to spare (grow.h). */
static size_t whole_size(const void *block)
{
	const mi_page_t *page = _mi_ptr_page((void *)(uintptr_t)block);
	size_t size;
	const uint8_t *start = _mi_page_start(_mi_page_segment(page), page, &size);

	return (size_t)(start + size - (const uint8_t *)block);
}
#include "heap/waiting.h"
#include "heap/kept.h"
#define _mi_malloc_generic generic_malloc
#define _mi_segment_page_alloc page_alloc
static mi_page_t *page_alloc(mi_heap_t *heap, size_t block_size, size_t page_alignment,
	mi_segments_tld_t *tld, mi_os_tld_t *os_tld);
#define _mi_segment_page_free page_free
static void page_free(mi_page_t *page, bool force, mi_segments_tld_t *tld);
#define _mi_page_retire retire_page
#include <page.c>
#undef _mi_page_retire
#undef _mi_segment_page_free
#undef _mi_segment_page_alloc
#undef _mi_malloc_generic

/*
 * A page for a heap of the program's, which it can delete with all that is in it. For want of
 * room mimalloc 2.0.9 reclaims what an ended thread left, into the heap that asks, and deleting
 * that would free the ended thread's live blocks. So @backing, the thread's own heap, is who asks:
 * the page comes from the same segments. A NULL may mean that a page was reclaimed into its queue,
 * which is no use here: more are there to be had then.
 */
static mi_page_t *page_alloc_apart(mi_heap_t *backing, size_t block_size, size_t page_alignment,
	mi_segments_tld_t *tld, mi_os_tld_t *os_tld)
{
	mi_page_t *page;
	size_t pages;

	do {
		pages = backing->page_count;
		page = _mi_segment_page_alloc(backing, block_size, page_alignment, tld, os_tld);
	} while (!page && backing->page_count > pages);
	return page;
}

/*
 * mimalloc 2.0.9 never knows that a page reads as zero, and calloc() writes all of it, also the
 * table of gigabytes of which a program will use a few pages. The arenas do know.
 */
static mi_page_t *page_alloc(mi_heap_t *heap, size_t block_size, size_t page_alignment,
	mi_segments_tld_t *tld, mi_os_tld_t *os_tld)
{
	pg64_span_fresh = (struct pg64_span_fresh){0};
	kept_fits = block_size <= MI_LARGE_OBJ_SIZE_MAX && page_alignment == 0;
	mi_page_t *page = heap->no_reclaim ? page_alloc_apart(heap->tld->heap_backing, block_size,
						     page_alignment, tld, os_tld)
					   : _mi_segment_page_alloc(
						     heap, block_size, page_alignment, tld, os_tld);
	size_t len;

	kept_page_taken();
	waiting_page_taken(page);
	if (!page || page_alignment > 0 || !pg64_span_fresh.start)
		return page;
	const char *start = (const char *)_mi_page_start(_mi_page_segment(page), page, &len);
	page->is_zero_init = start >= pg64_span_fresh.start && start + len <= pg64_span_fresh.end;
	return page;
}

#include "heap/recent.h"
#define _mi_segment_page_free page_free
#define _mi_segment_cache_collect kept_collect
#include <heap.c>
#undef _mi_segment_cache_collect
#undef _mi_segment_page_free
#define _mi_page_unfull page_unfull
#include <alloc.c>
#undef _mi_page_unfull
#include <alloc-aligned.c>
#include <alloc-posix.c>
/* Start-up is called by pg64's composition root, not by a constructor of its own. */
#define constructor unused
#define atexit(function) ((void)(function))
/* Nor does it end a heap that is not the thread's: see heap/forked.h. */
static void end_own_heap(void *heap);
#define pthread_key_create(key, destructor)                                                        \
	((void)(destructor), (pthread_key_create)(key, end_own_heap))
#include <init.c>
#undef pthread_key_create
#undef atexit
#undef constructor
#include <options.c>

#undef mmap
#undef munmap
#undef mprotect
#undef madvise
#undef sysconf
#undef open

/* ---- growth ---- */

static PG64_COLD void *malloc_and_tell(mi_heap_t *heap, size_t size, bool zero, size_t huge_align)
{
	PG64_KEEP_FRAME();
	void *block = generic_malloc(heap, size, zero, huge_align);

	pg64_growth_tell();
	return block;
}

/* What a thread freed inside segments that are still in use waits for its delay: end the wait. */
static void purge_free_spans(mi_segments_tld_t *tld)
{
	for (size_t bin = 0; bin <= MI_SEGMENT_BIN_MAX; bin++)
		for (mi_slice_t *slice = tld->spans[bin].first; slice; slice = slice->next)
			mi_segment_delayed_decommit(_mi_ptr_segment(slice), true, tld->stats);
}

/*
 * Under a limit of accessible memory (RLIMIT_DATA) the engine gives up when the free span that it
 * likes best cannot be committed, while what waits for its purge would do. Give that back at once;
 * false: there was nothing, so that another try is no use.
 */
static PG64_COLD bool flush_purges(void)
{
	mi_heap_t *heap = mi_get_default_heap();
	uint64_t before = pg64_counted(PG64_C_heap_decommit_bytes);

	/* A thread for which there was no memory even for its heap. */
	if (!mi_heap_is_initialized(heap))
		return false;
	purge_free_spans(&heap->tld->segments);
	return pg64_counted(PG64_C_heap_decommit_bytes) != before;
}

static PG64_COLD void *try_again(mi_heap_t *heap, size_t size, bool zero, size_t huge_align)
{
	/* What is kept may be another heap's, which mimalloc has not collected. */
	bool released = recent_release();

	released |= kept_release(true);
	kept_end_loan(true);
	if (size >= PTRDIFF_MAX || (!flush_purges() && !released))
		return NULL;
	return generic_malloc(heap, size, zero, huge_align);
}

/*
 * Where all allocations come that the fast path has no block for. After it the engine is at rest.
 * The first call is the last thing done, so that a walk by frame pointers finds malloc's caller.
 */
void *_mi_malloc_generic(mi_heap_t *heap, size_t size, bool zero, size_t huge_align)
{
	if (pg64_promote_due())
		pg64_promote_step();
	kept_step();
	waiting_step(heap, size);
	if (size > MI_SMALL_SIZE_MAX && huge_align == 0) {
		void *recent = recent_take(heap, size, zero);
		if (pg64_likely(recent))
			return recent;
	}
	if (pg64_growth_watched())
		return malloc_and_tell(heap, size, zero, huge_align);
	void *block = generic_malloc(heap, size, zero, huge_align);
	if (pg64_unlikely(!block))
		block = try_again(heap, size, zero, huge_align);
	return block;
}

#include "heap/grow.h"

/* ---- the contract of heap.h ---- */

/* A failed allocation ends here, whatever mimalloc's own idea of the error is. */
static void on_error(int error, void *arg)
{
	(void)error;
	(void)arg;
	errno = ENOMEM;
}

static void set_option(mi_option_t option, long value)
{
	options[option].value = value;
	options[option].init = INITIALIZED;
}

void pg64_heap_init(const struct pg64_config *config)
{
	bool limited = pg64_sys_rlimit(RLIMIT_AS) != UINT64_MAX;

	for (int i = 0; i < _mi_option_last; i++)
		options[i].init = INITIALIZED;
	set_option(mi_option_eager_commit, 0);
	set_option(mi_option_eager_commit_delay, 0);
	set_option(mi_option_decommit_delay, (long)config->purge_delay_ms);
	recent_init(config->purge_delay_ms);
	waiting_init(config->purge_delay_ms);
	kept_init(config->purge_delay_ms, limited);
	grow_init(limited);
	set_option(mi_option_use_numa_nodes, 1);
	mi_register_error(on_error, NULL);
}

void pg64_heap_start(void)
{
	mi_process_load();
}

void *pg64_heap_malloc(size_t size)
{
	return mi_malloc(size);
}

void *pg64_heap_calloc(size_t count, size_t size)
{
	void *block = mi_calloc(count, size);

	/* A product that overflows is no error to mimalloc's handler. */
	if (pg64_unlikely(!block))
		errno = ENOMEM;
	return block;
}

void *pg64_heap_realloc(void *block, size_t size)
{
	size_t usable = size > MI_MEDIUM_OBJ_SIZE_MAX ? mi_usable_size(block) : 0;
	/* Where a debug build has a mark behind each block, the block's size says where that is. */
	bool grows = MI_PADDING_SIZE == 0 && usable > MI_MEDIUM_OBJ_SIZE_MAX && size > usable;
	void *moved = grows ? grow(block, usable, size) : mi_realloc(block, size);

	if (pg64_unlikely(!moved))
		errno = ENOMEM;
	return moved;
}

/*
 * The engine's own short cut believes that a block of 256, 512 or 1024 bytes is aligned to its
 * size, but its pages of small blocks begin 384 bytes into a slice. So only what holds for every
 * block is taken for granted; the rest goes to the function with an offset, which has no short cut.
 */
static void *aligned_block(mi_heap_t *heap, size_t align, size_t size)
{
	if (align <= sizeof(void *) || (align <= MI_MAX_ALIGN_SIZE && size > sizeof(void *)))
		return mi_heap_malloc(heap, size);
	/* The engine takes a block of size + align for it. */
	pg64_span_padded = align > PG64_GRANULE && align > size;
	void *block = mi_heap_malloc_aligned_at(heap, size, align, 0);
	pg64_span_padded = false;
	return block;
}

void *pg64_heap_memalign(size_t align, size_t size)
{
	void *block = aligned_block(mi_get_default_heap(), align, size);

	if (pg64_unlikely(!block))
		errno = ENOMEM;
	return block;
}

static PG64_COLD void corrupt(const void *block, const char *what)
{
	pg64_count(PG64_C_double_free);
	pg64_log("%s: free(%p); the program is ended, as the C library would", what, block);
	abort();
}

/*
 * What can be seen for the price of a comparison: a block that is the last one freed in its
 * page, a page without a block in use, and an address that no block can have.
 */
static inline void check_free(const void *block, const mi_page_t *page)
{
	if (pg64_unlikely((const void *)page->local_free == block || page->used == 0))
		corrupt(block, "double free detected");
	if (pg64_unlikely((uintptr_t)block % sizeof(void *)))
		corrupt(block, "free of a pointer that malloc cannot have returned");
}

__attribute__((flatten)) void pg64_heap_free_or(void *block, void (*other)(void *block))
{
	if (pg64_unlikely(!pg64_owned(block))) {
		other(block);
		return;
	}
	check_free(block, _mi_segment_page_of(_mi_ptr_segment(block), block));
	mi_free(block);
}

static PG64_COLD void never(void *block)
{
	(void)block;
}

bool pg64_heap_free(void *block)
{
	bool owned = pg64_owned(block);

	if (owned)
		pg64_heap_free_or(block, never);
	return owned;
}

size_t pg64_heap_usable_size(const void *block)
{
	return mi_usable_size(block);
}

bool pg64_heap_owns(const void *block)
{
	return pg64_owned(block);
}

bool pg64_heap_trim(void)
{
	uint64_t before = pg64_counted(PG64_C_heap_purged_bytes);
	mi_heap_t *heap = mi_get_default_heap();

	recent_release(); /* it may be of a private heap */
	mi_collect(true);
	kept_release(true); /* a thread without a heap comes here, too */
	kept_end_loan(true);
	if (mi_heap_is_initialized(heap))
		purge_free_spans(&heap->tld->segments);
	return pg64_counted(PG64_C_heap_purged_bytes) != before;
}

/* ---- private heaps ---- */

static mi_heap_t *heap_of(struct pg64_heap *heap)
{
	return (mi_heap_t *)(void *)heap;
}

struct pg64_heap *pg64_heap_new(void)
{
	mi_heap_t *heap = mi_heap_new();

	if (!heap)
		errno = ENOMEM;
	return (struct pg64_heap *)(void *)heap;
}

/* A thread can have its identity in common with one that a fork left behind: see heap/forked.h. */
bool pg64_heap_is_mine(const struct pg64_heap *heap)
{
	const mi_heap_t *h = (const mi_heap_t *)(const void *)heap;

	return h->thread_id == _mi_thread_id() && h->tld == mi_get_default_heap()->tld;
}

void *pg64_heap_new_block(struct pg64_heap *heap, size_t size, size_t align)
{
	return aligned_block(heap_of(heap), align, size);
}

int pg64_heap_clear(struct pg64_heap *heap)
{
	mi_heap_t *h = heap_of(heap);

	_mi_heap_destroy_pages(h);
	/* It leaves this table zeroed, which a heap that goes on being used must not have. */
	memcpy(&h->pages_free_direct, &_mi_heap_empty.pages_free_direct,
		sizeof(h->pages_free_direct));
	return 0;
}

void pg64_heap_delete(struct pg64_heap *heap)
{
	mi_heap_destroy(heap_of(heap));
}

#include "heap/forked.h"

const char *pg64_heap_engine(void)
{
	return "mimalloc 2.0.9 (built in)";
}
