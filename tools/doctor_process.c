/* SPDX-License-Identifier: MIT */
/*
 * pg64 doctor: what a running process has, and the reasons that its counters give.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "live.h"

static long status_field(const char *status, const char *name)
{
	const char *line = strstr(status, name);

	return line ? strtol(line + strlen(name), NULL, 10) : -1;
}

static void check_seccomp(struct doctor *doctor)
{
	static const char *const modes[] = {"off", "strict", "filter"};
	char path[PATH_MAX], status[8192];
	long mode, no_new_privs;

	if (tool_path(path, doctor->root, "/proc/%d/status", doctor->pid) ||
		tool_read(path, status, sizeof(status)) < 0)
		return;
	mode = status_field(status, "\nSeccomp:");
	no_new_privs = status_field(status, "\nNoNewPrivs:");
	if (mode < 0 || mode > 2)
		return;
	finding_add(&doctor->findings, "process", "seccomp", mode ? FINDING_NOTE : FINDING_OK, NULL,
		"%s, no_new_privs %ld%s", modes[mode], no_new_privs,
		mode ? ": a filter that refuses madvise() leaves memory on base pages (see "
		       "fail_advise)"
		     : "");
}

static void check_tools(struct doctor *doctor)
{
	static char maps[1 << 16];
	char path[PATH_MAX];

	if (tool_path(path, doctor->root, "/proc/%d/maps", doctor->pid) ||
		tool_read(path, maps, sizeof(maps)) < 0)
		return;
	if (strstr(maps, "/vgpreload_") || strstr(maps, "/valgrind/")) {
		doctor->program_blocked = true;
		finding_add(&doctor->findings, "process", "valgrind", FINDING_PROBLEM, NULL,
			"runs under valgrind: pg64 steps aside; run it without");
	}
}

/* What is to be done about a reason, where something can be; @mend holds the text. */
static const char *mend_counter(
	const struct doctor *doctor, const char *name, char *mend, size_t size)
{
	static const struct {
		const char *name, *mend;
		bool command; /* the process's own command line follows */
	} mends[] = {
		{"skip_base", "sudo pg64 enable", false},
		{"skip_regions_full", "pg64 run --mmap-min=1M -- ", true},
		{"heap_small_bytes", "pg64 run --heap-min=0 -- ", true},
		{"fail_collapse", "sudo pg64 enable", false},
		{"fail_fence", "sudo sysctl vm.max_map_count=262144", false},
		{"fail_reserve", "ulimit -v unlimited", false},
		{"fail_commit", "ulimit -v unlimited -d unlimited", false},
		{"gate_patched_closed", "sudo sysctl vm.pagesize_64k=1", false},
		{"gate_mthp_closed", "sudo pg64 enable", false},
		{"foreign_free", "pg64 run --no-malloc -- ", true},
		{"double_free", "valgrind ", true},
		{"bad_option", "PG64_VERBOSE=1 pg64 run -- ", true},
	};

	for (size_t i = 0; i < TOOL_ARRAY_LEN(mends); i++) {
		if (strcmp(mends[i].name, name) != 0)
			continue;
		snprintf(
			mend, size, "%s%s", mends[i].mend, mends[i].command ? doctor->command : "");
		return mend;
	}
	return NULL;
}

static void add_reasons(struct doctor *doctor, const struct pg64_live *block)
{
	static const char *const reasons[] = {"skip_", "fail_", "gate_", "demote_", "foreign_free",
		"double_free", "bad_option", "heap_small_bytes"};

	char mend[PATH_MAX + 64];

	for (unsigned int i = 0; i < PG64_LIVE_COUNTERS; i++) {
		const char *name = live_counter_name(i);

		for (size_t j = 0; block->counters[i] && j < TOOL_ARRAY_LEN(reasons); j++)
			if (strncmp(name, reasons[j], strlen(reasons[j])) == 0)
				finding_add(&doctor->findings, "reasons", name, FINDING_NOTE,
					mend_counter(doctor, name, mend, sizeof(mend)),
					"%" PRIu64 ": %s", block->counters[i],
					live_counter_help(i));
	}
}

static void add_block(struct doctor *doctor, const struct live *live)
{
	const struct pg64_live *block = &live->block;
	struct findings *out = &doctor->findings;

	finding_add(out, "process", "libpg64", FINDING_OK, NULL, "%s, serving %s", live->object,
		live_active(block->active));
	if (!(block->active & 1))
		doctor->heap_is_foreign = true;
	for (unsigned int kind = 0; kind < PG64_MEM_KINDS; kind++) {
		uint32_t backend = block->backend[kind];
		bool base = backend == PG64_BACKEND_BASE && doctor->page_bytes < PG64_GRANULE;

		finding_add(out, "process", pg64_mem_name((enum pg64_mem)kind),
			!base			? FINDING_OK
			: kind == PG64_MEM_HEAP ? FINDING_PROBLEM
						: FINDING_NOTE,
			base ? doctor_enable_line(doctor, (enum pg64_mem)kind) : NULL, "%s%s",
			live_backend(backend),
			backend == PG64_BACKEND_UNKNOWN ? ": not asked for yet" : "");
	}
	doctor->live_heap = block->backend[PG64_MEM_HEAP] < PG64_BACKENDS
				    ? (enum pg64_backend)block->backend[PG64_MEM_HEAP]
				    : PG64_BACKEND_UNKNOWN;
	add_reasons(doctor, block);
}

static int check_live(struct doctor *doctor)
{
	struct findings *out = &doctor->findings;
	char mend[PATH_MAX + 32];
	static struct live live;
	int err = live_read(doctor->pid, &live);

	if (err == -ESRCH)
		return err;
	if (live.read) {
		add_block(doctor, &live);
		return 0;
	}
	snprintf(mend, sizeof(mend), "sudo pg64 doctor %d", doctor->pid);
	if (err == -EACCES || err == -EPERM) {
		finding_add(out, "process", "libpg64", FINDING_NOTE, mend,
			"%s: its counters cannot be seen without privilege",
			live.mapped ? live.object : "not known whether it is mapped");
	} else if (live.mapped) {
		finding_add(out, "process", "libpg64", FINDING_PROBLEM, "pg64 --version",
			"%s is mapped, but its counters %s", live.object,
			err == -EPROTO ? "are of another version than this command"
				       : "cannot be read, or it stepped aside");
		doctor->program_blocked = true;
	} else {
		bool patched = doctor->best[PG64_MEM_HEAP] == PG64_BACKEND_PATCHED;

		snprintf(mend, sizeof(mend), "pg64 run -- %s", doctor->command);
		if (patched)
			snprintf(mend, sizeof(mend), "sudo pg64 adopt %d", doctor->pid);
		finding_add(out, "process", "libpg64", FINDING_PROBLEM, mend,
			"not in this process: start it again under pg64%s",
			patched ? ", or have the kernel move it as it runs" : "");
		doctor->program_blocked = true;
	}
	return 0;
}

/* The process's command line, as it would be typed again; its first word where it is long. */
static void read_command(struct doctor *doctor)
{
	char path[PATH_MAX], words[1024];
	int n = tool_path(path, doctor->root, "/proc/%d/cmdline", doctor->pid);

	doctor->command[0] = '\0';
	if (!n)
		n = tool_read(path, words, sizeof(words));
	if (n <= 0) {
		snprintf(doctor->command, sizeof(doctor->command), "COMMAND");
		return;
	}
	for (const char *word = words; word < words + n; word += strlen(word) + 1) {
		if (strlen(doctor->command) + strlen(word) > 200 || strchr(word, '\n')) {
			tool_quote(doctor->command, sizeof(doctor->command), "...");
			return;
		}
		if (tool_quote(doctor->command, sizeof(doctor->command), word))
			return;
	}
}

bool doctor_has_process(const struct doctor *doctor)
{
	char path[PATH_MAX], text[512];
	const char *state;

	if (tool_path(path, doctor->root, "/proc/%d/stat", doctor->pid) ||
		tool_read(path, text, sizeof(text)) < 0)
		return false;
	state = strrchr(text, ')');
	return !state || strncmp(state, ") Z", 3) != 0;
}

int doctor_process(struct doctor *doctor)
{
	read_command(doctor);
	check_seccomp(doctor);
	check_tools(doctor);
	if (doctor_is_real(doctor))
		return check_live(doctor);
	finding_add(&doctor->findings, "process", "libpg64", FINDING_NOTE, NULL,
		"a captured process cannot be looked into");
	return 0;
}
