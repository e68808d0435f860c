/* SPDX-License-Identifier: MIT */
/*
 * Coverage, measured page by page: which granules stand on one folio of 64 KiB or more.
 *
 * /proc/PID/pagemap tells page frames, /proc/kpageflags which of them form one compound page. The
 * PAGEMAP_SCAN ioctl (Linux >= 6.7) finds the populated pieces of a range, so that terabytes of
 * reserved address space cost nothing, and tells which are mapped by PMD-size pages.
 */
#include "coverage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/fmt.h"
#include "base/lines.h"
#include "base/maps.h"
#include "base/sys.h"
#include "granule.h"

/* Pages looked at at a time; twice 2 KiB of stack. A multiple of the pages of a granule. */
#define WINDOW_PAGES 256
#define REGIONS 32

/* struct pm_scan_arg and its kin of <linux/fs.h>, which headers before Linux 6.7 lack. */
#define SCAN_PRESENT (UINT64_C(1) << 3)
#define SCAN_SWAPPED (UINT64_C(1) << 4)
#define SCAN_HUGE (UINT64_C(1) << 6)
#define SCAN_REQUEST _IOWR('f', 16, struct scan_argument)

struct scan_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct scan_argument {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

struct scan {
	struct pg64_coverage *coverage;
	int pagemap_fd;
	int flags_fd; /* -errno: cannot be read */
	unsigned int granule_pages;
	bool no_ioctl; /* Linux < 6.7 */
	bool hidden; /* page frames or their flags cannot be seen */
	bool pmd_mapped; /* PAGEMAP_SCAN says so of what is measured now */
	/* Without it: how far a 2 MiB compound page has been followed. */
	uintptr_t run_next;
	uint64_t run_frame;
	size_t run_bytes;
};

/** Without PAGEMAP_SCAN: an aligned PMD-size piece of one compound page counts as mapped so. */
static void follow_run(struct scan *scan, uintptr_t addr, uint64_t frame, bool head)
{
	const uint64_t frames = scan->granule_pages;
	const size_t pmd_bytes = pg64_pmd_bytes();
	bool start =
		pg64_is_aligned(addr, pmd_bytes) && frame % (pmd_bytes / pg64_page_bytes()) == 0;
	bool next = scan->run_bytes && addr == scan->run_next && frame == scan->run_frame && !head;

	if (start || !next)
		scan->run_bytes = 0;
	if (!start && !next)
		return;
	scan->run_bytes += PG64_GRANULE;
	scan->run_next = addr + PG64_GRANULE;
	scan->run_frame = frame + frames;
	if (scan->run_bytes == pmd_bytes) {
		scan->coverage->pmd_bytes += pmd_bytes;
		scan->run_bytes = 0;
	}
}

static void count_backed(struct scan *scan, uintptr_t addr, uint64_t entry, uint64_t first_flags)
{
	scan->coverage->backed_bytes += PG64_GRANULE;
	if (!scan->no_ioctl) {
		if (scan->pmd_mapped)
			scan->coverage->pmd_bytes += PG64_GRANULE;
		return;
	}
	follow_run(scan, addr, entry & PG64_PM_PFN, first_flags & PG64_KPF_HEAD);
}

/** Flags of @count page frames from @frame on. */
static bool read_flags(struct scan *scan, uint64_t frame, uint64_t *flags, unsigned int count)
{
	size_t len = count * sizeof(*flags);

	if (pg64_sys_pread(scan->flags_fd, flags, len, (off_t)(frame * sizeof(*flags))) ==
		(ssize_t)len)
		return true;
	scan->hidden = true;
	return false;
}

/** Judge the granules of one window, whose first page is at @addr. Reads flags in long runs. */
static void judge_window(struct scan *scan, uintptr_t addr, const uint64_t *pagemap)
{
	const unsigned int n = scan->granule_pages;
	uint64_t flags[WINDOW_PAGES];
	unsigned int first = 0;

	while (first < WINDOW_PAGES && !scan->hidden) {
		unsigned int end = first;
		uint64_t frame = pagemap[first] & PG64_PM_PFN;

		while (end < WINDOW_PAGES && pg64_granule_contiguous(pagemap + end, n) &&
			(pagemap[end] & PG64_PM_PFN) == frame + (end - first))
			end += n;
		if (end == first) {
			first += n;
			continue;
		}
		if (!read_flags(scan, frame, flags, end - first))
			return;
		for (unsigned int i = 0; i < end - first; i += n)
			if (pg64_granule_compound(flags + i, n))
				count_backed(scan, addr + (first + i) * pg64_page_bytes(),
					pagemap[first + i], flags[i]);
		first = end;
	}
}

/** Count [addr, end), which lies in the window that starts at @window. 0 or -errno. */
static int measure_window(struct scan *scan, uintptr_t window, uintptr_t addr, uintptr_t end)
{
	const size_t page = pg64_page_bytes();
	uint64_t pagemap[WINDOW_PAGES];
	uint64_t *from = pagemap + (addr - window) / page;
	size_t count = (end - addr) / page;
	bool any = false;
	ssize_t len;

	/* What is outside of the range is not there: a granule that it cuts is not backed. */
	memset(pagemap, 0, sizeof(pagemap));
	len = pg64_sys_pread(scan->pagemap_fd, from, count * sizeof(*pagemap),
		(off_t)(addr / page * sizeof(*pagemap)));
	if (len < 0)
		return (int)len;

	for (size_t i = 0; i < count; i++) {
		if (from[i] & PG64_PM_PRESENT) {
			any = true;
			scan->coverage->resident_bytes += page;
			/* Without CAP_SYS_ADMIN the kernel shows 0 here. */
			if ((from[i] & PG64_PM_PFN) == 0)
				scan->hidden = true;
		} else if (from[i] & PG64_PM_SWAPPED) {
			scan->coverage->swapped_bytes += page;
		}
	}
	if (any && !scan->hidden)
		judge_window(scan, window, pagemap);
	return 0;
}

static int measure_region(struct scan *scan, uintptr_t addr, uintptr_t end)
{
	const size_t window_bytes = WINDOW_PAGES * pg64_page_bytes();
	int err = 0;

	while (addr < end && !err) {
		uintptr_t window = pg64_align_down(addr, window_bytes);
		uintptr_t stop = end - window < window_bytes ? end : window + window_bytes;

		err = measure_window(scan, window, addr, stop);
		addr = stop;
	}
	return err;
}

/** Measure the populated pieces of [addr, end). */
static int measure_range(struct scan *scan, uintptr_t addr, uintptr_t end)
{
	/* Set, for valgrind's sake, which does not know that the call below fills it in. */
	struct scan_region regions[REGIONS] = {0};
	int err = 0;

	while (addr < end && !scan->no_ioctl && !err) {
		struct scan_argument argument = {
			.size = sizeof(argument),
			.start = addr,
			.end = end,
			.vec = (uintptr_t)regions,
			.vec_len = REGIONS,
			.category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
			.return_mask = SCAN_PRESENT | SCAN_SWAPPED | SCAN_HUGE,
		};
		int count = pg64_sys_ioctl(scan->pagemap_fd, SCAN_REQUEST, &argument);

		if (count < 0 || argument.walk_end <= addr) {
			scan->no_ioctl = true;
			break;
		}
		for (int i = 0; i < count && !err; i++) {
			scan->pmd_mapped = regions[i].categories & SCAN_HUGE;
			err = measure_region(scan, regions[i].start, regions[i].end);
		}
		addr = argument.walk_end;
	}
	return err ? err : measure_region(scan, addr, end);
}

static int scan_open(struct scan *scan, int pid, struct pg64_coverage *coverage)
{
	char path[32];
	int self;

	*coverage = (struct pg64_coverage){.size = sizeof(*coverage), .version = 1};
	*scan = (struct scan){
		.coverage = coverage,
		.granule_pages = (unsigned int)(PG64_GRANULE / pg64_page_bytes()),
	};
	if (pid)
		pg64_snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	else
		pg64_snprintf(path, sizeof(path), "/proc/self/pagemap");

	scan->pagemap_fd = pg64_sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	if (scan->pagemap_fd == -ENOENT && pid) {
		/* Without /proc it would be missing for this process too. */
		self = pg64_sys_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
		if (self < 0)
			return self;
		pg64_sys_close(self);
		return -ESRCH;
	}
	if (scan->pagemap_fd < 0)
		return scan->pagemap_fd;
	scan->flags_fd = pg64_sys_open("/proc/kpageflags", O_RDONLY | O_CLOEXEC, 0);
	scan->hidden = scan->flags_fd < 0;
	return 0;
}

static void scan_close(struct scan *scan)
{
	pg64_sys_close(scan->pagemap_fd);
	if (scan->flags_fd >= 0)
		pg64_sys_close(scan->flags_fd);
	if (scan->hidden) {
		scan->coverage->backed_bytes = 0;
		scan->coverage->pmd_bytes = 0;
	} else {
		scan->coverage->source = PG64_COVERAGE_KPAGEFLAGS;
	}
}

PG64_EXPORT int pg64_coverage(
	int pid, uintptr_t addr, size_t len_bytes, struct pg64_coverage *coverage)
{
	const size_t page = pg64_page_bytes();
	struct scan scan;
	uintptr_t end;
	int err;

	if (pid < 0 || !coverage || coverage->size < sizeof(*coverage))
		return -EINVAL;
	/* The last page of the address space is the kernel's: rounding up cannot wrap below it. */
	if (__builtin_add_overflow(addr, len_bytes, &end) || end > UINTPTR_MAX - page)
		return -EINVAL;

	err = scan_open(&scan, pid, coverage);
	if (err)
		return err;
	if (len_bytes)
		err = measure_range(&scan, pg64_align_down(addr, page), pg64_align_up(end, page));
	scan_close(&scan);
	return err;
}

static bool has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool pg64_coverage_counts(uint64_t inode, const char *path)
{
	static const char *const shared[] = {
		"/dev/zero", "/SYSV", "/memfd:", "/dev/shm/", "[anon_shmem:"};

	/* "[vdso]", "[vvar]" and "[vsyscall]" have inode 0 too, but are the kernel's. */
	if (inode == 0)
		return !*path || strcmp(path, "[heap]") == 0 || has_prefix(path, "[stack") ||
		       has_prefix(path, "[anon");
	for (unsigned int i = 0; i < PG64_ARRAY_LEN(shared); i++)
		if (has_prefix(path, shared[i]))
			return true;
	return false;
}

/** Measure the mapping that one line of /proc/self/maps is about, if it counts. */
static int measure_mapping(struct scan *scan, const char *line)
{
	struct pg64_map map;

	pg64_map_parse(line, &map);
	if (!pg64_coverage_counts(map.inode, map.path))
		return 0;
	/* Reservations of terabytes would have to be read page by page. */
	if (has_prefix(map.perms, "---") && scan->no_ioctl)
		return 0;
	return measure_range(scan, map.start, map.end);
}

int pg64_coverage_self(struct pg64_coverage *coverage)
{
	struct pg64_lines lines;
	struct scan scan;
	int err = scan_open(&scan, 0, coverage);

	if (err)
		return err;
	err = pg64_lines_open(&lines, "/proc/self/maps");
	if (!err) {
		while ((err = pg64_lines_next(&lines)) > 0) {
			err = measure_mapping(&scan, lines.line);
			if (err)
				break;
		}
		pg64_lines_close(&lines);
	}
	scan_close(&scan);
	return err;
}
