/* SPDX-License-Identifier: MIT */
/*
 * Room before a memory limit, on machines that are made up in a temporary folder.
 */
#include <errno.h>
#include <sys/stat.h>

#include "base/room.h"
#include "base/sysfs.h"
#include "test.h"

#define GROUP "/sys/fs/cgroup/system.slice/db.service"

static char root[] = "/tmp/pg64-room.XXXXXX";

/* Write a file of the machine, with the folders that it needs. */
static void put(const char *path, const char *text)
{
	char full[512];

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
		slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		REQUIRE(mkdir(full, 0755) == 0 || errno == EEXIST);
		*slash = '/';
	}
	FILE *file = fopen(full, "w");
	REQUIRE(file);
	fputs(text, file);
	fclose(file);
}

static void test_machine(void)
{
	CHECK(pg64_memory_room() == UINT64_MAX);
	put("/proc/meminfo", "MemTotal:       24000000 kB\nMemFree:  5 kB\n"
			     "MemAvailable:    1000000 kB\nBuffers: 1 kB\n");
	CHECK_EQ(pg64_memory_room(), 1000000LL * 1024);
	put("/proc/self/cgroup", "12:memory:/old\n0::/system.slice/db.service\n");
	/* No such folder, no limit. */
	CHECK_EQ(pg64_memory_room(), 1000000LL * 1024);
}

static void test_cgroups(void)
{
	put(GROUP "/memory.max", "max\n");
	put(GROUP "/memory.high", "max\n");
	put(GROUP "/memory.current", "400000000\n");
	CHECK_EQ(pg64_memory_room(), 1000000LL * 1024);
	put(GROUP "/memory.max", "500000000\n");
	CHECK_EQ(pg64_memory_room(), 100000000);
	/* Cache that can go at once is no use. */
	put(GROUP "/memory.stat", "anon 1\nfile 9\ninactive_anon 5\ninactive_file 30000000\n");
	CHECK_EQ(pg64_memory_room(), 130000000);
	put(GROUP "/memory.high", "450000000\n");
	CHECK_EQ(pg64_memory_room(), 80000000);
	put(GROUP "/memory.current", "490000000\n");
	CHECK_EQ(pg64_memory_room(), 0);
	put(GROUP "/memory.current", "20000000\n");
	CHECK_EQ(pg64_memory_room(), 450000000);
	/* A limit of a group above. */
	put("/sys/fs/cgroup/system.slice/memory.max", "30000000\n");
	put("/sys/fs/cgroup/system.slice/memory.current", "20000000\n");
	CHECK_EQ(pg64_memory_room(), 10000000);
}

/* In a container the root of what is seen is a group with limits. */
static void test_container(void)
{
	put("/proc/self/cgroup", "0::/\n");
	CHECK_EQ(pg64_memory_room(), 1000000LL * 1024);
	put("/sys/fs/cgroup/memory.max", "5000000\n");
	put("/sys/fs/cgroup/memory.current", "4000000\n");
	CHECK_EQ(pg64_memory_room(), 1000000);
}

static void test_nonsense(void)
{
	put("/sys/fs/cgroup/memory.max", "lots\n");
	CHECK_EQ(pg64_memory_room(), 1000000LL * 1024);
	put("/proc/self/cgroup", "nothing\n0:/\n");
	CHECK_EQ(pg64_memory_room(), 1000000LL * 1024);
	put("/proc/meminfo", "MemAvailable: some\n");
	CHECK(pg64_memory_room() == UINT64_MAX);
}

int main(void)
{
	char command[128];

	REQUIRE(mkdtemp(root));
	pg64_sysfs_root(root);
	test_machine();
	test_cgroups();
	test_container();
	test_nonsense();
	pg64_sysfs_root(NULL);
	CHECK(pg64_memory_room() > 0);
	snprintf(command, sizeof(command), "rm -r %s", root);
	REQUIRE(system(command) == 0);
	return test_result();
}
