/* SPDX-License-Identifier: MIT */
/*
 * realloc() to more, of blocks that have a page of their own (more than 128 KiB).
 *
 * Part of engine_pinned.c, after all of mimalloc; not for anybody else.
 *
 * mimalloc 2.0.9 copies a block to a new one as soon as it does not fit any more: one that grows by
 * a constant step is copied as often as it has grown by 64 KiB to 4 MiB. The C library grows such
 * blocks by mremap(), without copying. Here
 *  - a block first grows where it is, into the free slices behind its page, or, where it has a
 *    segment of its own (more than 16 MiB), into the free granules behind that;
 *  - one that has to move is given an eighth more than was asked for, so that however small the
 *    steps are, what is copied altogether is at most nine times the size that is reached. Like all
 *    memory that nobody touches, that is address space only, but for parts that were used before
 *    and not purged yet. The block does not say that it has it (malloc_usable_size()), so that
 *    it is not read, and mapped by that, when the block moves again. Not where a limit counts what
 *    is accessible, or address space (RLIMIT_AS at the start).
 *
 * Moving page tables (MREMAP_DONTUNMAP) would copy nothing either, but works within one VMA, and
 * fences (page/fence.c) make arenas many.
 *
 * Errors: false or NULL, and the block is as it was. Thread safety: any block may be given; one of
 * another thread's page takes what it has to spare, and is copied beyond that. A debug build of
 * mimalloc, with a mark behind each block, has none of this.
 */
#ifndef PG64_HEAP_GROW_H
#define PG64_HEAP_GROW_H

/* From here on a copy is made with a thought for the pages of the new block. */
#define GROW_LARGE (4 * PG64_MIB)

static bool grow_spare; /* may an eighth more be asked for? Set once. */

/* @limited: address space is. */
static void grow_init(bool limited)
{
	grow_spare = !limited;
}

static bool grow_is_zero(const void *page, size_t len)
{
	const uint64_t *words = page;

	for (size_t i = 0; i < len / sizeof(*words); i++)
		if (words[i])
			return false;
	return true;
}

/*
 * Copy a block into one that reads as zero, page by page and without the pages of zeros: what a
 * program never touched in a sparse block it must not pay for in the next. Reading such a page
 * maps the zero page, which is no memory. A part that is dense is copied whole, and the page layer
 * told before.
 */
static void grow_copy_sparse(char *to, const char *from, size_t len)
{
	size_t page = pg64_page_bytes(), part = pg64_pmd_bytes();

	for (size_t at = 0; at < len; at += part) {
		size_t here = len - at < part ? len - at : part, used = 0;

		for (size_t i = 0; i + page <= here; i += page)
			used += !grow_is_zero(from + at + i, page);
		if (used >= here / page - here / page / 8) {
			pg64_span_will_fill(to + at, here);
			memcpy(to + at, from + at, here);
			continue;
		}
		for (size_t i = 0; i < here; i += page) {
			size_t n = here - i < page ? here - i : page;

			if (n < page || !grow_is_zero(from + at + i, page))
				memcpy(to + at + i, from + at + i, n);
		}
	}
}

/* The slices of a page have become more, all of them committed: have mimalloc's tables say so. */
static void grow_set_slices(mi_segment_t *segment, mi_slice_t *slice, size_t count)
{
	size_t index = mi_slice_index(slice), bytes = count * MI_SEGMENT_SLICE_SIZE;
	size_t room = segment->slice_entries - index - 1;
	size_t last = count - 1 < MI_MAX_SLICE_OFFSET ? count - 1 : MI_MAX_SLICE_OFFSET;

	slice->slice_count = (uint32_t)count;
	slice->xblock_size = bytes >= MI_HUGE_BLOCK_SIZE ? MI_HUGE_BLOCK_SIZE : (uint32_t)bytes;
	/* As mi_segment_span_allocate(): the first ones, and the last one that there is. */
	for (size_t i = 1; i <= (last < room ? last : room); i++)
		slice[i] = (mi_slice_t){
			.slice_offset = (uint32_t)(i * sizeof(*slice)), .xblock_size = 1};
	last = count - 1 <= room ? count - 1 : room + 1;
	slice[last] =
		(mi_slice_t){.slice_offset = (uint32_t)(last * sizeof(*slice)), .xblock_size = 1};
}

/* Into the slices behind, of a page that has @have and needs @want. */
static bool grow_into_slices(mi_segment_t *segment, mi_slice_t *slice, size_t have, size_t want)
{
	mi_segments_tld_t *tld = &mi_page_heap(mi_slice_to_page(slice))->tld->segments;
	mi_slice_t *next = slice + have;
	size_t more = want - have, there;

	if (next >= mi_segment_slices_end(segment) || next->xblock_size != 0 ||
		next->slice_count < more)
		return false;
	there = next->slice_count;
	mi_segment_span_remove_from_queue(next, tld);
	bool done = mi_segment_ensure_committed(
		segment, mi_slice_start(next), more * MI_SEGMENT_SLICE_SIZE, tld->stats);
	size_t taken = done ? more : 0;
	if (there > taken)
		mi_segment_span_free(
			segment, mi_slice_index(next) + taken, there - taken, false, tld);
	if (done) {
		grow_set_slices(segment, slice, want);
		kept_page_taken();
		waiting_page_taken(mi_slice_to_page(slice));
	}
	return done;
}

/*
 * Into the granules behind a segment that is one block's. mimalloc rounds up what it maps (and
 * unmaps) more than what it says a segment has: all of that is the block's then.
 */
static bool grow_into_granules(mi_segment_t *segment, mi_slice_t *slice, size_t want)
{
	size_t info = segment->segment_info_slices;
	size_t mapped = _mi_os_good_alloc_size(mi_segment_size(segment));
	size_t needed = _mi_os_good_alloc_size((info + want) * MI_SEGMENT_SLICE_SIZE);

	if (needed > mapped && !pg64_span_extend((char *)segment + mapped, needed - mapped))
		return false;
	/* As when it was mapped: what is taken off when it is unmapped. */
	mi_page_heap(mi_slice_to_page(slice))->tld->segments.current_size +=
		needed - mi_segment_size(segment);
	segment->segment_slices = needed / MI_SEGMENT_SLICE_SIZE;
	segment->slice_entries = segment->segment_slices > MI_SLICES_PER_SEGMENT
					 ? MI_SLICES_PER_SEGMENT
					 : segment->segment_slices;
	grow_set_slices(segment, slice, segment->segment_slices - info);
	return true;
}

/*
 * Have a block say that it has @size bytes, of as many or more that it does have. 2 GiB and more it
 * says as it is. By any thread, for a block of its own: the word is one store, is that of a large
 * block before and after, and nothing that mimalloc does with it goes beyond what a block says.
 * When the page is freed it says all that it has again where that counts (recent.h), and a
 * huge one is purged whole (engine_pinned.c).
 */
static void grow_say(mi_page_t *page, size_t size)
{
	size_t has = mi_page_to_slice(page)->slice_count * MI_SEGMENT_SLICE_SIZE;
	size_t bytes = pg64_align_up(size, pg64_page_bytes());

	bytes = bytes < has ? bytes : has;
	__atomic_store_n(&page->xblock_size,
		bytes >= MI_HUGE_BLOCK_SIZE ? MI_HUGE_BLOCK_SIZE : (uint32_t)bytes,
		__ATOMIC_RELAXED);
}

/* Make room for @size bytes where the block is. */
static bool grow_here(void *block, size_t size)
{
	mi_segment_t *segment = _mi_ptr_segment(block);
	mi_page_t *page = _mi_segment_page_of(segment, block);
	mi_slice_t *slice = mi_page_to_slice(page);
	bool own_segment = segment->kind == MI_SEGMENT_HUGE;
	size_t have = slice->slice_count;

	if (segment->mem_align_offset != 0 || mi_page_has_aligned(page) ||
		block != _mi_page_start(segment, page, NULL))
		return false;
	if (size <= have * MI_SEGMENT_SLICE_SIZE) {
		grow_say(page, size);
		return true;
	}
	/* realloc() takes a block out of a heap of the program's own, where none has to spare. */
	if (mi_atomic_load_relaxed(&segment->thread_id) != _mi_thread_id() ||
		mi_page_heap(page)->no_reclaim || (!own_segment && size > MI_LARGE_OBJ_SIZE_MAX))
		return false;
	/* As mimalloc would for a new block. */
	size_t want = recent_page_bytes(_mi_os_good_alloc_size(size)) / MI_SEGMENT_SLICE_SIZE;
	return own_segment ? grow_into_granules(segment, slice, want)
			   : grow_into_slices(segment, slice, have, want);
}

/* Move a block that has grown to a new one of @size bytes (NULL: there was no memory for it). */
static void *grow_move(void *block, size_t old_size, void *moved, size_t size)
{
	if (!moved)
		return NULL;
	if (old_size >= GROW_LARGE && size > MI_LARGE_OBJ_SIZE_MAX) {
		/* A segment of its own, from a fresh span: it reads as zero. */
		grow_copy_sparse(moved, block, old_size);
	} else {
		if (old_size >= GROW_LARGE)
			pg64_span_will_fill(moved, old_size);
		memcpy(moved, block, old_size);
	}
	mi_free(block);
	return moved;
}

/* A block with an eighth more, for which nothing is given up. */
static void *grow_spacious(size_t size)
{
	int error = errno;
	void *block = NULL;

	if (grow_spare && !pg64_arena_is_exact())
		block = generic_malloc(mi_get_default_heap(), size + size / 8, false, 0);
	if (block)
		grow_say(_mi_ptr_page(block), size);
	errno = error;
	return block;
}

/* A block of @usable bytes, more than MI_MEDIUM_OBJ_SIZE_MAX, is to have @size, which is more. */
static PG64_COLD void *grow(void *block, size_t usable, size_t size)
{
	PG64_KEEP_FRAME();
	if (size >= PTRDIFF_MAX)
		return NULL;
	void *grown = grow_here(block, size) ? block : NULL;
	if (!grown)
		grown = grow_move(block, usable, grow_spacious(size), size);
	if (!grown)
		return grow_move(block, usable, mi_malloc(size), size);
	if (pg64_growth_watched())
		pg64_growth_tell();
	return grown;
}

#endif /* PG64_HEAP_GROW_H */
