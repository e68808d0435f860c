/* SPDX-License-Identifier: MIT */
/*
 * What is freed and asked for again at once: a buffer per request, per line, per frame.
 *
 * Part of engine_pinned.c, between mimalloc's page.c and what calls it; not for anybody else.
 *
 * mimalloc 2.0.9 serves a block of more than 128 KiB from a page of its own, which it returns to
 * the segment, and with the last one the segment to the arenas, at each free(). Its smaller pages
 * outlive their last block for a while ("retired": in the heap's queue, with nothing in use). Here
 * the page of the large block that a thread freed last is left in its queue in the same way, and
 * the next block of that size takes it. So
 *  - to mimalloc it is an empty page: collecting a heap (malloc_trim(), a failed allocation, the
 *    end of a thread) frees it, and so does destroying the heap;
 *  - free() of its block again finds a page without a block in use, which is a double free;
 *  - the block is handed out by mimalloc's own code, which zeroes it for calloc().
 *
 * Bounds: one page a thread, of RECENT_MAX bytes at most, until the thread frees another such
 * block, trims, cannot get memory or ends: it has no time limit, as only its thread may free it.
 * Its segment stays with it, of which what is free is purged after the delay as before, and at
 * once where the page is the last of its segment. With a purge delay of zero nothing is kept.
 *
 * As with the C library's caches the block freed last is the next one handed out, so that
 * free(a), b = malloc(n), free(a) frees b, and no error is seen.
 *
 * Blocks of more than 1 KiB to 128 KiB (below "medium") have pages that stay, but took the long way
 * each time. They come from the free list of their first page as small ones do.
 *
 * Errors: none. A NULL from recent_take() means "the usual way". Thread safety: all of it works on
 * pages of the calling thread.
 */
#ifndef PG64_HEAP_RECENT_H
#define PG64_HEAP_RECENT_H

/* Bytes. Buffers of a MiB are common; to fill a larger one takes longer than to get it. */
#define RECENT_MAX PG64_MIB

static size_t recent_max; /* RECENT_MAX; 0: keep nothing. Set once. */
static __thread mi_page_t *recent_page;

/* Set the purge delay in milliseconds, before the first allocation. */
static void recent_init(unsigned int purge_delay_ms)
{
	recent_max = purge_delay_ms > 0 ? RECENT_MAX : 0;
}

/* The bytes of the page of a large block of @size bytes, as mi_segments_page_alloc() has it. */
static inline size_t recent_page_bytes(size_t size)
{
	return pg64_align_up(
		size, size > MI_MEDIUM_PAGE_SIZE ? MI_MEDIUM_PAGE_SIZE : MI_SEGMENT_SLICE_SIZE);
}

/* Free what is kept, of whichever heap of this thread. Was there anything? */
static bool recent_release(void)
{
	mi_page_t *page = recent_page;

	if (page)
		_mi_page_free(page, mi_page_queue_of(page), false);
	return page != NULL;
}

/* In place of _mi_segment_page_free(), by which every page goes. Its heap's queue may be walked. */
static void page_free(mi_page_t *page, bool force, mi_segments_tld_t *tld)
{
	if (recent_page == page)
		recent_page = NULL;
	_mi_segment_page_free(page, force, tld);
	waiting_begins();
	if (!recent_page)
		return;
	mi_segment_t *segment = _mi_page_segment(recent_page);
	if (segment->used == 1)
		mi_segment_delayed_decommit(segment, true, tld->stats);
}

static void recent_keep(mi_page_t *page)
{
	mi_segment_t *segment = _mi_page_segment(page);

	recent_release();
	recent_page = page;
	if (segment->decommit_expire != 0) /* something waits, most likely */
		mi_segment_delayed_decommit(
			segment, segment->used == 1, mi_page_heap(page)->tld->segments.stats);
}

/*
 * A page whose only block used lately is the one just freed gives the same one out next: it is in
 * the processor's cache, and the page's others need not be touched. Not while the page is known
 * to read as zero, which spares calloc() the writing. Small blocks go round, so that more
 * of their double frees are seen.
 */
static inline void recent_first(mi_page_t *page)
{
	mi_block_t *block = page->local_free;

	if (page->xblock_size <= MI_SMALL_SIZE_MAX || page->is_zero || !block ||
		mi_block_next(page, block))
		return;
	mi_block_set_next(page, block, page->free);
	page->free = block;
	page->local_free = NULL;
}

/*
 * mimalloc calls this when the last block of a page was freed; retire_page() is its own. A page
 * that was retired before and is the only one of its queue again has its time begin anew; its
 * queue is then still in the range that is searched for retired pages, as
 * _mi_heap_collect_retired() ends the time of a page that it finds in use. It does so for the first
 * page of a queue of its heap only: see page_unfull() and page_reclaim(). What a reclaimed segment
 * puts in front of a page is the one exception: such a page may stay until the range grows again,
 * or the heap is collected.
 *
 * Not inlined: free() would save and restore registers for it each time.
 */
__attribute__((noinline)) void _mi_page_retire(mi_page_t *page) mi_attr_noexcept
{
	mi_page_set_has_aligned(page, false);
	if (pg64_likely(page->retire_expire != 0 && page->flags.full_aligned == 0 && !page->next &&
			!page->prev)) {
		page->retire_expire = page->xblock_size <= MI_SMALL_OBJ_SIZE_MAX
					      ? 1 + MI_RETIRE_CYCLES
					      : 1 + MI_RETIRE_CYCLES / 4;
		recent_first(page);
	} else if (page->xblock_size > MI_MEDIUM_OBJ_SIZE_MAX &&
		   page->slice_count * MI_SEGMENT_SLICE_SIZE <= recent_max &&
		   _mi_page_segment(page)->kind == MI_SEGMENT_NORMAL) {
		/* Its block may have had some to spare: see grow.h. */
		page->xblock_size = (uint32_t)(page->slice_count * MI_SEGMENT_SLICE_SIZE);
		recent_keep(page);
	} else {
		recent_first(page);
		retire_page(page);
	}
}

/* A page comes back to the end of its queue. */
static inline void page_unfull(mi_page_t *page)
{
	page->retire_expire = 0;
	_mi_page_unfull(page);
}

/* And one that an ended thread left comes to another heap. */
static void page_reclaim(mi_heap_t *heap, mi_page_t *page)
{
	page->retire_expire = 0;
	_mi_page_reclaim(heap, page);
	waiting_begins();
}

static inline void *recent_medium(mi_heap_t *heap, size_t size, bool zero)
{
	mi_page_t *page = mi_page_queue(heap, size)->first;

	return page && page->free ? _mi_page_malloc(heap, page, size, zero) : NULL;
}

static void *recent_large(mi_heap_t *heap, size_t size, bool zero)
{
	mi_page_t *page = recent_page;

	if (!page || page->xblock_size != recent_page_bytes(size) || mi_page_heap(page) != heap)
		return NULL;
	recent_page = NULL;
	_mi_page_free_collect(page, false);
	void *block = _mi_page_malloc(heap, page, size, zero);
	/* There is no other block, whatever a stray write has put where the list went on. */
	page->free = NULL;
	return block;
}

/*
 * A block of more than MI_SMALL_SIZE_MAX bytes, or NULL. Not while blocks that other threads freed
 * wait for this heap: the usual way takes them in.
 */
static inline void *recent_take(mi_heap_t *heap, size_t size, bool zero)
{
	if (mi_atomic_load_ptr_relaxed(mi_block_t, &heap->thread_delayed_free))
		return NULL;
	if (size <= MI_MEDIUM_OBJ_SIZE_MAX)
		return recent_medium(heap, size, zero);
	return recent_large(heap, size, zero);
}

#endif /* PG64_HEAP_RECENT_H */
