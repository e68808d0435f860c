/* SPDX-License-Identifier: MIT */
/*
 * Fences: a VMA boundary in every stretch, whatever the range, and what they cost.
 */
#include <errno.h>
#include <sys/mman.h>

#include "base/counters.h"
#include "fake_kernel.h"
#include "layers.h"

#define AREA (64 * PG64_MIB)
#define FENCES_MAX 16384

static char *map(size_t len)
{
	size_t align = 2 * pg64_pmd_bytes();
	char *p = pg64_page_os()->mmap(
		NULL, len + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return (char *)pg64_align_up((uintptr_t)p, align);
}

/* Every stretch wholly inside [start, end) has a boundary; nothing outside was changed. */
static void check_fenced(char *area, char *start, char *end)
{
	size_t pmd = pg64_pmd_bytes();

	for (char *s = (char *)pg64_align_up((uintptr_t)start, pmd); s + pmd <= end; s += pmd)
		CHECK(fake_has_boundary(s, pmd));
	CHECK(!fake_has_boundary(area, (size_t)(start - area)));
	CHECK(!fake_has_boundary(end, (size_t)(area + AREA - end)));
}

static void random_ranges(bool names)
{
	fake_reset();
	fake.names = names;
	char *area = map(AREA);
	for (int round = 0; round < 400; round++) {
		size_t unit = round & 1 ? PG64_GRANULE : 4096;
		size_t from = test_below(AREA / unit);
		size_t count = 1 + test_below(AREA / unit - from);
		char *start = area + from * unit, *end = start + count * unit;

		CHECK_EQ(pg64_page_fence(start, count * unit), 0);
		check_fenced(area, start, end);
		CHECK_EQ(pg64_page_unfence(start, count * unit), 0);
		CHECK(!fake_has_boundary(area, AREA));
	}
	CHECK_EQ(pg64_counted(PG64_C_fail_fence), 0);
}

static void by_name(void)
{
	random_ranges(true);
	CHECK_EQ(fake.advised[MADV_RANDOM], 0);
	CHECK(fake.named > 0);
}

static void by_advice(void)
{
	random_ranges(false);
	/* The kernel is asked for a name once. */
	CHECK_EQ(fake.named, 1);
	CHECK(fake.advised[MADV_RANDOM] > 0);
}

/* A range that is fenced in pieces, as the heap's is while it grows: no stretch is missed. */
static void in_pieces(void)
{
	for (int round = 0; round < 50; round++) {
		fake_reset();
		char *area = map(AREA), *end = area;
		while (end < area + AREA) {
			size_t step = (1 + test_below(80)) * PG64_GRANULE;
			if (step > (size_t)(area + AREA - end))
				step = (size_t)(area + AREA - end);
			CHECK_EQ(pg64_page_fence(end, step), 0);
			end += step;
		}
		check_fenced(area, area, end);
	}
}

static char *touched;

static void see_touch(char *addr)
{
	/* A fault must not find a stretch that is one VMA. */
	CHECK(fake_has_boundary(addr, pg64_pmd_bytes()));
	touched = addr;
}

static void touch_without_a_large_page(void)
{
	fake_reset();
	char *area = map(AREA);
	fake.in_touch = see_touch;
	CHECK_EQ(pg64_page_touch_apart(area, AREA), 0);
	CHECK(touched == area);
	CHECK_EQ(fake_present(area, AREA), pg64_page_bytes());
	CHECK(!fake_has_boundary(area, AREA));
	touched = NULL;
	fake.refuse[MADV_RANDOM] = -EPERM;
	CHECK_EQ(pg64_page_touch_apart(area, AREA), -EPERM);
	CHECK(!touched);
}

/*
 * Mappings smaller than a stretch that lie side by side become one VMA, so they need fences as
 * well; alone they cost nothing.
 */
static void small_neighbours(void)
{
	size_t pmd = pg64_pmd_bytes();

	fake_reset();
	char *area = map(AREA);
	for (size_t at = 0; at < AREA; at += pmd / 4)
		CHECK_EQ(pg64_page_fence(area + at, pmd / 4), 0);
	check_fenced(area, area, area + AREA);
	CHECK_EQ(fake.named, AREA / pmd);
}

/* In steps of a page, upwards and downwards, a fence counts once. */
static void steps(void)
{
	size_t pmd = pg64_pmd_bytes(), page = pg64_page_bytes();

	for (int down = 0; down < 2; down++) {
		uint64_t before = pg64_counted(PG64_C_fence_ok);

		fake_reset();
		char *area = map(AREA);
		for (size_t at = 0; at < 4 * pmd; at += page)
			CHECK_EQ(
				pg64_page_fence(area + (down ? 4 * pmd - page - at : at), page), 0);
		CHECK_EQ(pg64_counted(PG64_C_fence_ok) - before, 2);
		check_fenced(area, area, area + 4 * pmd);
	}
}

/* One VMA, and one call, for each stretch. */
static void cost(void)
{
	size_t pmd = pg64_pmd_bytes();

	fake_reset();
	char *area = map(AREA);
	CHECK_EQ(pg64_page_fence(area, AREA), 0);
	CHECK(fake.named <= AREA / pmd / 2 + 1);
	CHECK_EQ(pg64_counted(PG64_C_fence_ok), fake.named);
	fake.mthp = fake.pmd = true;
	pg64_page_os()->madvise(area, AREA, MADV_HUGEPAGE);
	fake_write(area, AREA, 1);
	CHECK_EQ(fake.faults, AREA / PG64_GRANULE);
}

/* A limit at the first fence says nothing about what the kernel can do. */
static void limit_does_not_choose_the_ink(void)
{
	fake_reset();
	char *area = map(AREA);
	fake.name_error = -ENOMEM;
	CHECK_EQ(pg64_page_fence(area, AREA), -ENOMEM);
	CHECK_EQ(pg64_counted(PG64_C_fail_fence), 1);
	fake.name_error = 0;
	CHECK_EQ(pg64_page_fence(area, AREA), 0);
	CHECK_EQ(fake.advised[MADV_RANDOM], 0);
	check_fenced(area, area, area + AREA);
	/* Once names work, one that fails is no reason to change. */
	fake.name_error = -EPERM;
	CHECK_EQ(pg64_page_fence(area, AREA), -EPERM);
	CHECK_EQ(fake.advised[MADV_RANDOM], 0);
}

/* seccomp refuses prctl(). */
static void names_refused(void)
{
	fake_reset();
	char *area = map(AREA);
	fake.name_error = -EPERM;
	CHECK_EQ(pg64_page_fence(area, AREA), 0);
	check_fenced(area, area, area + AREA);
	fake.refuse[MADV_RANDOM] = -EPERM;
	CHECK_EQ(pg64_page_fence(area, AREA), -EPERM);
}

/* The limit, and that memory which was unmapped with its fences does not count for ever. */
static void limit(void)
{
	size_t each = 2 * PG64_GIB, per_mapping = each / (2 * pg64_pmd_bytes());
	size_t mappings = FENCES_MAX / per_mapping, i;

	fake_reset();
	char *p = map(each);
	for (i = 0; i < 2 * mappings; i++) {
		/* As if each time were another mapping: the fences of the last are gone. */
		CHECK_EQ(pg64_page_fence(p, each), 0);
		pg64_page_os()->mmap(p, each, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		if (test_failures)
			break;
	}
	char *many = pg64_page_os()->mmap(
		NULL, PG64_GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	many = (char *)pg64_align_up((uintptr_t)many, 2 * pg64_pmd_bytes());
	/* Drawn and there: the limit holds. */
	fake.fences_there = FENCES_MAX;
	for (i = 0; i < 2 * FENCES_MAX; i += 128)
		if (pg64_page_fence(many, 512 * PG64_MIB) < 0)
			break;
	CHECK(i <= FENCES_MAX);
	CHECK_EQ(pg64_page_fence(many, 512 * PG64_MIB), -ENOMEM);
	CHECK(pg64_counted(PG64_C_fail_fence) >= 2);
	/* Counting is not cheap, so it is not done at each refusal. */
	unsigned int counted = fake.vma_counts;
	for (i = 0; i < 100; i++)
		CHECK_EQ(pg64_page_fence(many, 512 * PG64_MIB), -ENOMEM);
	CHECK(fake.vma_counts - counted < 5);
	/* Where they cannot be counted (no /proc), the limit stays what it is. */
	fake.fences_there = -ENOENT;
	for (i = 0; i < 200; i++)
		CHECK_EQ(pg64_page_fence(many, 512 * PG64_MIB), -ENOMEM);
	fake.fences_there = 5;
	for (i = 0; i < 200; i++)
		if (pg64_page_fence(many, 512 * PG64_MIB) == 0)
			break;
	CHECK(i < 200);
}

static void unfence_makes_room(void)
{
	size_t len = 512 * PG64_MIB;

	fake_reset();
	char *p = map(len);
	fake.fences_there = -ENOENT;
	for (size_t i = 0; i < 2 * FENCES_MAX; i += len / (2 * pg64_pmd_bytes())) {
		CHECK_EQ(pg64_page_fence(p, len), 0);
		CHECK_EQ(pg64_page_unfence(p, len), 0);
		if (test_failures)
			break;
	}
	CHECK_EQ(pg64_counted(PG64_C_fail_fence), 0);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {CASE(by_name), CASE(by_advice), CASE(in_pieces),
		CASE(touch_without_a_large_page), CASE(small_neighbours), CASE(steps), CASE(cost),
		CASE(limit_does_not_choose_the_ink), CASE(names_refused), CASE(limit),
		CASE(unfence_makes_room)};

	return RUN_CASES(cases, argc, argv);
}
