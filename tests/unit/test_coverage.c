/* SPDX-License-Identifier: MIT */
/*
 * Coverage: the classifier on made-up page tables, and as root on memory of this process whose
 * backing is known: base pages, and a stretch collapsed to 2 MiB.
 */
#include <errno.h>
#include <sys/wait.h>

#include "stats/coverage.h"
#include "stats/granule.h"
#include "test.h"

#define N 16
#define COLLAPSE 25 /* MADV_COLLAPSE, Linux 6.1 */
#define STRETCH ((size_t)2 << 20)

static void fill(uint64_t *pagemap, uint64_t frame)
{
	for (unsigned int i = 0; i < N; i++)
		pagemap[i] = PG64_PM_PRESENT | (frame + i);
}

static void test_contiguous(void)
{
	uint64_t pagemap[N];

	fill(pagemap, 0x1230);
	CHECK(pg64_granule_contiguous(pagemap, N));
	fill(pagemap, 0x1238); /* not aligned in physical memory */
	CHECK(!pg64_granule_contiguous(pagemap, N));
	CHECK(pg64_granule_contiguous(pagemap, 4)); /* but for a host of 16 KiB pages it is */
	fill(pagemap, 0); /* page frames are hidden */
	CHECK(!pg64_granule_contiguous(pagemap, N));
	for (unsigned int i = 0; i < N; i++) {
		fill(pagemap, 0x1230);
		pagemap[i] &= ~PG64_PM_PRESENT;
		CHECK(!pg64_granule_contiguous(pagemap, N));
		fill(pagemap, 0x1230);
		pagemap[i] ^= 0x40;
		CHECK(!pg64_granule_contiguous(pagemap, N));
	}
	/* The other bits (soft-dirty, exclusive, file) do not matter. */
	fill(pagemap, 0x1230);
	pagemap[3] |= UINT64_C(7) << 55 | UINT64_C(1) << 61;
	CHECK(pg64_granule_contiguous(pagemap, N));
}

static void test_compound(void)
{
	const uint64_t thp = UINT64_C(1) << 22;
	uint64_t flags[N];

	for (unsigned int i = 0; i < N; i++)
		flags[i] = thp | (i ? PG64_KPF_TAIL : PG64_KPF_HEAD);
	CHECK(pg64_granule_compound(flags, N)); /* one folio of order 4 */
	flags[8] = thp | PG64_KPF_HEAD;
	CHECK(!pg64_granule_compound(flags, N)); /* two of order 3 */
	flags[8] = thp | PG64_KPF_TAIL;
	flags[0] = thp | PG64_KPF_TAIL;
	CHECK(pg64_granule_compound(flags, N)); /* inside of a larger one */
	flags[15] = 0;
	CHECK(!pg64_granule_compound(flags, N)); /* which ends too early */
	flags[15] = thp | PG64_KPF_TAIL;
	flags[0] = 0;
	CHECK(!pg64_granule_compound(flags, N));
	for (unsigned int i = 0; i < N; i++)
		flags[i] = 0;
	CHECK(!pg64_granule_compound(flags, N)); /* base pages that happen to be neighbours */
	CHECK(pg64_granule_compound(flags, 1)); /* a host of 64 KiB pages */
	for (unsigned int i = 0; i < N; i++)
		flags[i] = thp | PG64_KPF_ZERO | (i ? PG64_KPF_TAIL : PG64_KPF_HEAD);
	CHECK(!pg64_granule_compound(flags, N)); /* the huge zero page is no memory */
}

static void test_what_counts(void)
{
	CHECK(pg64_coverage_counts(0, ""));
	CHECK(pg64_coverage_counts(0, "[heap]"));
	CHECK(pg64_coverage_counts(0, "[stack]"));
	CHECK(pg64_coverage_counts(0, "[anon:pg64]"));
	CHECK(!pg64_coverage_counts(0, "[vdso]"));
	CHECK(!pg64_coverage_counts(0, "[vvar]"));
	CHECK(!pg64_coverage_counts(0, "[vvar_vclock]"));
	CHECK(!pg64_coverage_counts(0, "[vsyscall]"));
	CHECK(pg64_coverage_counts(7, "/dev/zero (deleted)"));
	CHECK(pg64_coverage_counts(7, "/memfd:x (deleted)"));
	CHECK(pg64_coverage_counts(7, "/SYSV00000000 (deleted)"));
	CHECK(pg64_coverage_counts(7, "/dev/shm/x"));
	CHECK(!pg64_coverage_counts(7, "/usr/lib/libc.so.6"));
	CHECK(!pg64_coverage_counts(7, "/dev/shmoo"));
}

static void test_mistakes(void)
{
	struct pg64_coverage coverage = {.size = sizeof(coverage)};
	uintptr_t here = (uintptr_t)&coverage;
	int status;
	pid_t child;

	CHECK_EQ(pg64_coverage(0, here, 1, NULL), -EINVAL);
	CHECK_EQ(pg64_coverage(-1, here, 1, &coverage), -EINVAL);
	CHECK_EQ(pg64_coverage(0, UINTPTR_MAX - 10, 100, &coverage), -EINVAL);
	coverage.size = 8;
	CHECK_EQ(pg64_coverage(0, here, 1, &coverage), -EINVAL);
	coverage.size = sizeof(coverage);
	child = fork();
	if (child == 0)
		_exit(0);
	REQUIRE(child > 0);
	waitpid(child, &status, 0);
	CHECK_EQ(pg64_coverage(child, here, 1, &coverage), -ESRCH);
	CHECK_EQ(pg64_coverage(0, here, 0, &coverage), 0);
	CHECK_EQ(coverage.resident_bytes, 0);
	CHECK_EQ(pg64_coverage(0, here, 1, &coverage), 0);
	CHECK_EQ(coverage.resident_bytes, pg64_page_bytes());
	/* The kernel's half of the address space has nothing for us. */
	CHECK_EQ(pg64_coverage(0, UINTPTR_MAX - (64 << 20), 1 << 20, &coverage), 0);
	CHECK_EQ(coverage.resident_bytes, 0);
}

static struct pg64_coverage measure(int pid, const char *memory, size_t len)
{
	struct pg64_coverage coverage = {.size = sizeof(coverage)};

	CHECK_EQ(pg64_coverage(pid, (uintptr_t)memory, len, &coverage), 0);
	CHECK_EQ(coverage.version, 1);
	return coverage;
}

/** 6 MiB of base pages, of which 2 MiB from @aligned on are collapsed. */
static void test_collapsed(char *memory, char *aligned, size_t len)
{
	struct pg64_coverage coverage;
	size_t page = pg64_page_bytes();

	coverage = measure(0, memory, len);
	CHECK_EQ(coverage.source, PG64_COVERAGE_KPAGEFLAGS);
	CHECK_EQ(coverage.resident_bytes, len);
	CHECK_EQ(coverage.backed_bytes, STRETCH);
	CHECK_EQ(coverage.pmd_bytes, STRETCH);
	coverage = measure(getpid(), aligned, STRETCH);
	CHECK_EQ(coverage.backed_bytes, STRETCH);

	/* A range that cuts a granule does not count it; one that cuts a page counts the page. */
	coverage = measure(0, aligned + page, STRETCH - page);
	CHECK_EQ(coverage.backed_bytes, STRETCH - PG64_GRANULE);
	coverage = measure(0, aligned + page / 2, page);
	CHECK_EQ(coverage.resident_bytes, 2 * page);
	CHECK_EQ(coverage.backed_bytes, 0);

	/* A hole in one granule costs that granule, and the PMD mapping of all. */
	REQUIRE(madvise(aligned + PG64_GRANULE + page, page, MADV_DONTNEED) == 0);
	coverage = measure(0, memory, len);
	CHECK_EQ(coverage.resident_bytes, len - page);
	CHECK_EQ(coverage.backed_bytes, STRETCH - PG64_GRANULE);
	CHECK_EQ(coverage.pmd_bytes, 0);
}

static int test_memory(void)
{
	const size_t len = 3 * STRETCH;
	struct pg64_coverage coverage;
	struct pg64_coverage all;
	char *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *aligned;

	REQUIRE(memory != MAP_FAILED);
	aligned = (char *)pg64_align_up((uintptr_t)memory, STRETCH);
	REQUIRE(madvise(memory, len, MADV_NOHUGEPAGE) == 0 || errno == EINVAL);

	coverage = measure(0, memory, len);
	CHECK_EQ(coverage.resident_bytes, 0);
	memset(memory, 1, len);
	coverage = measure(0, memory, len);
	CHECK_EQ(coverage.resident_bytes, len);
	if (coverage.source == PG64_COVERAGE_NONE)
		return test_skip("page frames cannot be seen without privilege");
	CHECK_EQ(coverage.backed_bytes, 0);
	CHECK_EQ(coverage.pmd_bytes, 0);
	CHECK_EQ(pg64_coverage_self(&all), 0);
	CHECK_EQ(all.source, PG64_COVERAGE_KPAGEFLAGS);
	CHECK(all.resident_bytes >= len);

	/* Advice first: the stretch alone, so that the rest stays on base pages. */
	if (pg64_page_bytes() != 4096 || madvise(aligned, STRETCH, MADV_HUGEPAGE) != 0 ||
		madvise(aligned, STRETCH, COLLAPSE) != 0)
		return test_skip("no MADV_COLLAPSE here");
	/* What is collapsed stays so; without this khugepaged may fill the holes made below. */
	REQUIRE(madvise(aligned, STRETCH, MADV_NOHUGEPAGE) == 0);
	test_collapsed(memory, aligned, len);
	munmap(memory, len);
	return test_result();
}

int main(void)
{
	test_contiguous();
	test_compound();
	test_what_counts();
	test_mistakes();
	return test_memory();
}
