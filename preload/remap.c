/* SPDX-License-Identifier: MIT */
/*
 * mremap() of the program's mappings that pg64 advised: they stay on 64 KiB boundaries where
 * they have to move.
 *
 * The kernel resizes and moves within one VMA. A region with fences is several, and taking the
 * fences away does not always make it one again: VMAs that were touched while they differed may
 * have an anon_vma each, which keeps them apart. So such a region is moved piece by piece, and
 * grown at its last piece.
 */
#include <errno.h>
#include <sys/mman.h>

#include "arena/regions.h"
#include "base/counters.h"
#include "base/sys.h"
#include "page/page.h"
#include "place.h"
#include "remap.h"

/* What mremap(2) was asked for, in whole pages. */
struct request {
	char *old;
	size_t old_len, new_len;
	int flags;
	uint32_t fence; /* as in struct pg64_region */
};

/* The pattern of fences repeats after two PMD-size stretches. */
static size_t period(void)
{
	return 2 * pg64_pmd_bytes();
}

uint32_t pg64_remap_fence(uint32_t fence, uintptr_t from, uintptr_t to)
{
	if (!fence)
		return 0;
	uintptr_t shift = (uintptr_t)(fence - 1) * pg64_page_bytes() + (to - from);
	return 1 + (uint32_t)((shift & (period() - 1)) / pg64_page_bytes());
}

/* End of the piece that starts at @at: the next place where a VMA may end. */
static uintptr_t piece_end(uintptr_t at, uintptr_t end, uint32_t fence)
{
	size_t pmd = pg64_pmd_bytes();
	size_t in = (at - (uintptr_t)(fence - 1) * pg64_page_bytes()) & (period() - 1);
	size_t next = in < pmd - PG64_GRANULE	? pmd - PG64_GRANULE
		      : in < pmd + PG64_GRANULE ? pmd + PG64_GRANULE
						: period() + pmd - PG64_GRANULE;

	return next - in < end - at ? at + next - in : end;
}

static uintptr_t last_piece(uintptr_t start, uintptr_t end, uint32_t fence)
{
	uintptr_t next;

	while ((next = piece_end(start, end, fence)) < end)
		start = next;
	return start;
}

/* Put back the pieces up to @end that were moved to @target. */
static void move_back(const struct request *r, char *target, uintptr_t end)
{
	uintptr_t start = (uintptr_t)r->old, at = start, next;

	for (; at < end; at = next) {
		next = piece_end(at, end, r->fence);
		pg64_sys_mremap(target + (at - start), next - at, next - at,
			MREMAP_MAYMOVE | MREMAP_FIXED, (void *)at);
	}
}

static void *move_pieces(const struct request *r, char *target, struct pg64_stuck *stuck)
{
	uintptr_t start = (uintptr_t)r->old, end = start + r->old_len, at = start, next;
	int flags = r->flags | MREMAP_MAYMOVE | MREMAP_FIXED;

	for (; at < end; at = next) {
		next = piece_end(at, end, r->fence);
		size_t len = next - at, want = next == end ? r->new_len - (at - start) : len;
		void *p = pg64_sys_mremap((void *)at, len, want, flags, target + (at - start));

		if (pg64_sys_is_err(p)) {
			move_back(r, target, at);
			*stuck = (struct pg64_stuck){at - start, want};
			return p;
		}
	}
	return target;
}

/*
 * A place for @len bytes, congruent to @old in the pattern of fences where there is room for
 * that.
 */
static char *reserve_like(const char *old, size_t len)
{
	char *p = pg64_place_reserve(len + period());

	if (pg64_sys_is_err(p))
		return pg64_place_reserve(len);
	size_t head = ((uintptr_t)old - (uintptr_t)p) & (period() - 1);
	if (head)
		pg64_sys_munmap(p, head);
	pg64_sys_munmap(p + head + len, period() - head);
	return p + head;
}

static void *move_somewhere(const struct request *r)
{
	char *target = reserve_like(r->old, r->new_len);
	struct pg64_stuck stuck;

	if (pg64_sys_is_err(target))
		return target;
	void *p = move_pieces(r, target, &stuck);
	if (pg64_sys_is_err(p))
		pg64_place_give_back(target + stuck.offset, stuck.len, r->new_len - stuck.offset);
	else
		pg64_count(PG64_C_mremap_realigned);
	return p;
}

static void *grow_fenced(const struct request *r)
{
	uintptr_t end = (uintptr_t)r->old + r->old_len;
	uintptr_t last = last_piece((uintptr_t)r->old, end, r->fence);
	size_t grow = r->new_len - r->old_len;

	/* Where it is a part of a fence, what is added must not be like it. */
	if (r->fence == 1)
		pg64_page_unfence((void *)last, end - last);
	void *p = pg64_sys_mremap((void *)last, end - last, end - last + grow, 0, NULL);
	if (!pg64_sys_is_err(p))
		return r->old;
	if (r->flags & MREMAP_MAYMOVE)
		p = move_somewhere(r);
	if (pg64_sys_is_err(p) && r->fence == 1)
		pg64_page_fence((void *)last, end - last);
	return p;
}

/* More than this is for the kernel to refuse. */
#define LARGEST ((size_t)1 << 46)

/* One that the kernel would carry out if the region were one VMA? */
static bool is_sound(const struct request *r, const char *target)
{
	int known = MREMAP_MAYMOVE | MREMAP_FIXED | PG64_MREMAP_DONTUNMAP;
	bool moves = r->flags & (MREMAP_FIXED | PG64_MREMAP_DONTUNMAP);

	if ((r->flags & ~known) || !pg64_is_aligned((uintptr_t)r->old, pg64_page_bytes()) ||
		r->new_len == 0 || r->new_len > LARGEST ||
		(moves && !(r->flags & MREMAP_MAYMOVE)) ||
		((r->flags & PG64_MREMAP_DONTUNMAP) && r->new_len != r->old_len))
		return false;
	if (moves && !pg64_is_aligned((uintptr_t)target, pg64_page_bytes()))
		return false;
	if (!(r->flags & MREMAP_FIXED))
		return true;
	return target + r->new_len > target &&
	       (target + r->new_len <= r->old || r->old + r->old_len <= target);
}

static void *remap_fenced(struct request *r, char *target)
{
	if (r->new_len > r->old_len && !(r->flags & MREMAP_FIXED))
		return grow_fenced(r);
	if (r->new_len < r->old_len) {
		int ret = pg64_sys_munmap(r->old + r->new_len, r->old_len - r->new_len);
		if (ret < 0)
			return (void *)(intptr_t)ret;
		r->old_len = r->new_len;
	}
	if (r->flags & MREMAP_FIXED)
		return move_pieces(r, target, &(struct pg64_stuck){0});
	return r->flags & PG64_MREMAP_DONTUNMAP ? move_somewhere(r) : r->old;
}

/* Grow, moving to another aligned place if it has to move. */
static void *grow_aligned(const struct request *r)
{
	void *p = pg64_sys_mremap(r->old, r->old_len, r->new_len, 0, NULL);

	/* -EFAULT: no call for all of it will do (see pieces.c). */
	if (!pg64_sys_is_err(p) || pg64_sys_err(p) == -EFAULT)
		return p;
	void *target = pg64_place_reserve(r->new_len);
	if (pg64_sys_is_err(target))
		return pg64_sys_mremap(r->old, r->old_len, r->new_len, r->flags, NULL);
	p = pg64_sys_mremap(r->old, r->old_len, r->new_len, r->flags | MREMAP_FIXED, target);
	if (!pg64_sys_is_err(p)) {
		pg64_count(PG64_C_mremap_realigned);
		return p;
	}
	pg64_place_give_back(target, r->new_len, r->new_len);
	return pg64_sys_mremap(r->old, r->old_len, r->new_len, r->flags, NULL);
}

/* Fences for what has been added; where the pattern was moved, it stays without. */
static void fence_tail(const struct request *r, char *p, size_t old_len, uint32_t fence)
{
	if (fence != 1 || r->new_len <= old_len)
		return;
	size_t from = last_piece((uintptr_t)p, (uintptr_t)p + old_len, fence) - (uintptr_t)p;
	pg64_page_fence(p + from, r->new_len - from);
}

void *pg64_remap(char *old, size_t old_len, size_t new_len, int flags, void *target,
	const struct pg64_region *region)
{
	struct request r = {
		old, old_len, pg64_align_up(new_len, pg64_page_bytes()), flags, region->fenced};
	bool fenced = r.fence && is_sound(&r, target);
	void *p = fenced ? remap_fenced(&r, target)
		  : r.new_len > old_len && flags == MREMAP_MAYMOVE
			  ? grow_aligned(&r)
			  : pg64_sys_mremap(old, old_len, new_len, flags, target);

	if (pg64_sys_is_err(p))
		return p;
	uint32_t fence = pg64_remap_fence(r.fence, (uintptr_t)old, (uintptr_t)p);
	if (fenced)
		fence_tail(&r, p, old_len, fence);
	if (p == old && r.new_len < old_len) {
		pg64_regions_remove((uintptr_t)old + r.new_len, old_len - r.new_len);
		return p;
	}
	if (p != old && !(flags & PG64_MREMAP_DONTUNMAP))
		pg64_regions_remove((uintptr_t)old, old_len);
	pg64_regions_add((uintptr_t)p, r.new_len, region->kind, fence);
	return p;
}
