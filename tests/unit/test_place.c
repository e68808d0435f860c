/* SPDX-License-Identifier: MIT */
/*
 * Giving back a reservation after a call over it failed: what another thread has there by then
 * stays, what is still reserved does not.
 */
#include "../../preload/place.h"
#include "test.h"

#define HALF ((size_t)4 * PG64_GRANULE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static char *reserve(void)
{
	char *p = pg64_place_reserve(2 * HALF);

	CHECK(pg64_is_aligned((uintptr_t)p, PG64_GRANULE));
	return p;
}

static bool is_mapped(char *page)
{
	unsigned char present;

	return mincore(page, 1, &present) == 0;
}

static bool is_free(char *p, size_t len)
{
	for (size_t at = 0; at < len; at += pg64_page_bytes())
		if (is_mapped(p + at))
			return false;
	return true;
}

static void test_still_reserved(void)
{
	char *p = reserve();

	pg64_place_give_back(p, 2 * HALF, 2 * HALF);
	CHECK(is_free(p, 2 * HALF));
	p = reserve();
	pg64_place_give_back(p, HALF, 2 * HALF);
	CHECK(is_free(p, 2 * HALF));
	p = reserve();
	pg64_place_give_back(p, 0, 2 * HALF);
	CHECK(is_free(p, 2 * HALF));
}

static void test_unmapped_by_the_kernel(void)
{
	char *p = reserve();

	munmap(p, HALF);
	pg64_place_give_back(p, HALF, 2 * HALF);
	CHECK(is_free(p, 2 * HALF));
}

/* Memory at @offset came while the first half was free. */
static void test_taken(size_t offset, size_t len, int prot)
{
	char *p = reserve();

	munmap(p, HALF);
	char *taken = mmap(p + offset, len, prot, ANON | MAP_FIXED, -1, 0);
	CHECK(taken == p + offset);
	if (prot & PROT_WRITE)
		memset(taken, 7, len);
	pg64_place_give_back(p, HALF, 2 * HALF);
	for (size_t at = 0; at < len; at += pg64_page_bytes())
		CHECK(is_mapped(taken + at));
	CHECK(!(prot & PROT_WRITE) || (taken[0] == 7 && taken[len - 1] == 7));
	CHECK(is_free(p, offset));
	CHECK(is_free(p + offset + len, 2 * HALF - offset - len));
	munmap(taken, len);
}

int main(void)
{
	const size_t page = pg64_page_bytes();

	test_still_reserved();
	test_unmapped_by_the_kernel();
	test_taken(0, HALF, PROT_READ | PROT_WRITE);
	test_taken(0, page, PROT_READ | PROT_WRITE);
	test_taken(HALF - page, page, PROT_READ | PROT_WRITE);
	test_taken(PG64_GRANULE, PG64_GRANULE, PROT_NONE);
	return test_result();
}
