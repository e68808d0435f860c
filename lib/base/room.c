/* SPDX-License-Identifier: MIT */
/*
 * Room: see room.h. Version 1 of cgroups is not looked at: there MemAvailable has to do.
 */
#include <stdbool.h>
#include <string.h>

#include "base/base.h"
#include "base/fmt.h"
#include "base/lines.h"
#include "base/room.h"
#include "base/sysfs.h"

#define CGROUPS "/sys/fs/cgroup"
#define PATH_BYTES 384

/* The number after @name in a file of lines "name number"; false: it is not there. */
static bool find_number(const char *path, const char *name, uint64_t *value)
{
	struct pg64_lines lines;
	size_t len = strlen(name);
	bool found = false;

	if (pg64_sysfs_lines(&lines, path) < 0)
		return false;
	while (!found && pg64_lines_next(&lines) > 0) {
		const char *p = lines.line + len;

		if (strncmp(lines.line, name, len) != 0)
			continue;
		while (*p == ' ')
			p++;
		*value = 0;
		for (; *p >= '0' && *p <= '9'; p++, found = true)
			*value = *value * 10 + (uint64_t)(*p - '0');
	}
	pg64_lines_close(&lines);
	return found;
}

static bool read_in(const char *group, const char *file, uint64_t *value)
{
	char path[PATH_BYTES + 32];

	pg64_snprintf(path, sizeof(path), CGROUPS "%s/%s", group, file);
	return pg64_sysfs_read_u64(path, value) == 0;
}

/* What one cgroup leaves; "max" is no number, so no limit. */
static uint64_t room_in(const char *group)
{
	uint64_t limit = UINT64_MAX, value, used, cache;
	char path[PATH_BYTES + 32];

	if (read_in(group, "memory.max", &value))
		limit = value;
	if (read_in(group, "memory.high", &value) && value < limit)
		limit = value;
	if (limit == UINT64_MAX || !read_in(group, "memory.current", &used))
		return UINT64_MAX;
	pg64_snprintf(path, sizeof(path), CGROUPS "%s/memory.stat", group);
	if (find_number(path, "inactive_file", &cache))
		used = used > cache ? used - cache : 0;
	return used < limit ? limit - used : 0;
}

/* The path of this process's cgroup, from the line "0::/path". False: it has none of version 2. */
static bool own_group(char *group, size_t size)
{
	struct pg64_lines lines;
	bool found = false;

	if (pg64_sysfs_lines(&lines, "/proc/self/cgroup") < 0)
		return false;
	while (!found && pg64_lines_next(&lines) > 0)
		if (strncmp(lines.line, "0::/", 4) == 0 && !lines.cut) {
			found = strlen(lines.line + 3) < size;
			pg64_snprintf(group, size, "%s", lines.line + 3);
		}
	pg64_lines_close(&lines);
	return found;
}

uint64_t pg64_memory_room(void)
{
	char group[PATH_BYTES];
	uint64_t room = UINT64_MAX, value;

	if (find_number("/proc/meminfo", "MemAvailable:", &value))
		room = value * 1024;
	if (!own_group(group, sizeof(group)))
		return room;
	/*
	 * Up to the root of what this process sees, which in a container is the container's own
	 * cgroup, with limits; that of the machine has none.
	 */
	for (;;) {
		char *slash = strrchr(group, '/');

		value = room_in(group);
		if (value < room)
			room = value;
		if (!slash)
			return room;
		*slash = '\0';
	}
}
