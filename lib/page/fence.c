/* SPDX-License-Identifier: MIT */
/*
 * Fences: VMA boundaries that keep PMD-size pages out of a range.
 *
 * A fence is two granules, one on each side of every second PMD boundary, that differ from their
 * surroundings in something harmless, so that the kernel keeps them as a VMA of their own: every
 * PMD-size stretch then has a VMA boundary inside. What differs is the name of the VMA
 * (PR_SET_VMA_ANON_NAME, where the kernel has CONFIG_ANON_VMA_NAME), else MADV_RANDOM, which on
 * anonymous memory changes one thing: reclaim does not count references to these granules as recent
 * (vma_has_recency() in include/linux/mm_inline.h), one granule in 32.
 */
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/counters.h"
#include "page/page.h"

/* Fences cost a VMA a stretch; vm.max_map_count is 65530 by default and belongs to the program. */
#define FENCES_MAX 16384

/* At the limit the fences are counted anew, but not at each refusal: it reads all of the maps. */
#define REFUSALS_PER_COUNT 64

#define FENCE_NAME "pg64-fence"

enum ink { INK_UNKNOWN, INK_NAME, INK_RANDOM };

static _Atomic int ink;
/*
 * Drawn and not erased: more than there are, because fences go with memory that is unmapped,
 * unseen; but a range that starts within a fence, and does not continue another, has one that is
 * not counted.
 */
static _Atomic uint32_t fences;
static _Atomic uint32_t refusals;

static bool has_room(const struct pg64_page_os *os)
{
	if (fences < FENCES_MAX)
		return true;
	if (refusals++ % REFUSALS_PER_COUNT != 0)
		return false;
	/* MADV_RANDOM shows in smaps only, which is slower still: then every VMA counts. */
	int count = os->vma_count(ink == INK_NAME ? FENCE_NAME : NULL);
	if (count < 0 || count >= FENCES_MAX)
		return false;
	fences = (uint32_t)count;
	refusals = 0;
	return true;
}

static int draw(const struct pg64_page_os *os, char *addr, size_t len)
{
	int unknown = INK_UNKNOWN;

	if (ink != INK_RANDOM) {
		int ret = os->vma_name(addr, len, FENCE_NAME);
		if (ret == 0)
			ink = INK_NAME;
		/* For want of memory or of VMAs: it would be the same with the other ink. */
		if (ret == 0 || ret == -ENOMEM || ret == -EAGAIN)
			return ret;
		if (!atomic_compare_exchange_strong(&ink, &unknown, INK_RANDOM) &&
			unknown == INK_NAME)
			return ret;
	}
	return os->madvise(addr, len, MADV_RANDOM);
}

static int erase(const struct pg64_page_os *os, char *addr, size_t len)
{
	return ink == INK_NAME ? os->vma_name(addr, len, NULL)
			       : os->madvise(addr, len, MADV_NORMAL);
}

typedef int (*fence_fn)(const struct pg64_page_os *os, char *addr, size_t len);

static int each_fence(char *addr, size_t len, fence_fn fn, int sign)
{
	const struct pg64_page_os *os = pg64_page_os();
	size_t pmd = pg64_pmd_bytes();
	uintptr_t start = (uintptr_t)addr, end = start + len;

	/* Odd multiples of pmd, from the first whose fence reaches into the range. */
	uintptr_t mark = pg64_align_down(start, 2 * pmd) + pmd;
	if (mark + PG64_GRANULE <= start)
		mark += 2 * pmd;
	for (; mark - PG64_GRANULE < end; mark += 2 * pmd) {
		uintptr_t from = mark - PG64_GRANULE, to = mark + PG64_GRANULE;

		if (from < start)
			from = start;
		if (to > end)
			to = end;
		if (sign > 0 && !has_room(os)) {
			pg64_count(PG64_C_fail_fence);
			return -ENOMEM;
		}
		int ret = fn(os, (char *)from, to - from);
		if (ret < 0) {
			pg64_count(PG64_C_fail_fence);
			return ret;
		}
		if (sign > 0 && from == mark - PG64_GRANULE) {
			/* Drawn in pieces it is one still: the one with its start counts. */
			fences++;
			pg64_count(PG64_C_fence_ok);
		} else if (sign > 0) {
			continue;
		} else if (fences > 0 && to - from == 2 * PG64_GRANULE) {
			/* Half a fence that is left is a VMA still. */
			fences--;
		}
	}
	return 0;
}

int pg64_page_fence(void *addr, size_t len)
{
	return each_fence(addr, len, draw, +1);
}

int pg64_page_unfence(void *addr, size_t len)
{
	return each_fence(addr, len, erase, -1);
}

/*
 * It is the rest that is marked and not the page, because kernels before 6.13 merge what is changed
 * back with a VMA that was touched only if that is the one in front of it.
 */
int pg64_page_touch_apart(void *addr, size_t len)
{
	const struct pg64_page_os *os = pg64_page_os();
	size_t page = pg64_page_bytes();
	int ret = len > page ? os->madvise((char *)addr + page, len - page, MADV_RANDOM) : 0;

	if (ret == 0)
		os->touch(addr);
	if (len > page)
		os->madvise((char *)addr + page, len - page, MADV_NORMAL);
	return ret;
}
