/* SPDX-License-Identifier: MIT */
/*
 * Backend `mthp`: multi-size THP of Linux >= 6.8. MADV_HUGEPAGE makes the range eligible, sysfs
 * says for which sizes; a fault then maps the largest enabled size that fits, so a PMD-size that is
 * enabled too wins unless a fence keeps it out.
 */
#include <errno.h>
#include <sys/mman.h>

#include "base/counters.h"
#include "base/fmt.h"
#include "base/sysfs.h"
#include "page/probe.h"

/* Is this word of a knob, or the one that it inherits, a promise of 64 KiB pages? */
static bool promises(const char *word, const char *knob)
{
	char path[128], inherited[16];

	if (word[0] != 'i')
		return word[0] != 'n';
	pg64_snprintf(path, sizeof(path), PG64_SYSFS_THP "/%s", knob);
	return pg64_sysfs_read_choice(path, inherited, sizeof(inherited)) == 0 &&
	       inherited[0] != 'n' && inherited[0] != 'd';
}

/* Why did one touch bring less than a granule? Ask the knobs, for the text only. */
static void explain(enum pg64_mem kind, struct pg64_probe *probe)
{
	const char *knob = kind == PG64_MEM_SHARED ? "shmem_enabled" : "enabled";
	const char *fix = kind == PG64_MEM_SHARED ? " --shmem" : "";
	char path[128], word[16];

	pg64_snprintf(path, sizeof(path), PG64_SYSFS_THP "/hugepages-64kB/%s", knob);
	if (pg64_sysfs_read_choice(path, word, sizeof(word)) < 0) {
		pg64_probe_result(probe, -EOPNOTSUPP,
			"the kernel has no hugepages-64kB/%s (Linux >= %s has)", knob,
			kind == PG64_MEM_SHARED ? "6.12" : "6.8");
		return;
	}
	if (promises(word, knob)) {
		pg64_probe_result(probe, -EOPNOTSUPP,
			"one touch brought %u bytes though hugepages-64kB/%s is '%s': "
			"PR_SET_THP_DISABLE is set (see: pg64 doctor), or 64 KiB were not free",
			probe->touched_bytes, knob, word);
		return;
	}
	pg64_probe_result(probe, -EOPNOTSUPP,
		"one touch brought %u bytes; hugepages-64kB/%s is '%s' (run: sudo pg64 enable%s)",
		probe->touched_bytes, knob, word, fix);
}

/* What to add about PMD-size pages: @fence is 0 when they were fenced out, or why not. */
static void result(enum pg64_mem kind, struct pg64_probe *probe, int fence)
{
	const char *bytes = "one touch of MADV_HUGEPAGE memory brought";
	uint32_t n = probe->touched_bytes;

	if (!probe->pmd_wins)
		pg64_probe_result(probe, 0, "%s %u bytes", bytes, n);
	else if (kind == PG64_MEM_SHARED)
		pg64_probe_result(probe, 0,
			"%s %u bytes (PMD-size pages are enabled for shared memory)", bytes, n);
	else if (fence == 0)
		pg64_probe_result(probe, 0,
			"%s %u bytes (PMD-size pages are enabled too: fenced out)", bytes, n);
	else
		pg64_probe_result(probe, 0,
			"%s %u bytes (PMD-size pages are enabled, and cannot be fenced out: error "
			"%d)",
			bytes, n, -fence);
}

static void judge(struct pg64_scratch *scratch, enum pg64_mem kind, struct pg64_probe *probe)
{
	long bytes = pg64_scratch_touch(scratch, scratch->stretch);
	int fence = 0;

	if (bytes >= (long)scratch->pmd) {
		/* PMD-size pages are on offer. With a fence, what comes in the other stretch? */
		probe->pmd_wins = 1;
		if (kind != PG64_MEM_SHARED) {
			fence = pg64_page_fence(scratch->stretch, 2 * scratch->pmd);
			if (fence == 0)
				bytes = pg64_scratch_touch(
					scratch, scratch->stretch + scratch->pmd);
		}
	}
	if (bytes < 0) {
		pg64_probe_result(probe, (int)bytes, "%s: error %d",
			bytes == -EBUSY ? "memory is locked (mlockall) and cannot be probed"
					: "mincore failed",
			-(int)bytes);
		return;
	}
	probe->touched_bytes = (uint32_t)bytes;
	if (bytes < (long)PG64_GRANULE)
		explain(kind, probe);
	else
		result(kind, probe, fence);
}

/*
 * Khugepaged and later faults follow the knob even if this one fault found no PMD-size page free.
 */
static bool pmd_enabled(void)
{
	char path[128], word[16];

	pg64_snprintf(path, sizeof(path), PG64_SYSFS_THP "/hugepages-%zukB/enabled",
		pg64_pmd_bytes() / 1024);
	if (pg64_sysfs_read_choice(path, word, sizeof(word)) < 0)
		word[0] = 'i';
	if (word[0] == 'i' &&
		pg64_sysfs_read_choice(PG64_SYSFS_THP "/enabled", word, sizeof(word)) < 0)
		return false;
	return word[0] != 'n';
}

static void probe_mthp(enum pg64_mem kind, struct pg64_probe *probe, bool deep)
{
	struct pg64_scratch scratch;

	(void)deep;
	int ret = pg64_scratch_map(&scratch, kind);
	if (ret < 0) {
		pg64_probe_result(probe, ret, "no scratch memory for the probe: error %d", -ret);
		return;
	}
	ret = pg64_page_os()->madvise(scratch.stretch, 2 * scratch.pmd, MADV_HUGEPAGE);
	if (ret < 0) {
		pg64_count(PG64_C_fail_advise);
		pg64_probe_result(probe, ret, "the kernel refuses MADV_HUGEPAGE: error %d", -ret);
	} else {
		judge(&scratch, kind, probe);
	}
	if (probe->error == 0 && !probe->pmd_wins && kind != PG64_MEM_SHARED)
		probe->pmd_wins = pmd_enabled();
	pg64_scratch_unmap(&scratch);
}

static int advise_mthp(void *addr, size_t len, enum pg64_mem kind)
{
	(void)kind;
	return pg64_page_os()->madvise(addr, len, MADV_HUGEPAGE);
}

const struct pg64_page_backend pg64_page_mthp = {
	.id = PG64_BACKEND_MTHP,
	.name = "mthp",
	.probe = probe_mthp,
	.advise = advise_mthp,
};
