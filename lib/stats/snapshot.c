/* SPDX-License-Identifier: MIT */
/*
 * A snapshot of this process's statistics, and what its page faults prove about its coverage.
 */
#include "snapshot.h"

#include <errno.h>
#include <string.h>

#include "arena/arena.h"
#include "base/counters.h"
#include "base/fmt.h"
#include "base/lines.h"
#include "base/sys.h"
#include "base/sysfs.h"
#include "granule.h"
#include "page/page.h"
#include "stats.h"

#define PG64_STATS_VERSION 1
#define KIB 1024

/* The process that was set up. 0: none. A child of fork() without handlers has another id. */
static int origin_pid;
static bool forked;

void pg64_remember_process(void)
{
	origin_pid = pg64_sys_getpid();
}

void pg64_stats_after_fork(void)
{
	forked = true;
}

bool pg64_is_forked(void)
{
	return forked || (origin_pid && origin_pid != pg64_sys_getpid());
}

/** The value in "RssAnon:     123 kB", in bytes. False: @line is not about @name. */
static bool read_field(const char *line, const char *name, uint64_t *bytes)
{
	size_t len = strlen(name);
	char number[24];
	uint64_t kib;
	size_t digits;

	if (strncmp(line, name, len) != 0)
		return false;
	line += len;
	line += strspn(line, " \t");
	digits = strspn(line, "0123456789");
	if (digits >= sizeof(number))
		return false;
	memcpy(number, line, digits);
	number[digits] = '\0';
	if (pg64_parse_uint(number, &kib) != 0)
		return false;
	*bytes = kib * KIB;
	return true;
}

void pg64_resident(struct pg64_resident *resident)
{
	struct pg64_lines lines;
	int wanted = 2;

	*resident = (struct pg64_resident){0, 0};
	if (pg64_lines_open(&lines, "/proc/self/status") != 0)
		return;
	while (wanted && pg64_lines_next(&lines) > 0)
		if (read_field(lines.line, "RssAnon:", &resident->anon_bytes) ||
			read_field(lines.line, "RssShmem:", &resident->shared_bytes))
			wanted--;
	pg64_lines_close(&lines);
}

uint64_t pg64_coverage_bound_ppm(const struct pg64_bound *bound)
{
	const uint64_t n = bound->pages_per_granule;
	uint64_t cost; /* pages by which a granule saves faults */
	uint64_t granules;
	uint64_t pages;

	/* Where the base page is 64 KiB there is nothing to prove. */
	if (n == 1)
		return pg64_ppm(bound->resident_pages, bound->resident_pages);
	if (n == 0 || bound->sizes == PG64_FAULT_SMALLER ||
		bound->anon_pages <= bound->minor_faults)
		return 0;

	cost = bound->sizes == PG64_FAULT_GRANULE ? n - 1 : n;
	granules = (bound->anon_pages - bound->minor_faults - 1) / cost + 1;
	if (granules <= bound->cut_granules)
		return 0;
	granules -= bound->cut_granules;
	pages = granules > bound->anon_pages / n ? bound->anon_pages / n * n : granules * n;
	return pg64_ppm(pages, bound->resident_pages);
}

static bool is_on(const char *path)
{
	char word[16];

	return pg64_sysfs_read_choice(path, word, sizeof(word)) == 0 && strcmp(word, "never") != 0;
}

/** May the kernel use folios of @bytes? Says "inherit" where the setting for all sizes decides. */
static bool size_is_on(size_t bytes)
{
	char path[96];
	char word[16];

	pg64_snprintf(path, sizeof(path), PG64_SYSFS_THP "/hugepages-%zukB/enabled", bytes / KIB);
	if (pg64_sysfs_read_choice(path, word, sizeof(word)) != 0)
		/* Before Linux 6.8 there is PMD size only, and one setting. */
		return bytes == pg64_pmd_bytes() && is_on(PG64_SYSFS_THP "/enabled");
	if (strcmp(word, "inherit") == 0)
		return is_on(PG64_SYSFS_THP "/enabled");
	return strcmp(word, "never") != 0;
}

enum pg64_fault_sizes pg64_fault_sizes(void)
{
	size_t bytes;

	for (bytes = 2 * pg64_page_bytes(); bytes < PG64_GRANULE; bytes *= 2)
		if (size_is_on(bytes))
			return PG64_FAULT_SMALLER;
	for (bytes = 2 * PG64_GRANULE; bytes <= pg64_pmd_bytes(); bytes *= 2)
		if (size_is_on(bytes))
			return PG64_FAULT_LARGER;
	return pg64_counted(PG64_C_collapse_ok) ? PG64_FAULT_LARGER : PG64_FAULT_GRANULE;
}

bool pg64_fault_bound(const struct pg64_resident *resident, uint64_t minor_faults, uint64_t *ppm)
{
	const size_t page = pg64_page_bytes();
	struct pg64_bound bound = {
		.resident_pages = (resident->anon_bytes + resident->shared_bytes) / page,
		.anon_pages = resident->anon_bytes / page,
		.minor_faults = minor_faults,
		/* A call cuts a granule at each end, at most. */
		.cut_granules = 2 * (pg64_counted(PG64_C_demote_munmap) +
					    pg64_counted(PG64_C_demote_madvise)),
		.pages_per_granule = (unsigned int)(PG64_GRANULE / page),
	};

	*ppm = 0;
	if (!origin_pid || pg64_is_forked())
		return false;
	bound.sizes = pg64_fault_sizes();
	*ppm = pg64_coverage_bound_ppm(&bound);
	return bound.sizes != PG64_FAULT_SMALLER;
}

PG64_EXPORT int pg64_stats_get(struct pg64_stats *stats)
{
	struct pg64_resident resident;
	uint32_t active = __atomic_load_n(&pg64_live.active, __ATOMIC_RELAXED);

	if (!stats || stats->size < sizeof(*stats))
		return -EINVAL;

	*stats = (struct pg64_stats){
		.size = sizeof(*stats),
		.version = PG64_STATS_VERSION,
		.active = active & 1,
		.mmap_advised_bytes = pg64_counted(PG64_C_mmap_advised_bytes),
	};
	for (unsigned int kind = 0; kind < PG64_MEM_KINDS; kind++)
		stats->backend[kind] = pg64_page_backend_known((enum pg64_mem)kind);
	pg64_arena_totals(&stats->heap_reserved_bytes, &stats->heap_committed_bytes,
		&stats->heap_advised_bytes, &stats->heap_collapsed_bytes);
	pg64_sys_faults(&stats->minor_faults, &stats->major_faults);
	pg64_resident(&resident);
	stats->resident_bytes = resident.anon_bytes + resident.shared_bytes;
	pg64_fault_bound(&resident, stats->minor_faults, &stats->coverage_lower_bound_ppm);
	return 0;
}
