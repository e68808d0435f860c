/* SPDX-License-Identifier: MIT */
/*
 * Backend `collapse`: one touch and MADV_COLLAPSE (Linux >= 6.1) turn an empty PMD-size stretch
 * into one PMD-size page, without privilege and with every THP size at `never`.
 *
 * It makes the whole stretch resident, so it is only for memory that is about to be filled: heap
 * stretches as the allocator first commits them. Nobody knows that of a program's own mappings.
 */
#include <errno.h>

#include "base/counters.h"
#include "page/probe.h"

static int collapse(char *addr, size_t len)
{
	const struct pg64_page_os *os = pg64_page_os();

	/* It needs a page table and an anon_vma to work on: one page must be there. */
	os->touch(addr);
	return os->madvise(addr, len, PG64_MADV_COLLAPSE);
}

static void probe_collapse(enum pg64_mem kind, struct pg64_probe *probe, bool deep)
{
	struct pg64_scratch scratch;

	if (kind != PG64_MEM_HEAP) {
		pg64_probe_result(probe, -EOPNOTSUPP,
			"MADV_COLLAPSE fills memory at once; only of the heap it is known that it "
			"will be filled");
		return;
	}
	int ret = pg64_page_os()->madvise(NULL, 0, PG64_MADV_COLLAPSE);
	if (ret == 0 && !deep) {
		pg64_probe_result(
			probe, 0, "the kernel knows MADV_COLLAPSE; the first use is the proof");
		return;
	}
	if (ret == -EINVAL) {
		pg64_probe_result(probe, ret, "the kernel has no MADV_COLLAPSE (Linux >= 6.1 has)");
		return;
	}
	if (ret < 0) {
		pg64_count(PG64_C_fail_collapse);
		pg64_probe_result(probe, ret, "the kernel refuses MADV_COLLAPSE: error %d", -ret);
		return;
	}
	ret = pg64_scratch_map(&scratch, kind);
	if (ret < 0) {
		pg64_probe_result(probe, ret, "no scratch memory for the probe: error %d", -ret);
		return;
	}
	long bytes = collapse(scratch.stretch, scratch.pmd);
	if (bytes == 0)
		bytes = pg64_scratch_present(&scratch, scratch.stretch);
	pg64_scratch_unmap(&scratch);
	if (bytes < 0) {
		pg64_probe_result(probe, (int)bytes, "MADV_COLLAPSE failed: error %d%s",
			-(int)bytes,
			bytes == -EINVAL ? " (Linux >= 6.1 has it; PR_SET_THP_DISABLE forbids it)"
					 : "");
		return;
	}
	probe->touched_bytes = (uint32_t)bytes;
	probe->pmd_wins = 1;
	if (bytes == (long)scratch.pmd)
		pg64_probe_result(probe, 0, "one touch and MADV_COLLAPSE brought %u bytes",
			probe->touched_bytes);
	else
		pg64_probe_result(probe, -EOPNOTSUPP,
			"MADV_COLLAPSE succeeded, but only %u bytes are there",
			probe->touched_bytes);
}

static int advise_collapse(void *addr, size_t len, enum pg64_mem kind)
{
	(void)addr;
	(void)len;
	return kind == PG64_MEM_HEAP ? 0 : -EOPNOTSUPP;
}

static int populate_collapse(void *addr, size_t len)
{
	static _Atomic bool proved;
	struct pg64_scratch stretch = {.pmd = len};

	int ret = collapse(addr, len);
	if (ret < 0 || proved)
		return ret;
	/* A success code is no proof: look at what is there, once. */
	long bytes = pg64_scratch_present(&stretch, addr);
	if (bytes != (long)len)
		return bytes < 0 ? (int)bytes : -EOPNOTSUPP;
	proved = true;
	return 0;
}

const struct pg64_page_backend pg64_page_collapse = {
	.id = PG64_BACKEND_COLLAPSE,
	.name = "collapse",
	.probe = probe_collapse,
	.advise = advise_collapse,
	.populate = populate_collapse,
};
