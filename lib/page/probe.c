/* SPDX-License-Identifier: MIT */
/*
 * Scratch memory for probes, and the public pg64_probe().
 *
 * mincore(2) is the witness: for anonymous memory it reports which base pages are mapped, and the
 * one write of a probe cannot have mapped more than one page unless a larger folio came with it. It
 * needs neither /proc nor privilege.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "base/fmt.h"
#include "base/sys.h"
#include "page/probe.h"

/* PMD-size stretches have 512 base pages on 4 KiB hosts, 2048 on 16 KiB hosts. */
#define STRETCH_PAGES_MAX 2048

int pg64_scratch_map(struct pg64_scratch *scratch, enum pg64_mem kind)
{
	const struct pg64_page_os *os = pg64_page_os();
	int flags = MAP_ANONYMOUS | MAP_NORESERVE |
		    (kind == PG64_MEM_SHARED ? MAP_SHARED : MAP_PRIVATE);
	size_t pmd = pg64_pmd_bytes();

	scratch->map = NULL;
	scratch->pmd = pmd;
	scratch->map_len = 4 * pmd;
	if (pmd / pg64_page_bytes() > STRETCH_PAGES_MAX)
		return -EOPNOTSUPP;
	char *map = os->mmap(NULL, scratch->map_len, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pg64_sys_is_err(map))
		return pg64_sys_err(map);
	scratch->map = map;
	scratch->stretch = (char *)pg64_align_up((uintptr_t)map, 2 * pmd);
	/*
	 * Mapped over the reservation: folios of shared memory are aligned in the file, so offset 0
	 * must be where the address is aligned.
	 */
	void *p = os->mmap(
		scratch->stretch, 2 * pmd, PROT_READ | PROT_WRITE, flags | MAP_FIXED, -1, 0);
	if (pg64_sys_is_err(p)) {
		pg64_scratch_unmap(scratch);
		return pg64_sys_err(p);
	}
	return 0;
}

void pg64_scratch_unmap(struct pg64_scratch *scratch)
{
	if (scratch->map)
		pg64_page_os()->munmap(scratch->map, scratch->map_len);
	scratch->map = NULL;
}

long pg64_scratch_present(const struct pg64_scratch *scratch, char *stretch)
{
	unsigned char present[STRETCH_PAGES_MAX];
	size_t pages = scratch->pmd / pg64_page_bytes();
	long count = 0;

	int ret = pg64_page_os()->mincore(stretch, scratch->pmd, present);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < pages; i++)
		count += present[i] & 1;
	return count * (long)pg64_page_bytes();
}

long pg64_scratch_touch(struct pg64_scratch *scratch, char *stretch)
{
	char *middle = stretch + pg64_align_down(scratch->pmd / 2, PG64_GRANULE);

	/* With mlockall(MCL_FUTURE) all of it is there before any touch, and proves nothing. */
	long before = pg64_scratch_present(scratch, stretch);
	if (before > 0) {
		pg64_page_os()->madvise(stretch, scratch->pmd, PG64_MADV_DONTNEED_LOCKED);
		before = pg64_scratch_present(scratch, stretch);
	}
	if (before != 0)
		return before < 0 ? before : -EBUSY;
	pg64_page_os()->touch(middle);
	return pg64_scratch_present(scratch, stretch);
}

void pg64_probe_result(struct pg64_probe *probe, int error, const char *fmt, ...)
{
	va_list args;

	probe->error = error;
	va_start(args, fmt);
	pg64_vsnprintf(probe->reason, sizeof(probe->reason), fmt, args);
	va_end(args);
}
