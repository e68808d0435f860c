/* SPDX-License-Identifier: MIT */
/*
 * Aligned placement.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/counters.h"
#include "base/lines.h"
#include "base/maps.h"
#include "base/sys.h"
#include "place.h"

#define RESERVED (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

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
	void *p = place(len, PROT_NONE, RESERVED);

	if (!pg64_sys_is_err(p) && !pg64_is_aligned((uintptr_t)p, PG64_GRANULE)) {
		pg64_sys_munmap(p, pg64_align_up(len, pg64_page_bytes()));
		return (void *)(intptr_t)-ENOMEM;
	}
	return p;
}

/* Is all of [start, end) one inaccessible mapping of private anonymous memory? */
static bool is_reserved(uintptr_t start, uintptr_t end)
{
	struct pg64_lines lines;
	struct pg64_map map;
	bool found = false;

	if (pg64_lines_open(&lines, "/proc/self/maps") < 0)
		return false;
	while (!found && pg64_lines_next(&lines) > 0) {
		pg64_map_parse(lines.line, &map);
		if (map.start > start)
			break;
		found = end <= map.end && !map.inode && !*map.path &&
			strcmp(map.perms, "---p") == 0;
	}
	pg64_lines_close(&lines);
	return found;
}

void pg64_place_give_back(void *p, size_t doubtful, size_t len)
{
	char *rest = (char *)p + doubtful;

	if (len > doubtful)
		pg64_sys_munmap(rest, len - doubtful);
	if (!doubtful)
		return;
	/*
	 * Where all of it is free this succeeds, and the place is ours again. Linux before 4.17,
	 * and valgrind, take the address for a hint and choose another if it is not free.
	 */
	void *taken = pg64_sys_mmap(p, doubtful, PROT_NONE, RESERVED | MAP_FIXED_NOREPLACE, -1, 0);
	bool in_use = pg64_sys_is_err(taken) ? pg64_sys_err(taken) == -EEXIST : taken != p;
	if (!pg64_sys_is_err(taken))
		pg64_sys_munmap(taken, doubtful);
	/*
	 * Free in part, or another's in part, is no longer ours. What is one reservation still is:
	 * another thread would have to have reserved just that much just there meanwhile.
	 */
	if (in_use && is_reserved((uintptr_t)p, (uintptr_t)rest))
		pg64_sys_munmap(p, doubtful);
}
