/* SPDX-License-Identifier: MIT */
/*
 * pg64 doctor: limits that bear on large reservations and on advice: rlimits, cgroup, overcommit,
 * map count, THP switched off for a process, and PG64_ variables.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"

extern char **environ;

/* "/proc/self" or the process's folder, below the root. */
static int proc_path(const struct doctor *doctor, char path[PATH_MAX], const char *file)
{
	if (doctor->pid)
		return tool_path(path, doctor->root, "/proc/%d/%s", doctor->pid, file);
	return tool_path(path, doctor->root, "/proc/self/%s", file);
}

/* Soft limit in the units of /proc/PID/limits; UINT64_MAX: unlimited or not known. */
static uint64_t soft_limit(const char *limits, const char *name)
{
	const char *line = strstr(limits, name);
	char value[32];

	if (!line || sscanf(line + strlen(name), "%31s", value) != 1 ||
		strcmp(value, "unlimited") == 0)
		return UINT64_MAX;
	return strtoull(value, NULL, 10);
}

static void check_rlimit(struct doctor *doctor, const char *limits, const char *line,
	const char *name, const char *mend, const char *effect)
{
	uint64_t limit = soft_limit(limits, line);
	char text[TOOL_BYTES_TEXT];

	if (limit == UINT64_MAX)
		finding_add(&doctor->findings, "limits", name, FINDING_OK, NULL, "unlimited");
	else
		finding_add(&doctor->findings, "limits", name, mend ? FINDING_NOTE : FINDING_OK,
			mend, "%s%s", tool_bytes(limit, text), effect);
}

static void check_rlimits(struct doctor *doctor)
{
	char path[PATH_MAX], limits[4096];

	if (proc_path(doctor, path, "limits") || tool_read(path, limits, sizeof(limits)) < 0) {
		finding_add(&doctor->findings, "limits", "rlimits", FINDING_NOTE, NULL,
			"cannot be read from %s", path);
		return;
	}
	check_rlimit(doctor, limits, "Max address space", "RLIMIT_AS", "ulimit -v unlimited",
		": arenas shrink to fit");
	check_rlimit(doctor, limits, "Max data size", "RLIMIT_DATA", "ulimit -d unlimited",
		": arenas are opened granule by granule");
	check_rlimit(doctor, limits, "Max locked memory", "RLIMIT_MEMLOCK", NULL, "");
}

/* The lowest limit of a cgroup and its parents; UINT64_MAX: none. */
static uint64_t cgroup_limit(
	const struct doctor *doctor, const char *mount, const char *group, const char *file)
{
	uint64_t lowest = UINT64_MAX;
	char folder[PATH_MAX], path[PATH_MAX], text[64];
	char *slash;

	if (tool_path(folder, "", "%s", strcmp(group, "/") == 0 ? "" : group))
		return lowest;
	for (;;) {
		if (!tool_path(path, mount, "%s/%s", folder, file) &&
			tool_read_at(doctor->root, path, text, sizeof(text)) > 0 &&
			strcmp(text, "max") != 0) {
			uint64_t limit = strtoull(text, NULL, 10);

			/* v1 writes "none" as the largest multiple of a page. */
			if (limit < lowest && limit < (uint64_t)1 << 62)
				lowest = limit;
		}
		slash = strrchr(folder, '/');
		if (!slash)
			return lowest;
		*slash = '\0';
	}
}

static void check_cgroup(struct doctor *doctor)
{
	char path[PATH_MAX], groups[4096], *line, *save = NULL;
	uint64_t lowest = UINT64_MAX;
	char text[TOOL_BYTES_TEXT];

	if (proc_path(doctor, path, "cgroup") || tool_read(path, groups, sizeof(groups)) < 0)
		return;
	for (line = strtok_r(groups, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(controllers + 1, ':') : NULL;
		uint64_t limit = UINT64_MAX;

		if (!group)
			continue;
		*group++ = '\0';
		controllers++;
		if (!*controllers)
			limit = cgroup_limit(doctor, "/sys/fs/cgroup", group, "memory.max");
		else if (strcmp(controllers, "memory") == 0)
			limit = cgroup_limit(
				doctor, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
		if (limit < lowest)
			lowest = limit;
	}
	if (lowest == UINT64_MAX)
		finding_add(
			&doctor->findings, "limits", "cgroup memory", FINDING_OK, NULL, "no limit");
	else
		finding_add(&doctor->findings, "limits", "cgroup memory", FINDING_OK, NULL,
			"%s; near it the kernel falls back to 4 KiB pages",
			tool_bytes(lowest, text));
}

static void check_sysctls(struct doctor *doctor)
{
	struct findings *out = &doctor->findings;
	char text[64];
	unsigned long maps;

	if (tool_read_at(doctor->root, "/proc/sys/vm/overcommit_memory", text, sizeof(text)) > 0) {
		if (strcmp(text, "2") == 0)
			finding_add(out, "limits", "overcommit_memory", FINDING_NOTE,
				"sudo sysctl vm.overcommit_memory=0",
				"2: the kernel counts what is reserved, so arenas are opened as "
				"needed");
		else
			finding_add(
				out, "limits", "overcommit_memory", FINDING_OK, NULL, "%s", text);
	}
	if (tool_read_at(doctor->root, "/proc/sys/vm/max_map_count", text, sizeof(text)) > 0) {
		maps = strtoul(text, NULL, 10);
		if (maps < 65530)
			finding_add(out, "limits", "max_map_count", FINDING_NOTE,
				"sudo sysctl vm.max_map_count=65530",
				"%lu: a fence against 2 MiB pages takes one mapping per 2 MiB",
				maps);
		else
			finding_add(out, "limits", "max_map_count", FINDING_OK, NULL, "%lu", maps);
	}
}

static void check_thp_disable(struct doctor *doctor)
{
	char path[PATH_MAX], status[8192];
	const char *line;

	if (proc_path(doctor, path, "status") || tool_read(path, status, sizeof(status)) < 0)
		return;
	line = strstr(status, "\nTHP_enabled:");
	if (line && strtol(line + strlen("\nTHP_enabled:"), NULL, 10) == 0)
		finding_add(&doctor->findings, "limits", "PR_SET_THP_DISABLE", FINDING_PROBLEM,
			NULL,
			"%s: this switches pages larger than the base page off for good, and "
			"children "
			"inherit it; find the parent that calls prctl(PR_SET_THP_DISABLE)",
			doctor->pid ? "set in this process" : "set in this shell");
}

void doctor_limits(struct doctor *doctor)
{
	check_cgroup(doctor);
	check_rlimits(doctor);
	check_sysctls(doctor);
	check_thp_disable(doctor);
}

static void check_variable(struct doctor *doctor, const char *variable)
{
	char name[64], mend[96], message[256];
	const char *value = strchr(variable, '=');
	size_t len = value ? (size_t)(value - variable) : 0;

	if (!value || len >= sizeof(name))
		return;
	memcpy(name, variable, len);
	name[len] = '\0';
	/* No options of the table: the path of the library, a second policy file. */
	if (strcmp(name, "PG64_LIBRARY") == 0 || strcmp(name, "PG64_CONFIG") == 0)
		return;
	snprintf(mend, sizeof(mend), "unset %s", name);
	for (char *c = name; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	if (pg64_option_check(name + strlen("PG64_"), value + 1, message, sizeof(message)))
		finding_add(
			&doctor->findings, "options", name, FINDING_PROBLEM, mend, "%s", message);
	else
		finding_add(&doctor->findings, "options", name, FINDING_OK, NULL, "%s", value + 1);
}

void doctor_options(struct doctor *doctor)
{
	char path[PATH_MAX], text[16];

	for (char **variable = environ; doctor_is_real(doctor) && *variable; variable++)
		if (strncmp(*variable, "PG64_", 5) == 0)
			check_variable(doctor, *variable);
	if (!tool_path(path, doctor->root, "/etc/pg64.conf") &&
		tool_read(path, text, sizeof(text)) >= 0)
		finding_add(&doctor->findings, "options", "/etc/pg64.conf", FINDING_OK, NULL,
			"read by each program; PG64_VERBOSE=1 shows what it makes of it");
}
