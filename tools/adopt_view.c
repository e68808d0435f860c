/* SPDX-License-Identifier: MIT */
/*
 * pg64 adopt: its output as text and as JSON.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adopt.h"

static const struct {
	const char *name, *text;
} reasons[ADOPT_REASONS] = {
	[ADOPT_FILE] = {"file", "mapped files and what the kernel maps itself"},
	[ADOPT_STACK] = {"stack", "stacks"},
	[ADOPT_DEVICE] = {"device", "memory of devices and of the kernel, huge pages of hugetlbfs"},
	[ADOPT_NO_HUGE] = {"nohugepage", "refused by the program with MADV_NOHUGEPAGE (stacks of "
					 "threads have it too)"},
	[ADOPT_MISPLACED] = {"misplaced", "shared memory whose address and offset differ in a "
					  "granule: only a restart under `pg64 run` helps"},
	[ADOPT_SMALL] = {"small", "mappings without a whole granule of 64 KiB"},
};

static const char *refusal_text(int error)
{
	switch (error) {
	case ENOMEM:
		return "was unmapped meanwhile";
	case EINVAL:
		return "has become memory that cannot have 64 KiB pages";
	case EAGAIN:
		return "found no memory to split a mapping, or the process has as many as it may "
		       "(vm.max_map_count); adopt it again later";
	case EOPNOTSUPP:
		return "came after vm.pagesize_64k was switched off";
	default:
		return strerror(error);
	}
}

struct share {
	uint64_t bytes, backed;
};

/* Of a process what is resident; of several the parts that are theirs (PSS). */
static struct share share_of(const struct stat_process *process, bool shared)
{
	struct share share = {0};

	for (int kind = 0; kind < REGION_FILE; kind++) {
		if ((kind == REGION_SHARED) != shared)
			continue;
		share.bytes += process->kinds[kind].resident_bytes;
		share.backed += process->kinds[kind].backed_bytes;
	}
	return share;
}

static struct share share_of_sum(const struct stat_sum *sum, bool shared)
{
	struct share share = {0};

	for (int kind = 0; kind < REGION_FILE; kind++) {
		if ((kind == REGION_SHARED) != shared)
			continue;
		share.bytes += sum->pss[kind];
		share.backed += sum->backed[kind];
	}
	return share;
}

static void print_percent(struct share share, bool known)
{
	if (known && share.bytes)
		printf(" %6.1f %%", stat_percent(share.backed, share.bytes));
	else
		printf(" %8s", known ? "-" : "?");
}

static void print_pair(struct share before, struct share after, bool known)
{
	char text[TOOL_BYTES_TEXT];

	printf("  %10s", tool_bytes(after.bytes, text));
	print_percent(before, known);
	print_percent(after, known);
}

static void print_process(const struct adopt_process *process)
{
	const struct stat_process *before = &process->before, *after = &process->after;
	bool known = !before->coverage_error && !after->coverage_error;

	printf("%8d", process->pid);
	for (int shared = 0; shared < 2; shared++)
		print_pair(share_of(before, shared), share_of(after, shared), known);
	printf("  %s%s\n", before->info.exe,
		process->state == ADOPT_ENDED ? " (ended meanwhile)" : "");
}

/* The processes that were looked at, one behind the other. */
static struct stat_process *collect(const struct adopt *adopt, bool after, int *count)
{
	struct stat_process *list = calloc((size_t)adopt->count + 1, sizeof(*list));

	*count = 0;
	for (int i = 0; list && i < adopt->count; i++) {
		const struct adopt_process *process = adopt->list[i];

		if (process->before.info.pid && process->state != ADOPT_ENDED)
			list[(*count)++] = after ? process->after : process->before;
	}
	return list;
}

static struct stat_sum sum_of(const struct adopt *adopt, bool after)
{
	struct stat_sum sum = {0};
	int count;
	struct stat_process *list = collect(adopt, after, &count);

	if (list)
		sum = stat_sum(list, count);
	free(list);
	return sum;
}

static void print_left(const struct adopt *adopt)
{
	char resident[TOOL_BYTES_TEXT], bytes[TOOL_BYTES_TEXT];

	for (int reason = 0; reason < ADOPT_REASONS; reason++) {
		struct adopt_count sum = {0};

		for (int i = 0; i < adopt->count; i++) {
			sum.ranges += adopt->list[i]->left[reason].ranges;
			sum.bytes += adopt->list[i]->left[reason].bytes;
			sum.resident_bytes += adopt->list[i]->left[reason].resident_bytes;
		}
		if (sum.ranges)
			printf("left      %10s resident of %10s: %s\n",
				tool_bytes(sum.resident_bytes, resident),
				tool_bytes(sum.bytes, bytes), reasons[reason].text);
	}
}

static void print_refused(const struct adopt *adopt)
{
	char bytes[TOOL_BYTES_TEXT];

	for (int i = 0; i < adopt->count; i++)
		for (int j = 0; j < ADOPT_ERRORS; j++) {
			const struct adopt_refusal *refusal = &adopt->list[i]->refused[j];

			if (refusal->ranges)
				printf("refused   %10s in process %d: %s\n",
					tool_bytes(refusal->bytes, bytes), adopt->list[i]->pid,
					refusal_text(refusal->error));
		}
}

static uint64_t advised_bytes(const struct adopt *adopt)
{
	uint64_t sum = 0;

	for (int i = 0; i < adopt->count; i++)
		sum += adopt->list[i]->advised_bytes;
	return sum;
}

static void print_text(const struct adopt *adopt)
{
	struct stat_sum before = sum_of(adopt, false), after = sum_of(adopt, true);
	char text[TOOL_BYTES_TEXT];
	int shown = 0;

	for (int i = 0; i < adopt->count; i++) {
		if (!adopt->list[i]->before.info.pid)
			continue;
		if (!shown++)
			printf("%8s  %10s %17s  %10s %17s\n%8s  %10s %8s %8s  %10s %8s %8s\n", "",
				"private", "on 64 KiB", "shared", "on 64 KiB", "pid", "resident",
				"before", "after", "resident", "before", "after");
		print_process(adopt->list[i]);
	}
	if (!shown)
		return;
	printf("%8s", "all, PSS");
	for (int shared = 0; shared < 2; shared++)
		print_pair(share_of_sum(&before, shared), share_of_sum(&after, shared),
			before.known && after.known);
	printf("\n\n%s %10s of address space\n",
		adopt->dry_run			      ? "would be "
		: adopt->advice == ADOPT_MADV_DEFAULT ? "undone   "
						      : "adopted  ",
		tool_bytes(advised_bytes(adopt), text));
	print_left(adopt);
	print_refused(adopt);
	if (!before.known || !after.known)
		puts("what backs the memory cannot be seen without privilege");
}

static void add_uint64(struct json_object *object, const char *name, uint64_t value)
{
	json_object_object_add(object, name, json_object_new_uint64(value));
}

static struct json_object *side_json(const struct stat_process *process)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "memory", stat_memory_json(process));
	json_object_object_add(object, "coverage", stat_coverage_json(process));
	return object;
}

static struct json_object *left_json(const struct adopt_process *process)
{
	struct json_object *object = json_object_new_object();

	for (int reason = 0; reason < ADOPT_REASONS; reason++) {
		const struct adopt_count *count = &process->left[reason];
		struct json_object *one = json_object_new_object();

		add_uint64(one, "ranges", count->ranges);
		add_uint64(one, "bytes", count->bytes);
		add_uint64(one, "resident_bytes", count->resident_bytes);
		json_object_object_add(object, reasons[reason].name, one);
	}
	return object;
}

static struct json_object *refused_json(const struct adopt_process *process)
{
	struct json_object *list = json_object_new_array();

	for (int i = 0; i < ADOPT_ERRORS; i++) {
		const struct adopt_refusal *refusal = &process->refused[i];
		struct json_object *one;

		if (!refusal->ranges)
			continue;
		one = json_object_new_object();
		json_object_object_add(one, "errno", json_object_new_int(refusal->error));
		json_object_object_add(
			one, "text", json_object_new_string(refusal_text(refusal->error)));
		add_uint64(one, "ranges", refusal->ranges);
		add_uint64(one, "bytes", refusal->bytes);
		json_object_array_add(list, one);
	}
	return list;
}

static const char *state_name(const struct adopt *adopt, const struct adopt_process *process)
{
	static const char *const names[] = {
		"adopted", "ended", "failed", "kernel-thread", "thp-disabled"};
	static const char *const done[2][2] = {
		{"adopted", "would-adopt"}, {"undone", "would-undo"}};

	return process->state == ADOPT_ADOPTED
		       ? done[adopt->advice == ADOPT_MADV_DEFAULT][adopt->dry_run]
		       : names[process->state];
}

static struct json_object *process_json(
	const struct adopt *adopt, const struct adopt_process *process)
{
	struct json_object *object = json_object_new_object();
	bool seen = process->before.info.pid != 0;

	json_object_object_add(object, "pid", json_object_new_int(process->pid));
	json_object_object_add(
		object, "exe", seen ? json_object_new_string(process->before.info.exe) : NULL);
	json_object_object_add(object, "state", json_object_new_string(state_name(adopt, process)));
	json_object_object_add(object, "errno", json_object_new_int(-process->error));
	add_uint64(object, "advised_bytes", process->advised_bytes);
	json_object_object_add(object, "before", seen ? side_json(&process->before) : NULL);
	json_object_object_add(object, "after", seen ? side_json(&process->after) : NULL);
	json_object_object_add(object, "left", left_json(process));
	json_object_object_add(object, "refused", refused_json(process));
	return object;
}

static struct json_object *sum_json(const struct adopt *adopt, bool after)
{
	struct stat_sum sum = sum_of(adopt, after);
	struct json_object *object = json_object_new_object();

	for (int shared = 0; shared < 2; shared++) {
		struct share share = share_of_sum(&sum, shared);
		struct json_object *one = json_object_new_object();

		add_uint64(one, "pss_bytes", share.bytes);
		json_object_object_add(one, "backed_bytes",
			sum.known ? json_object_new_uint64(share.backed) : NULL);
		json_object_object_add(object, shared ? "shared" : "private", one);
	}
	return object;
}

static void print_json(const struct adopt *adopt)
{
	const char *kernel = adopt->kernel_error == -EOPNOTSUPP ? "off" : "none";
	struct json_object *object = json_object_new_object();
	struct json_object *list = json_object_new_array();
	struct json_object *total = json_object_new_object();

	json_object_object_add(object, "pg64_adopt", json_object_new_int(1));
	json_object_object_add(
		object, "kernel", json_object_new_string(adopt->kernel_error ? kernel : "patched"));
	json_object_object_add(object, "dry_run", json_object_new_boolean(adopt->dry_run));
	json_object_object_add(
		object, "undo", json_object_new_boolean(adopt->advice == ADOPT_MADV_DEFAULT));
	for (int i = 0; i < adopt->count; i++)
		json_object_array_add(list, process_json(adopt, adopt->list[i]));
	json_object_object_add(object, "processes", list);
	add_uint64(total, "advised_bytes", advised_bytes(adopt));
	json_object_object_add(total, "before", sum_json(adopt, false));
	json_object_object_add(total, "after", sum_json(adopt, true));
	json_object_object_add(object, "total", total);
	puts(json_object_to_json_string_ext(
		object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

void adopt_print(const struct adopt *adopt)
{
	if (adopt->json)
		print_json(adopt);
	else
		print_text(adopt);
}
