/* SPDX-License-Identifier: MIT */
/*
 * Lines of /proc/PID/maps, whole, cut and damaged.
 */
#include "base/maps.h"
#include "test.h"

static void test_lines(void)
{
	static const struct {
		const char *line;
		uintptr_t start, end;
		const char *perms;
		unsigned long long inode;
		const char *path;
	} cases[] = {
		{"7f12a0000000-7f12a0021000 rw-p 00000000 00:00 0 ", 0x7f12a0000000, 0x7f12a0021000,
			"rw-p", 0, ""},
		{"7f12a0000000-7f12a0021000 ---p 00000000 00:00 0", 0x7f12a0000000, 0x7f12a0021000,
			"---p", 0, ""},
		{"55d0c0de1000-55d0c0de5000 r-xp 00002000 fe:00 1311        /usr/bin/a b",
			0x55d0c0de1000, 0x55d0c0de5000, "r-xp", 1311, "/usr/bin/a b"},
		{"1000-2000 rw-s 00000000 00:01 42                /dev/zero (deleted)", 0x1000,
			0x2000, "rw-s", 42, "/dev/zero (deleted)"},
		{"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0     [vsyscall]",
			0xffffffffff600000, 0xffffffffff601000, "--xp", 0, "[vsyscall]"},
		{"1000-2000", 0x1000, 0x2000, "", 0, ""},
		{"1000", 0x1000, 0, "", 0, ""},
		{"", 0, 0, "", 0, ""},
		{"1000-2000 rw-pXXXX 0", 0x1000, 0x2000, "rw-p", 0, ""},
	};
	struct pg64_map map;

	for (size_t i = 0; i < PG64_ARRAY_LEN(cases); i++) {
		memset(&map, 0x5a, sizeof(map));
		pg64_map_parse(cases[i].line, &map);
		CHECK(map.start == cases[i].start);
		CHECK(map.end == cases[i].end);
		CHECK_STR(map.perms, cases[i].perms);
		CHECK_EQ(map.inode, cases[i].inode);
		CHECK_STR(map.path, cases[i].path);
	}
}

int main(void)
{
	test_lines();
	return test_result();
}
