/* SPDX-License-Identifier: MIT */
/*
 * The pages of spans: made accessible, put on 64 KiB pages once the heap has grown past a
 * threshold, and given back by whole granules.
 *
 * Small processes stay small: below `heap_min` committed bytes nothing is asked of the kernel.
 * Above it an arena is advised whole, once. The backend that fills memory at once (collapse)
 * starts at `collapse_min` and takes one PMD-size stretch when its first granule is committed.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "arena/growth.h"
#include "arena/internal.h"
#include "arena/owner.h"
#include "base/counters.h"
#include "base/sys.h"
#include "page/page.h"

/* The accessible part grows by at least this much, and by no more than that ahead of its use. */
#define FRONTIER_STEP_MIN PG64_MIB
#define FRONTIER_STEP_MAX (32 * PG64_MIB)

static size_t granule_of(const struct arena *a, const void *addr)
{
	return (size_t)((const char *)addr - a->start) / PG64_GRANULE;
}

/* mlockall(MCL_FUTURE) makes what becomes accessible resident at once: then commit exactly. */
static bool is_populated(char *addr)
{
	unsigned char present = 0;

	return pg64_page_os()->mincore(addr, pg64_page_bytes(), &present) == 0 && (present & 1);
}

/* Statistics read it, and what else is stored atomically here, without the lock. */
static void set_frontier(struct arena *a, size_t bytes)
{
	__atomic_store_n(&a->frontier, bytes, __ATOMIC_RELAXED);
}

/*
 * Fences cut the VMA of what becomes accessible into pieces. If it is touched before, all pieces
 * have its anon_vma and can be one VMA again without the fences, which MADV_COLLAPSE needs; else
 * each gets one of its own, which keeps them apart for good. So the first granule is made
 * accessible and touched before the rest: there is no room for a PMD-size page yet.
 */
static void touch_before_fences(const struct arena *a)
{
	const struct pg64_page_os *os = pg64_page_os();
	char *from = a->start + a->frontier;

	if (!a->advised || !pg64_page_needs_fence(PG64_MEM_HEAP) ||
		os->mprotect(from, PG64_GRANULE, PROT_READ | PROT_WRITE) < 0)
		return;
	os->touch(from);
	/* Nobody has it yet. */
	os->madvise(from, PG64_GRANULE, MADV_DONTNEED);
}

int pg64_arena_grow(struct arena *a, size_t end)
{
	const struct pg64_page_os *os = pg64_page_os();
	size_t len = a->granules * PG64_GRANULE;
	size_t step = a->frontier < FRONTIER_STEP_MIN ? FRONTIER_STEP_MIN : a->frontier;

	if (step > FRONTIER_STEP_MAX)
		step = FRONTIER_STEP_MAX;
	size_t target = a->frontier + step;
	if (target < end)
		target = end;
	if (target > len)
		target = len;
	touch_before_fences(a);
	int ret =
		os->mprotect(a->start + a->frontier, target - a->frontier, PROT_READ | PROT_WRITE);
	if (ret < 0)
		return ret;
	if (a->frontier && is_populated(a->start + target - pg64_page_bytes()))
		__atomic_store_n(&pg64_arenas.exact, true, __ATOMIC_RELAXED);
	set_frontier(a, target);
	return 0;
}

/* Make granules [first, first + count) accessible. 0 or -errno. */
static int make_accessible(struct arena *a, size_t first, size_t count)
{
	struct pg64_arena_state *st = &pg64_arenas;
	size_t end = (first + count) * PG64_GRANULE;

	if (end <= a->frontier && !st->exact)
		return 0;
	if (!st->exact) {
		if (pg64_arena_grow(a, end) == 0)
			return 0;
		pg64_count(PG64_C_fail_commit);
	}
	int ret = pg64_page_os()->mprotect(
		a->start + first * PG64_GRANULE, count * PG64_GRANULE, PROT_READ | PROT_WRITE);
	if (ret < 0) {
		pg64_count(PG64_C_fail_commit);
		return -ENOMEM;
	}
	/* A limit counts what is accessible (overcommit_memory=2, say): be exact from now on. */
	__atomic_store_n(&st->exact, true, __ATOMIC_RELAXED);
	if (end > a->frontier)
		set_frontier(a, end);
	return 0;
}

void pg64_arena_fence(struct arena *a)
{
	if (a->fenced >= a->frontier || !pg64_page_needs_fence(PG64_MEM_HEAP))
		return;
	pg64_page_fence(a->start + a->fenced, a->frontier - a->fenced);
	a->fenced = a->frontier;
}

/* Ask for 64 KiB pages for the whole arena, once; keep PMD-size pages out of what is accessible. */
static void choose_pages(struct arena *a)
{
	if (!a->asked) {
		a->asked = true;
		pg64_page_backend(PG64_MEM_HEAP);
		if (pg64_page_needs_fence(PG64_MEM_HEAP) && !pg64_arenas.exact)
			pg64_page_touch_apart(a->start, a->frontier);
		pg64_arena_fence(a);
		enum pg64_backend got =
			pg64_page_advise(a->start, a->granules * PG64_GRANULE, PG64_MEM_HEAP);
		__atomic_store_n(&a->advised,
			got == PG64_BACKEND_PATCHED || got == PG64_BACKEND_MTHP, __ATOMIC_RELAXED);
	}
	if (a->advised)
		pg64_arena_fence(a);
}

/* Map a run of granules anew: it reads as zero, and no limit counts it if @prot is PROT_NONE. */
static int map_anew(struct arena *a, size_t first, size_t count, int prot)
{
	char *addr = a->start + first * PG64_GRANULE;
	size_t len = count * PG64_GRANULE;
	void *p = pg64_page_os()->mmap(
		addr, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (pg64_sys_is_err(p))
		return pg64_sys_err(p);
	/* Advice and fences went with the old mapping. */
	if (a->advised && pg64_page_needs_fence(PG64_MEM_HEAP))
		pg64_page_fence(addr, len);
	if (a->advised)
		pg64_page_advise(addr, len, PG64_MEM_HEAP);
	return 0;
}

int pg64_arena_purge(struct arena *a, size_t first, size_t count, bool discard)
{
	char *addr = a->start + first * PG64_GRANULE;
	size_t len = count * PG64_GRANULE;

	if (pg64_page_purge(addr, len) == 0)
		return 0;
	if (!discard) {
		pg64_arenas.unclean = true;
		return 0;
	}
	if (map_anew(a, first, count, PROT_READ | PROT_WRITE) == 0)
		return 0;
	/* Clear it by hand. In exact mode not all of it need be accessible. */
	int ret = pg64_page_os()->mprotect(addr, len, PROT_READ | PROT_WRITE);
	if (ret == 0)
		memset(addr, 0, len);
	else
		pg64_arenas.unclean = true;
	return ret;
}

__thread bool pg64_span_padded;
__thread struct pg64_span_fresh pg64_span_fresh;

/* Lock held. */
static bool reads_as_zero(const struct arena *a, size_t first, size_t count)
{
	size_t per_stretch = pg64_pmd_bytes() / PG64_GRANULE, s = first / per_stretch;

	return !pg64_arenas.unclean && pg64_bits_none(a->committed, first, count) &&
	       pg64_bits_none(a->held, s, (first + count - 1) / per_stretch - s + 1);
}

int pg64_span_commit(void *addr, size_t len)
{
	struct pg64_arena_state *st = &pg64_arenas;
	bool collapse = false;
	uint64_t bytes = 0;

	pg64_lock(&st->lock);
	struct arena *a = pg64_arena_of(addr);
	if (!a) {
		pg64_unlock(&st->lock);
		return -ENOMEM;
	}
	size_t first = granule_of(a, addr);
	size_t count = granule_of(a, (char *)addr + len + PG64_GRANULE - 1) - first;
	int ret = make_accessible(a, first, count);
	pg64_span_fresh = (struct pg64_span_fresh){0};
	if (ret == 0) {
		if (reads_as_zero(a, first, count)) {
			pg64_span_fresh.start = a->start + first * PG64_GRANULE;
			pg64_span_fresh.end = pg64_span_fresh.start + count * PG64_GRANULE;
		}
		bytes = (count - pg64_bits_count(a->committed, first, count)) * PG64_GRANULE;
		pg64_bits_set(a->committed, first, count);
		__atomic_fetch_add(&st->committed_bytes, bytes, __ATOMIC_RELAXED);
		pg64_count_add(PG64_C_heap_commit_bytes, bytes);
		if (st->committed_bytes > st->heap_min)
			choose_pages(a);
		pg64_count_add(a->advised			     ? PG64_C_heap_advised_bytes
			       : st->committed_bytes <= st->heap_min ? PG64_C_heap_small_bytes
								     : PG64_C_heap_base_bytes,
			bytes);
		collapse = pg64_stretch_wanted(a);
		if (pg64_unlikely(st->committed_bytes > st->pmd_min) && !pg64_promote_watch &&
			pg64_page_promotes())
			__atomic_store_n(&pg64_promote_watch, true, __ATOMIC_RELAXED);
	}
	pg64_unlock(&st->lock);
	if (pg64_growth_watched() && bytes)
		pg64_growth_note(addr, bytes);
	if (!collapse || pg64_span_padded || !pg64_page_wants_populate())
		return ret;
	pg64_ahead_step();
	/*
	 * Large pieces are single blocks, and whether a program will fill one nobody knows: watch
	 * it. Smaller ones are the next pages of a growing heap.
	 */
	if (len <= 2 * pg64_pmd_bytes())
		pg64_stretch_collapse(addr, (char *)addr + len, count, false);
	else if (bytes == count * PG64_GRANULE)
		pg64_ahead_watch(addr, len);
	return ret;
}

/* Purge granules [first, end), in none of whose stretches anything was collapsed. */
static int purge_plain(struct arena *a, size_t first, size_t end, bool discard)
{
	/* In exact mode a limit counts what is accessible: make it inaccessible again. */
	if (pg64_arenas.exact && map_anew(a, first, end - first, PROT_NONE) == 0)
		return 0;
	return pg64_arena_purge(a, first, end - first, discard);
}

int pg64_arena_decommit(struct arena *a, size_t first, size_t count, bool discard)
{
	struct pg64_arena_state *st = &pg64_arenas;
	size_t per_stretch = pg64_pmd_bytes() / PG64_GRANULE;
	size_t was = pg64_bits_count(a->committed, first, count) * PG64_GRANULE;
	size_t begin = first, end = first + count, accessible = a->frontier / PG64_GRANULE;
	int result = 0;

	pg64_ahead_forget(a->start + first * PG64_GRANULE, count * PG64_GRANULE);
	pg64_bits_clear(a->committed, first, count);
	pg64_bits_clear(
		a->aged, first / per_stretch, (end - 1) / per_stretch - first / per_stretch + 1);
	__atomic_fetch_sub(&st->committed_bytes, was, __ATOMIC_RELAXED);
	pg64_count_add(PG64_C_heap_decommit_bytes, was);
	if (end > accessible)
		end = accessible;
	while (first < end) {
		size_t s = first / per_stretch, next = (s + 1) * per_stretch;
		int ret;

		if (pg64_bit(a->collapsed, s)) {
			if (next > end)
				next = end;
			ret = pg64_stretch_purge(a, s, next - first, discard);
		} else {
			s = pg64_bits_next(a->collapsed, s,
				pg64_align_up(end, per_stretch) / per_stretch, true);
			next = s * per_stretch < end ? s * per_stretch : end;
			ret = purge_plain(a, first, next, discard);
		}
		if (ret < 0)
			result = ret;
		first = next;
	}
	pg64_promote_given_back(a, begin, count);
	return result;
}

void pg64_span_decommit(void *addr, size_t len)
{
	struct pg64_arena_state *st = &pg64_arenas;

	pg64_lock(&st->lock);
	struct arena *a = pg64_arena_of(addr);
	if (a) {
		/* Whole granules only: what shares one with them is still needed. */
		size_t first = granule_of(a, (char *)addr + PG64_GRANULE - 1);
		size_t end = granule_of(a, (char *)addr + len);

		if (first < end)
			pg64_arena_decommit(a, first, end - first, false);
	}
	pg64_unlock(&st->lock);
}
