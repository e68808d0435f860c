/* SPDX-License-Identifier: MIT */
/*
 * Giving memory back, and splitting what was collapsed.
 */
#include <errno.h>
#include <sys/mman.h>

#include "base/counters.h"
#include "page/probe.h"

#define PG64_MADV_COLD 20

int pg64_page_purge(void *addr, size_t len)
{
	/* Not MADV_FREE: memory that stays in RSS until there is pressure looks like a leak. */
	int ret = pg64_page_os()->madvise(addr, len, MADV_DONTNEED);

	/* Memory that the program has locked (mlockall) is free all the same. */
	if (ret == -EINVAL)
		ret = pg64_page_os()->madvise(addr, len, PG64_MADV_DONTNEED_LOCKED);
	if (ret < 0)
		pg64_count(PG64_C_fail_purge);
	else
		pg64_count_add(PG64_C_heap_purged_bytes, len);
	return ret;
}

int pg64_page_split(void *stretch)
{
	return pg64_page_os()->madvise(stretch, pg64_page_bytes(), PG64_MADV_COLD);
}
