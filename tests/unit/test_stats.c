/* SPDX-License-Identifier: MIT */
/*
 * The bound of coverage from the fault count, shares, and the snapshot. The bound is also checked
 * against every small process there can be.
 */
#include <errno.h>
#include <sys/wait.h>

#include "base/counters.h"
#include "stats/granule.h"
#include "stats/snapshot.h"
#include "stats/stats.h"
#include "test.h"

static uint64_t bound(uint64_t resident, uint64_t anon, uint64_t faults, uint64_t cut,
	enum pg64_fault_sizes sizes)
{
	struct pg64_bound b = {resident, anon, faults, cut, 16, sizes};

	return pg64_coverage_bound_ppm(&b);
}

static void test_bound_values(void)
{
	const enum pg64_fault_sizes granule = PG64_FAULT_GRANULE;

	CHECK_EQ(bound(0, 0, 0, 0, granule), 0);
	CHECK_EQ(bound(100, 100, 100, 0, granule), 0); /* a fault for each page */
	CHECK_EQ(bound(100, 100, 1000, 0, granule), 0);
	CHECK_EQ(bound(1600, 1600, 100, 0, granule), 1000000); /* a fault for each granule */
	CHECK_EQ(bound(1600, 1600, 100, 0, PG64_FAULT_LARGER), 940000);
	CHECK_EQ(bound(1600, 1600, 100, 0, PG64_FAULT_SMALLER), 0);
	CHECK_EQ(bound(1600, 1600, 850, 0, granule), 500000);
	CHECK_EQ(bound(3200, 1600, 100, 0, granule), 500000); /* half of it shared */
	CHECK_EQ(bound(1600, 1600, 100, 50, granule), 500000); /* half of it cut */
	CHECK_EQ(bound(1600, 1600, 100, 100, granule), 0);
	CHECK_EQ(bound(1600, 1600, 100, UINT64_MAX, granule), 0);
	CHECK_EQ(bound(1600, 1600, 0, 0, granule), 1000000); /* cannot be, but is capped */
	CHECK_EQ(bound(1610, 1610, 0, 0, granule), 993788); /* ten pages fill no granule */
	CHECK_EQ(bound(5, 5, 0, 0, granule), 0);
	CHECK_EQ(bound(UINT64_C(1) << 50, UINT64_C(1) << 50, 1, 0, granule), 1000000);
	CHECK_EQ(bound(UINT64_MAX, UINT64_MAX / 4, 1, 0, granule), 249999);
}

/** Pages of the base size everywhere: 16 KiB hosts have 4 a granule, 64 KiB hosts one. */
static void test_bound_hosts(void)
{
	struct pg64_bound b = {400, 400, 100, 0, 4, PG64_FAULT_GRANULE};

	CHECK_EQ(pg64_coverage_bound_ppm(&b), 1000000);
	b.pages_per_granule = 1;
	CHECK_EQ(pg64_coverage_bound_ppm(&b), 1000000);
	b.resident_pages = 0;
	CHECK_EQ(pg64_coverage_bound_ppm(&b), 0);
	b.pages_per_granule = 0;
	CHECK_EQ(pg64_coverage_bound_ppm(&b), 0);
}

/** A process of base pages, granules and 2 MiB pages, with other faults too. */
static void check_bound(
	unsigned int base, unsigned int granules, unsigned int pmds, unsigned int other)
{
	uint64_t backed = granules * 16 + pmds * 512;
	uint64_t faults = base + granules + pmds + other;
	uint64_t ppm = bound(base + backed, base + backed, faults, 0,
		pmds ? PG64_FAULT_LARGER : PG64_FAULT_GRANULE);

	test_judge(ppm <= pg64_ppm(backed, base + backed), __FILE__, __LINE__,
		"%u base pages, %u granules, %u PMD-size pages, %u other faults: %llu ppm", base,
		granules, pmds, other, (unsigned long long)ppm);
}

/** None of them has less than its bound. */
static void test_bound_holds(void)
{
	for (unsigned int base = 0; base < 700; base += 23)
		for (unsigned int granules = 0; granules < 40; granules += 3)
			for (unsigned int pmds = 0; pmds < 3; pmds++)
				for (unsigned int other = 0; other < 200; other += 40)
					check_bound(base, granules, pmds, other);
}

static void test_ppm(void)
{
	CHECK_EQ(pg64_ppm(0, 0), 0);
	CHECK_EQ(pg64_ppm(5, 0), 0);
	CHECK_EQ(pg64_ppm(0, 5), 0);
	CHECK_EQ(pg64_ppm(1, 3), 333333);
	CHECK_EQ(pg64_ppm(7, 5), 1000000);
	CHECK_EQ(pg64_ppm(UINT64_MAX / 2, UINT64_MAX), 499999);
}

static void test_snapshot(void)
{
	struct pg64_stats stats = {.size = sizeof(stats)};
	struct pg64_resident resident;
	size_t len = 8 << 20;
	uint64_t before;
	char *memory;

	CHECK_EQ(pg64_stats_get(NULL), -EINVAL);
	stats.size = 8;
	CHECK_EQ(pg64_stats_get(&stats), -EINVAL);
	stats.size = sizeof(stats) + 64;
	CHECK_EQ(pg64_stats_get(&stats), 0);
	CHECK_EQ(stats.size, sizeof(stats));
	CHECK_EQ(stats.version, 1);
	CHECK(stats.minor_faults > 0);
	before = stats.resident_bytes;
	CHECK(before > 0);

	memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(memory != MAP_FAILED);
	memset(memory, 1, len);
	pg64_resident(&resident);
	CHECK(resident.shared_bytes >= len);
	CHECK(resident.anon_bytes > 0);
	CHECK_EQ(pg64_stats_get(&stats), 0);
	CHECK(stats.resident_bytes >= before + len / 2);
	munmap(memory, len);
}

/** Its faults say nothing of a child, however it was forked. */
static void test_forked(void)
{
	struct pg64_resident resident = {1 << 30, 0};
	struct pg64_config config;
	int status = -1;
	uint64_t ppm;
	pid_t child;

	CHECK(!pg64_fault_bound(&resident, 1, &ppm)); /* not set up */
	pg64_config_defaults(&config);
	pg64_stats_setup(&config);
	CHECK(!pg64_is_forked());
	child = fork();
	if (child == 0)
		_exit(pg64_is_forked() && !pg64_fault_bound(&resident, 1, &ppm) ? 0 : 1);
	REQUIRE(child > 0);
	waitpid(child, &status, 0);
	CHECK_EQ(status, 0);

	pg64_stats_after_fork();
	CHECK(pg64_is_forked());
	CHECK(!pg64_fault_bound(&resident, 1, &ppm));
	CHECK_EQ(ppm, 0);
}

static void test_counters(void)
{
	unsigned int count = 0;

	while (pg64_counter_name(count)) {
		CHECK(pg64_counter_help(count) && *pg64_counter_help(count));
		count++;
	}
	CHECK_EQ(count, PG64_COUNTERS);
	CHECK(pg64_counter_help(count) == NULL);
	CHECK_EQ(pg64_counter_value(count), 0);
	CHECK_STR(pg64_counter_name(PG64_C_foreign_free), "foreign_free");
	pg64_count_add(PG64_C_foreign_free, 7);
	CHECK_EQ(pg64_counter_value(PG64_C_foreign_free), 7);
	CHECK_EQ(pg64_live.size, sizeof(pg64_live));
}

int main(void)
{
	test_bound_values();
	test_bound_hosts();
	test_bound_holds();
	test_ppm();
	test_snapshot();
	test_forked();
	test_counters();
	return test_result();
}
