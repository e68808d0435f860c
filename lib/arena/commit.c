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

static int grow_frontier(struct arena *a, size_t end)
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
		pg64_arenas.exact = true;
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
		if (grow_frontier(a, end) == 0)
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
	st->exact = true;
	if (end > a->frontier)
		set_frontier(a, end);
	return 0;
}

static void fence(struct arena *a)
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
		fence(a);
		enum pg64_backend got =
			pg64_page_advise(a->start, a->granules * PG64_GRANULE, PG64_MEM_HEAP);
		__atomic_store_n(&a->advised,
			got == PG64_BACKEND_PATCHED || got == PG64_BACKEND_MTHP, __ATOMIC_RELAXED);
	}
	if (a->advised)
		fence(a);
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

/* Purge a run of granules. 0 or -errno: zero is promised (@discard), and some may hold old data. */
static int purge(struct arena *a, size_t first, size_t count, bool discard)
{
	char *addr = a->start + first * PG64_GRANULE;
	size_t len = count * PG64_GRANULE;

	if (pg64_page_purge(addr, len) == 0 || !discard)
		return 0;
	if (map_anew(a, first, count, PROT_READ | PROT_WRITE) == 0)
		return 0;
	/* Clear it by hand. In exact mode not all of it need be accessible. */
	int ret = pg64_page_os()->mprotect(addr, len, PROT_READ | PROT_WRITE);
	if (ret == 0)
		memset(addr, 0, len);
	return ret;
}

static int purge_uncommitted(struct arena *a, size_t first, size_t count)
{
	size_t end = first + count;
	int ret = 0;

	while (first < end) {
		size_t from = pg64_bits_next(a->committed, first, end, false);
		size_t to = pg64_bits_next(a->committed, from, end, true);

		if (to > from && ret == 0)
			ret = purge(a, from, to - from, true);
		first = to;
	}
	return ret;
}

static size_t stretch_of(const struct arena *a, const char *addr)
{
	return (size_t)(addr - a->start) / pg64_pmd_bytes();
}

static void forget_collapsed(struct arena *a, size_t s)
{
	pg64_bits_clear(a->collapsed, s, 1);
	__atomic_fetch_sub(&pg64_arenas.collapsed_stretches, 1, __ATOMIC_RELAXED);
}

/*
 * Part of collapsed stretch @s is not needed any more. A whole stretch goes back at once. Else
 * taking a part away would leave the rest of the 2 MiB page allocated behind an unmapped piece, so:
 * hold the part while less than half is free, then split the page knowingly and give back all that
 * is free. A stretch that is being collapsed is left to settle().
 */
static int purge_collapsed(struct arena *a, size_t s, size_t touched, bool discard)
{
	size_t per_stretch = pg64_pmd_bytes() / PG64_GRANULE, first = s * per_stretch;
	size_t in_use = pg64_bits_count(a->committed, first, per_stretch);
	bool busy = pg64_bit(a->busy, s);

	if ((busy || in_use > per_stretch / 2) && !discard) {
		pg64_count_add(PG64_C_collapse_held_bytes, touched * PG64_GRANULE);
		return 0;
	}
	if (in_use && !busy) {
		pg64_page_split(a->start + first * PG64_GRANULE);
		pg64_count(PG64_C_collapse_split);
	}
	int ret = purge_uncommitted(a, first, per_stretch);
	if (!busy)
		forget_collapsed(a, s);
	return ret;
}

/* Is collapsing what this arena's memory needs now? Lock held. */
static bool wants_collapse(const struct arena *a)
{
	struct pg64_arena_state *st = &pg64_arenas;

	return a->asked && !a->advised && !st->exact && st->committed_bytes > st->collapse_min;
}

/*
 * Take stretch @s for collapsing if its time has come. @granules: how many come into use; @whole:
 * only if all of it is in use. Lock held.
 */
static bool claim_stretch(struct arena *a, size_t s, size_t granules, bool whole)
{
	size_t per_stretch = pg64_pmd_bytes() / PG64_GRANULE, end = (s + 1) * per_stretch;

	if (!wants_collapse(a) || end > a->granules || pg64_bit(a->collapsed, s))
		return false;
	size_t in_use = pg64_bits_count(a->committed, s * per_stretch, per_stretch);
	/*
	 * The engine fills a segment from its start, but its end may stay unused, where no block of
	 * the size in demand fits any more. Single granules fill it to the end; for larger pieces
	 * the last stretch is taken when it is in use whole.
	 */
	if (granules > 1 && pg64_is_aligned(end * PG64_GRANULE, PG64_SEGMENT))
		whole = true;
	if (in_use < (whole ? per_stretch : 1))
		return false;
	if (end * PG64_GRANULE > a->frontier && grow_frontier(a, end * PG64_GRANULE) < 0)
		return false;
	pg64_bits_set(a->collapsed, s, 1);
	pg64_bits_set(a->busy, s, 1);
	__atomic_fetch_add(&pg64_arenas.collapsed_stretches, 1, __ATOMIC_RELAXED);
	return true;
}

/* Arenas come and go, so a stretch is looked up each time that the lock is taken. */
static bool claim(char *stretch, size_t granules, bool whole)
{
	pg64_lock(&pg64_arenas.lock);
	struct arena *a = pg64_arena_of(stretch);
	bool claimed = a && claim_stretch(a, stretch_of(a, stretch), granules, whole);
	pg64_unlock(&pg64_arenas.lock);
	return claimed;
}

/* The stretch was claimed, and collapsing it is over. A busy stretch keeps its arena there. */
static void settle(char *stretch, bool done)
{
	size_t per_stretch = pg64_pmd_bytes() / PG64_GRANULE;

	pg64_lock(&pg64_arenas.lock);
	struct arena *a = pg64_arena_of(stretch);
	size_t s = a ? stretch_of(a, stretch) : 0;
	/* Not so in a child that was forked by a signal handler: it has forgotten what was busy. */
	if (!a || !pg64_bit(a->busy, s)) {
		pg64_unlock(&pg64_arenas.lock);
		return;
	}
	pg64_bits_clear(a->busy, s, 1);
	if (pg64_bits_none(a->committed, s * per_stretch, per_stretch)) {
		/* Freed meanwhile. */
		purge_collapsed(a, s, 0, true);
		pg64_arena_release(a);
	} else if (!done) {
		purge_uncommitted(a, s * per_stretch, per_stretch);
		forget_collapsed(a, s);
	}
	pg64_unlock(&pg64_arenas.lock);
}

static void collapse_stretches(char *start, char *end, size_t granules, bool whole)
{
	size_t pmd = pg64_pmd_bytes();

	for (char *p = (char *)pg64_align_down((uintptr_t)start, pmd); p < end; p += pmd)
		/* Not under the lock: clearing 2 MiB takes its time, and the stretch is ours. */
		if (claim(p, granules, whole))
			settle(p, pg64_page_populate(p, pmd));
}

void pg64_arena_collapse(char *start, char *end)
{
	size_t pmd = pg64_pmd_bytes();
	char *from = (char *)pg64_align_up((uintptr_t)start, pmd);
	char *to = (char *)pg64_align_down((uintptr_t)end, pmd);

	if (from >= to)
		return;
	pg64_lock(&pg64_arenas.lock);
	struct arena *a = pg64_arena_of(from);
	bool wanted = a && wants_collapse(a);
	pg64_unlock(&pg64_arenas.lock);
	if (wanted && pg64_page_wants_populate())
		collapse_stretches(from, to, (size_t)(to - from) / PG64_GRANULE, true);
}

void pg64_span_will_fill(void *addr, size_t len)
{
	pg64_arena_collapse(addr, (char *)addr + len);
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
	if (ret == 0) {
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
		collapse = wants_collapse(a);
	}
	pg64_unlock(&st->lock);
	if (pg64_growth_watched() && bytes)
		pg64_growth_note(addr, bytes);
	if (!collapse || !pg64_page_wants_populate())
		return ret;
	pg64_ahead_step();
	/*
	 * Large pieces are single blocks, and whether a program will fill one nobody knows: watch
	 * it. Smaller ones are the next pages of a growing heap.
	 */
	if (len <= 2 * pg64_pmd_bytes())
		collapse_stretches(addr, (char *)addr + len, count, false);
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
	return purge(a, first, end - first, discard);
}

int pg64_arena_decommit(struct arena *a, size_t first, size_t count, bool discard)
{
	struct pg64_arena_state *st = &pg64_arenas;
	size_t per_stretch = pg64_pmd_bytes() / PG64_GRANULE;
	size_t was = pg64_bits_count(a->committed, first, count) * PG64_GRANULE;
	size_t end = first + count, accessible = a->frontier / PG64_GRANULE;
	int result = 0;

	pg64_ahead_forget(a->start + first * PG64_GRANULE, count * PG64_GRANULE);
	pg64_bits_clear(a->committed, first, count);
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
			ret = purge_collapsed(a, s, next - first, discard);
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
