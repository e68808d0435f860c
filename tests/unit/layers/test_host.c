/* SPDX-License-Identifier: MIT */
/*
 * Hosts with base pages of 16 and 64 KiB: this file takes the place of base.c, so that a machine
 * with 4 KiB pages can pretend.
 */
#include "arena/internal.h"
#include "arena_setup.h"
#include "base/counters.h"
#include "base/sysfs.h"

static size_t page_bytes = 4096;

size_t pg64_page_bytes(void)
{
	return page_bytes;
}

size_t pg64_pmd_bytes(void)
{
	return page_bytes * (page_bytes / 8);
}

static const char *probe(enum pg64_backend backend, enum pg64_mem kind, struct pg64_probe *result)
{
	*result = (struct pg64_probe){.size = sizeof(*result)};
	CHECK_EQ(pg64_probe(backend, kind, result), 0);
	return result->reason;
}

/* Nothing to do: no backend is tried, nothing is asked of the kernel, and that is said. */
static void pages_of_64k(void)
{
	struct pg64_probe result;

	page_bytes = 65536;
	fake_reset();
	pg64_sysfs_root(TEST_DATA "/sysfs/vm-6.18");
	for (int kind = 0; kind < PG64_MEM_KINDS; kind++) {
		for (int id = PG64_BACKEND_UNKNOWN; id < PG64_BACKENDS; id++) {
			CHECK(strstr(probe(id, kind, &result), "there is nothing to do") != NULL);
			CHECK_EQ(result.error == 0, id == PG64_BACKEND_BASE || id == 0);
		}
		CHECK_EQ(pg64_page_backend(kind), PG64_BACKEND_BASE);
		CHECK(strstr(pg64_page_reason(kind), "64 KiB here: there is nothing to do"));
		CHECK(!pg64_page_needs_fence(kind));
	}
	CHECK_EQ(fake.mmaps, 0);

	/* The heap works there as anywhere; a stretch is larger than a segment. */
	struct pg64_config config = arenas(PG64_BACKEND_BASE, 0, 0);
	config.arena_size = 32 * PG64_MIB;
	pg64_arena_init(&config);
	char *p = pg64_span_alloc(40 * PG64_MIB, PG64_SEGMENT);
	REQUIRE(p && pg64_span_commit(p, 40 * PG64_MIB) == 0);
	fake_write(p, 40 * PG64_MIB, 1);
	pg64_span_decommit(p, PG64_MIB);
	CHECK_EQ(fake_present(p, 40 * PG64_MIB), 39 * PG64_MIB);
	pg64_span_free(p, 40 * PG64_MIB);
	char *q = pg64_span_alloc(PG64_GRANULE, PG64_GRANULE);
	CHECK(q && pg64_span_alloc(PG64_GIB, PG64_SEGMENT));
	CHECK_EQ(totals().committed, 0);
}

static void pages_of_16k(void)
{
	struct pg64_probe result;

	page_bytes = 16384;
	fake_reset();
	pg64_sysfs_root(TEST_DATA "/sysfs/vm-6.18");
	CHECK_EQ(pg64_pmd_bytes(), 32 * PG64_MIB);
	fake.mthp = fake.pmd = true;
	probe(PG64_BACKEND_MTHP, PG64_MEM_ANON, &result);
	CHECK_EQ(result.error, 0);
	CHECK_EQ(result.touched_bytes, 65536);
	CHECK_EQ(result.pmd_wins, 1);
	probe(PG64_BACKEND_COLLAPSE, PG64_MEM_HEAP, &result);
	CHECK_EQ(result.error, 0);
	CHECK_EQ(result.touched_bytes, 32 * PG64_MIB);
	fake.mthp = fake.pmd = false;
	CHECK(strstr(probe(PG64_BACKEND_MTHP, PG64_MEM_ANON, &result), "16384 bytes"));

	arenas(PG64_BACKEND_COLLAPSE, 0, 0);
	char *p = pg64_span_alloc(64 * PG64_MIB, PG64_SEGMENT);
	for (size_t at = 0; at < 64 * PG64_MIB; at += PG64_GRANULE)
		REQUIRE(pg64_span_commit(p + at, PG64_GRANULE) == 0);
	CHECK_EQ(totals().collapsed, 64 * PG64_MIB);
	pg64_span_free(p, 32 * PG64_MIB);
	CHECK_EQ(totals().collapsed, 32 * PG64_MIB);
	pg64_span_free(p + 32 * PG64_MIB, 32 * PG64_MIB);
	CHECK_EQ(fake_present(p, 64 * PG64_MIB), 0);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {CASE(pages_of_64k), CASE(pages_of_16k)};

	return RUN_CASES(cases, argc, argv);
}
