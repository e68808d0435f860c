/* SPDX-License-Identifier: MIT */
/*
 * What promotion asks of the kernel that is there: what is present, and the time.
 */
#include <sys/mman.h>

#include "layers.h"
#include "page/page.h"

static char *stretch;

static size_t present(void)
{
	size_t page = pg64_page_bytes(), sum = 0;
	unsigned char seen[512];

	for (size_t at = 0; at < pg64_pmd_bytes(); at += sizeof(seen) * page) {
		REQUIRE(pg64_page_os_kernel.mincore(stretch + at, sizeof(seen) * page, seen) == 0);
		for (size_t i = 0; i < sizeof(seen); i++)
			sum += seen[i] & 1 ? page : 0;
	}
	return sum;
}

static void what_is_present(void)
{
	size_t page = pg64_page_bytes(), pmd = pg64_pmd_bytes();

	CHECK_EQ(present(), 0);
	stretch[0] = stretch[pmd - 1] = 1;
	CHECK_EQ(present(), 2 * page);
	memset(stretch, 1, pmd);
	CHECK_EQ(present(), pmd);
	madvise(stretch + page, pmd / 2, MADV_DONTNEED);
	CHECK_EQ(present(), pmd / 2);
}

static void clock_goes_on(void)
{
	uint64_t first = pg64_page_os_kernel.now_ns();

	while (pg64_page_os_kernel.now_ns() == first)
		;
	CHECK(pg64_page_os_kernel.now_ns() > first);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {CASE(what_is_present), CASE(clock_goes_on)};
	size_t pmd = pg64_pmd_bytes();

	char *map = mmap(NULL, 2 * pmd, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(map != MAP_FAILED);
	/* Base pages, whatever the machine is set to. */
	madvise(map, 2 * pmd, MADV_NOHUGEPAGE);
	stretch = (char *)pg64_align_up((uintptr_t)map, pmd);
	return RUN_CASES(cases, argc, argv);
}
