/* SPDX-License-Identifier: MIT */
/*
 * Stretches: pieces of an arena that one PMD-size page maps.
 *
 * A stretch is claimed under the lock, made a PMD-size page without it (clearing or copying 2 MiB
 * takes its time), and settled under the lock again. What of it is freed meanwhile, or later, is
 * held until splitting the page pays.
 */
#include "arena/internal.h"
#include "arena/owner.h"
#include "base/counters.h"
#include "page/page.h"

static int purge_uncommitted(struct arena *a, size_t first, size_t count)
{
	size_t end = first + count;
	int ret = 0;

	while (first < end) {
		size_t from = pg64_bits_next(a->committed, first, end, false);
		size_t to = pg64_bits_next(a->committed, from, end, true);

		if (to > from && ret == 0)
			ret = pg64_arena_purge(a, from, to - from, true);
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
	pg64_bits_clear(a->held, s, 1);
	__atomic_fetch_sub(&pg64_arenas.collapsed_stretches, 1, __ATOMIC_RELAXED);
}

/* What is touched next in stretch @s must not bring a PMD-size page by itself. */
static void fence_again(const struct arena *a, size_t s)
{
	if (pg64_page_needs_fence(PG64_MEM_HEAP))
		pg64_page_fence(a->start + s * pg64_pmd_bytes(), pg64_pmd_bytes());
}

/*
 * Part of collapsed stretch @s is not needed any more. A whole stretch goes back at once. Else
 * taking a part away would leave the rest of the 2 MiB page allocated behind an unmapped piece, so:
 * hold the part while little is free, then split the page knowingly and give back all that
 * is free. A stretch that is being collapsed is left to settle().
 */
int pg64_stretch_purge(struct arena *a, size_t s, size_t touched, bool discard)
{
	size_t per_stretch = pg64_pmd_bytes() / PG64_GRANULE, first = s * per_stretch;
	size_t in_use = pg64_bits_count(a->committed, first, per_stretch);
	bool busy = pg64_bit(a->busy, s);
	/* What goes to base pages costs less where advice can bring 64 KiB pages again. */
	size_t enough = a->advised ? per_stretch - per_stretch / 4 : per_stretch / 2;

	if ((busy || in_use > enough) && !discard) {
		pg64_bits_set(a->held, s, 1);
		pg64_count_add(PG64_C_collapse_held_bytes, touched * PG64_GRANULE);
		return 0;
	}
	if (in_use && !busy) {
		pg64_page_split(a->start + first * PG64_GRANULE);
		pg64_count(PG64_C_collapse_split);
	}
	int ret = purge_uncommitted(a, first, per_stretch);
	pg64_bits_clear(a->held, s, 1);
	if (!busy) {
		forget_collapsed(a, s);
		fence_again(a, s);
	}
	return ret;
}

/* Is collapsing what this arena's memory needs now? Lock held. */
bool pg64_stretch_wanted(const struct arena *a)
{
	struct pg64_arena_state *st = &pg64_arenas;
	bool at_once = pg64_page_backend_known(PG64_MEM_HEAP) == PG64_BACKEND_COLLAPSE;
	size_t min = at_once ? st->collapse_min : st->pmd_min;

	return a->asked && !st->exact && st->committed_bytes > min;
}

static void mark_claimed(struct arena *a, size_t s)
{
	pg64_bits_set(a->collapsed, s, 1);
	pg64_bits_set(a->busy, s, 1);
	__atomic_fetch_add(&pg64_arenas.collapsed_stretches, 1, __ATOMIC_RELAXED);
}

/*
 * Take stretch @s for collapsing if its time has come. @granules: how many come into use; @whole:
 * only if all of it is in use. Lock held.
 */
static bool claim_stretch(struct arena *a, size_t s, size_t granules, bool whole)
{
	size_t per_stretch = pg64_pmd_bytes() / PG64_GRANULE, end = (s + 1) * per_stretch;

	if (!pg64_stretch_wanted(a) || end > a->granules || pg64_bit(a->collapsed, s))
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
	/* What has been in use for a while is on 64 KiB pages; it is for promote.c to look at. */
	if (a->advised && !whole && in_use > granules)
		return false;
	if (pg64_page_backend_known(PG64_MEM_HEAP) != PG64_BACKEND_COLLAPSE &&
		!pg64_page_promotion_room(pg64_arenas.committed_bytes))
		return false;
	if (end * PG64_GRANULE > a->frontier && pg64_arena_grow(a, end * PG64_GRANULE) < 0)
		return false;
	/* All of it now, or the fences of what is new would come after the page and cut it. */
	if (a->advised)
		pg64_arena_fence(a);
	mark_claimed(a, s);
	return true;
}

bool pg64_stretch_take(struct arena *a, size_t s)
{
	size_t per_stretch = pg64_pmd_bytes() / PG64_GRANULE;

	if (pg64_bit(a->collapsed, s) ||
		pg64_bits_count(a->committed, s * per_stretch, per_stretch) < per_stretch)
		return false;
	mark_claimed(a, s);
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

/* A busy stretch keeps its arena there. */
void pg64_stretch_settle(char *stretch, bool done)
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
	if (!done)
		pg64_bits_clear(a->aged, s, 1);
	if (pg64_bits_none(a->committed, s * per_stretch, per_stretch)) {
		/* Freed meanwhile. */
		pg64_stretch_purge(a, s, 0, true);
		pg64_arena_release(a);
	} else if (!done) {
		purge_uncommitted(a, s * per_stretch, per_stretch);
		forget_collapsed(a, s);
	} else if (pg64_bit(a->held, s)) {
		/* Parts were freed meanwhile: as if it were now. */
		pg64_stretch_purge(a, s, 0, false);
	}
	pg64_unlock(&pg64_arenas.lock);
}

void pg64_stretch_collapse(char *start, char *end, size_t granules, bool whole)
{
	size_t pmd = pg64_pmd_bytes();

	for (char *p = (char *)pg64_align_down((uintptr_t)start, pmd); p < end; p += pmd)
		/* Not under the lock: clearing 2 MiB takes its time, and the stretch is ours. */
		if (claim(p, granules, whole))
			pg64_stretch_settle(p, pg64_page_populate(p, pmd));
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
	bool wanted = a && pg64_stretch_wanted(a);
	pg64_unlock(&pg64_arenas.lock);
	if (wanted && pg64_page_wants_populate())
		pg64_stretch_collapse(from, to, (size_t)(to - from) / PG64_GRANULE, true);
}

void pg64_span_will_fill(void *addr, size_t len)
{
	pg64_arena_collapse(addr, (char *)addr + len);
}
