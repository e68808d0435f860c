/* SPDX-License-Identifier: MIT */
/*
 * Backend `patched`: madvise(MADV_PAGESIZE_64K) of pg64's kernel patch series. The numbers are the
 * ABI of kernel-patch/ABI.md; a zero-length call is the probe, which a stock kernel answers with
 * EINVAL.
 */
#include <errno.h>

#include "page/probe.h"

#define PG64_MADV_PAGESIZE_64K 164

static void probe_patched(enum pg64_mem kind, struct pg64_probe *probe, bool deep)
{
	const struct pg64_page_os *os = pg64_page_os();
	struct pg64_scratch scratch;

	(void)deep;
	int ret = os->madvise(NULL, 0, PG64_MADV_PAGESIZE_64K);
	if (ret < 0) {
		if (ret == -EOPNOTSUPP)
			pg64_probe_result(probe, ret,
				"the patched kernel has vm.pagesize_64k = 0 "
				"(run: sudo sysctl vm.pagesize_64k=1)");
		else if (ret == -EINVAL)
			pg64_probe_result(probe, ret, "the kernel has no MADV_PAGESIZE_64K");
		else
			pg64_probe_result(
				probe, ret, "MADV_PAGESIZE_64K is refused: error %d", -ret);
		return;
	}
	ret = pg64_scratch_map(&scratch, kind);
	if (ret < 0) {
		pg64_probe_result(probe, ret, "no scratch memory for the probe: error %d", -ret);
		return;
	}
	ret = os->madvise(scratch.stretch, 2 * scratch.pmd, PG64_MADV_PAGESIZE_64K);
	long bytes = ret < 0 ? ret : pg64_scratch_touch(&scratch, scratch.stretch);
	pg64_scratch_unmap(&scratch);
	if (bytes < 0) {
		pg64_probe_result(
			probe, (int)bytes, "MADV_PAGESIZE_64K failed: error %d", -(int)bytes);
		return;
	}
	probe->touched_bytes = (uint32_t)bytes;
	if (bytes == (long)PG64_GRANULE)
		pg64_probe_result(probe, 0,
			"one touch of MADV_PAGESIZE_64K memory brought %u bytes",
			probe->touched_bytes);
	else
		pg64_probe_result(probe, -EOPNOTSUPP,
			"MADV_PAGESIZE_64K is accepted, but one touch brought %u bytes",
			probe->touched_bytes);
}

static int advise_patched(void *addr, size_t len, enum pg64_mem kind)
{
	uintptr_t start = pg64_align_up((uintptr_t)addr, PG64_GRANULE);
	uintptr_t end = pg64_align_down((uintptr_t)addr + len, PG64_GRANULE);

	(void)kind;
	if (start >= end)
		return 0;
	return pg64_page_os()->madvise((void *)start, end - start, PG64_MADV_PAGESIZE_64K);
}

const struct pg64_page_backend pg64_page_patched = {
	.id = PG64_BACKEND_PATCHED,
	.name = "patched",
	.probe = probe_patched,
	.advise = advise_patched,
};
