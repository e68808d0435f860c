/* SPDX-License-Identifier: MIT */
/*
 * System V shared memory: segments attached without an address go to a 64 KiB boundary, and are
 * advised. A segment of SHM_HUGETLB refuses the advice, which says nothing about others.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "arena/regions.h"
#include "base/counters.h"
#include "base/sys.h"
#include "page/page.h"
#include "place.h"
#include "preload.h"

static void *attach_aligned(int id, int flags, size_t len)
{
	void *target = pg64_place_reserve(len);

	if (pg64_sys_is_err(target))
		return target;
	void *p = pg64_sys_shmat(id, target, flags | SHM_REMAP);
	if (pg64_sys_is_err(p)) {
		pg64_place_give_back(target, len, len);
		return p;
	}
	if (pg64_page_advise_once(p, len, PG64_MEM_SHARED) == 0) {
		pg64_regions_add((uintptr_t)p, len, PG64_MEM_SHARED, false);
		pg64_count(PG64_C_mmap_advised);
		pg64_count_add(PG64_C_shared_advised_bytes, len);
	}
	return p;
}

PG64_EXPORT void *shmat(int id, const void *addr, int flags)
{
	void *p = (void *)(intptr_t)-EINVAL;

	/* SHM_REMAP needs an address: that it has none is for the kernel to refuse. */
	if (!addr && !(flags & SHM_REMAP) && pg64_serves_mmap()) {
		ssize_t bytes = pg64_sys_shm_bytes(id);

		if (bytes >= (ssize_t)pg64_process.config.mmap_min &&
			pg64_page_backend(PG64_MEM_SHARED) != PG64_BACKEND_BASE)
			p = attach_aligned(
				id, flags, pg64_align_up((size_t)bytes, pg64_page_bytes()));
	}
	if (pg64_sys_is_err(p))
		p = pg64_sys_shmat(id, addr, flags);
	if (!pg64_sys_is_err(p) && addr && (flags & SHM_REMAP)) {
		/* What it has been put over is gone. */
		ssize_t bytes = pg64_sys_shm_bytes(id);
		if (bytes > 0)
			pg64_regions_remove(
				(uintptr_t)p, pg64_align_up((size_t)bytes, pg64_page_bytes()));
	}
	if (pg64_sys_is_err(p)) {
		errno = -pg64_sys_err(p);
		return (void *)-1;
	}
	return p;
}

PG64_EXPORT int shmdt(const void *addr)
{
	struct pg64_region region;

	if (pg64_serves_mmap() && pg64_regions_find((uintptr_t)addr, 1, &region) &&
		region.start == (uintptr_t)addr)
		pg64_regions_remove(region.start, region.end - region.start);
	int ret = pg64_sys_shmdt(addr);
	if (ret < 0)
		errno = -ret;
	return ret < 0 ? -1 : 0;
}
