/* SPDX-License-Identifier: MIT */
/*
 * Reads of captured machines, and what their settings mean for page faults.
 */
#include <errno.h>

#include "base/sysfs.h"
#include "stats/stats.h"
#include "test.h"

#define MACHINES TEST_DATA "/sysfs/"

static void test_captured(void)
{
	static const struct {
		const char *root;
		const char *enabled;
		const char *granule; /* NULL: no such file */
		const char *shared;
	} machines[] = {
		{MACHINES "vm-6.18", "madvise", "never", "never"},
		{MACHINES "debian-6.1", "madvise", NULL, NULL},
		{MACHINES "ubuntu-always", "always", "never", NULL},
		{MACHINES "madvise-64k", "madvise", "madvise", "advise"},
		{MACHINES "small-sizes", "always", "inherit", "never"},
	};
	char word[32];

	for (size_t i = 0; i < PG64_ARRAY_LEN(machines); i++) {
		pg64_sysfs_root(machines[i].root);
		CHECK_EQ(pg64_sysfs_read_choice(PG64_SYSFS_THP "/enabled", word, sizeof(word)), 0);
		CHECK_STR(word, machines[i].enabled);
		CHECK_EQ(pg64_sysfs_read_choice(
				 PG64_SYSFS_THP "/hugepages-64kB/enabled", word, sizeof(word)),
			machines[i].granule ? 0 : -ENOENT);
		CHECK_STR(word, machines[i].granule ? machines[i].granule : "");
		CHECK_EQ(pg64_sysfs_read_choice(PG64_SYSFS_THP "/hugepages-64kB/shmem_enabled",
				 word, sizeof(word)),
			machines[i].shared ? 0 : -ENOENT);
		CHECK_STR(word, machines[i].shared ? machines[i].shared : "");
	}
	pg64_sysfs_root("");
}

static void test_reads(void)
{
	char text[64];
	char small[8];
	uint64_t value = 1;

	pg64_sysfs_root(MACHINES "vm-6.18");
	CHECK_EQ(pg64_sysfs_read(PG64_SYSFS_THP "/enabled", text, sizeof(text)), 22);
	CHECK_STR(text, "always [madvise] never");
	CHECK_EQ(pg64_sysfs_read(PG64_SYSFS_THP "/enabled", small, sizeof(small)), 7);
	CHECK_STR(small, "always ");
	CHECK_EQ(pg64_sysfs_read_choice(PG64_SYSFS_THP "/enabled", small, 7), -ENOSPC);
	CHECK_EQ(pg64_sysfs_read_choice(PG64_SYSFS_THP "/enabled", small, 8), 0);
	CHECK_STR(small, "madvise");
	CHECK_EQ(pg64_sysfs_read_u64(PG64_SYSFS_THP "/hpage_pmd_size", &value), 0);
	CHECK_EQ(value, 2097152);
	CHECK_EQ(pg64_sysfs_read_u64(PG64_SYSFS_THP "/enabled", &value), -EINVAL);
	CHECK_EQ(pg64_sysfs_read_u64(PG64_SYSFS_THP "/none", &value), -ENOENT);
	CHECK_EQ(pg64_sysfs_read_choice(PG64_SYSFS_THP "/hpage_pmd_size", text, sizeof(text)), 0);
	CHECK_STR(text, "2097152");
	CHECK_EQ(pg64_sysfs_read(PG64_SYSFS_THP, text, sizeof(text)), -EISDIR);
	CHECK_EQ(pg64_sysfs_read(PG64_SYSFS_THP "/enabled", text, 0), -EINVAL);
	pg64_sysfs_root(NULL);
	CHECK(pg64_sysfs_read("/proc/self/comm", text, sizeof(text)) > 0);
}

static void test_fault_sizes(void)
{
	/* The trees are of machines with 4 KiB pages. */
	if (pg64_page_bytes() != 4096)
		return;
	pg64_sysfs_root(MACHINES "vm-6.18");
	CHECK_EQ(pg64_fault_sizes(), PG64_FAULT_LARGER);
	pg64_sysfs_root(MACHINES "debian-6.1");
	CHECK_EQ(pg64_fault_sizes(), PG64_FAULT_LARGER);
	pg64_sysfs_root(MACHINES "ubuntu-always");
	CHECK_EQ(pg64_fault_sizes(), PG64_FAULT_LARGER);
	pg64_sysfs_root(MACHINES "madvise-64k");
	CHECK_EQ(pg64_fault_sizes(), PG64_FAULT_GRANULE);
	pg64_sysfs_root(MACHINES "small-sizes");
	CHECK_EQ(pg64_fault_sizes(), PG64_FAULT_SMALLER);
	pg64_sysfs_root(MACHINES "no-such-machine");
	CHECK_EQ(pg64_fault_sizes(), PG64_FAULT_GRANULE);
	pg64_sysfs_root(NULL);
}

int main(void)
{
	test_captured();
	test_reads();
	test_fault_sizes();
	return test_result();
}
