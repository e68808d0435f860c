/* SPDX-License-Identifier: MIT */
/*
 * Aligned placement.
 */
#include <errno.h>
#include <sys/mman.h>

#include "base/counters.h"
#include "base/sys.h"
#include "place.h"

/* Where the next mapping of the program most likely fits: right below the last one. */
static _Atomic uintptr_t last;

static void *hinted(size_t len, int prot, int flags)
{
	uintptr_t top = last;
	uintptr_t hint = top > len ? pg64_align_down(top - len, PG64_GRANULE) : 0;

	return pg64_sys_mmap((void *)hint, len, prot, flags, -1, 0);
}

static void *with_slack(size_t len, int prot, int flags)
{
	size_t slack = PG64_GRANULE - pg64_page_bytes(), all = len + slack;

	if (all < len)
		return (void *)(intptr_t)-ENOMEM;
	char *p = pg64_sys_mmap(NULL, all, prot, flags, -1, 0);
	if (pg64_sys_is_err(p))
		return p;
	char *start = (char *)pg64_align_up((uintptr_t)p, PG64_GRANULE);
	if (start > p)
		pg64_sys_munmap(p, (size_t)(start - p));
	if (start + len < p + all)
		pg64_sys_munmap(start + len, (size_t)(p + all - start - len));
	return start;
}

static void *place(size_t len, int prot, int flags)
{
	len = pg64_align_up(len, pg64_page_bytes());
	char *p = hinted(len, prot, flags);
	if (pg64_sys_is_err(p))
		return p;
	if (!pg64_is_aligned((uintptr_t)p, PG64_GRANULE)) {
		char *better = with_slack(len, prot, flags);
		if (pg64_sys_is_err(better))
			return p;
		pg64_sys_munmap(p, len);
		pg64_count(PG64_C_mmap_realigned);
		p = better;
	}
	last = (uintptr_t)p;
	return p;
}

void *pg64_place_anon(size_t len, int prot, int flags)
{
	return place(len, prot, flags);
}

void *pg64_place_reserve(size_t len)
{
	void *p = place(len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);

	if (!pg64_sys_is_err(p) && !pg64_is_aligned((uintptr_t)p, PG64_GRANULE)) {
		pg64_sys_munmap(p, pg64_align_up(len, pg64_page_bytes()));
		return (void *)(intptr_t)-ENOMEM;
	}
	return p;
}
