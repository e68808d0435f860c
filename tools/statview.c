/* SPDX-License-Identifier: MIT */
/*
 * pg64 stat: its output as text and as JSON.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "statview.h"

double stat_percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void print_row(const char *name, const struct stat_kind *sum, bool known)
{
	char resident[TOOL_BYTES_TEXT], pss[TOOL_BYTES_TEXT], asked[TOOL_BYTES_TEXT];
	char backed[TOOL_BYTES_TEXT], pmd[TOOL_BYTES_TEXT], swap[TOOL_BYTES_TEXT];

	printf("%-8s %10s %10s %10s", name, tool_bytes(sum->resident_bytes, resident),
		tool_bytes(sum->pss_bytes, pss), tool_bytes(sum->advised_bytes, asked));
	if (known)
		printf(" %10s %6.1f %% %10s", tool_bytes(sum->backed_bytes, backed),
			stat_percent(sum->backed_bytes, sum->resident_bytes),
			tool_bytes(sum->pmd_bytes, pmd));
	else
		printf(" %10s %8s %10s", "?", "?", "?");
	printf(" %10s\n", tool_bytes(sum->swap_bytes, swap));
}

static void print_coverage(const struct stat_process *process)
{
	if (process->coverage_error == -EACCES || process->coverage_error == -EPERM)
		printf("coverage  cannot be seen without privilege; run: sudo pg64 stat %d\n",
			process->info.pid);
	else if (process->coverage_error)
		printf("coverage  not known: %s\n", strerror(-process->coverage_error));
	else
		printf("coverage  %.1f %% of anonymous and shared memory is on 64 KiB pages "
		       "(exact, from "
		       "kpageflags)\n",
			stat_percent(process->total.backed_bytes, process->total.resident_bytes));
}

static uint64_t counter(const struct pg64_live *block, const char *name)
{
	for (unsigned int i = 0; i < PG64_LIVE_COUNTERS && pg64_counter_name(i); i++)
		if (strcmp(pg64_counter_name(i), name) == 0)
			return block->counters[i];
	return 0;
}

static uint64_t difference(const struct pg64_live *block, const char *more, const char *less)
{
	uint64_t a = counter(block, more), b = counter(block, less);

	return a > b ? a - b : 0;
}

/* Most kernels keep no names of mappings: what the heap holds is then a part of anon above. */
static void print_heap(const struct stat_process *process)
{
	const struct pg64_live *block = &process->live.block;
	char committed[TOOL_BYTES_TEXT], reserved[TOOL_BYTES_TEXT];

	printf("heap      %s in use, %s of address space reserved%s\n",
		tool_bytes(
			difference(block, "heap_commit_bytes", "heap_decommit_bytes"), committed),
		tool_bytes(
			difference(block, "heap_reserved_bytes", "heap_released_bytes"), reserved),
		process->kinds[REGION_HEAP].resident_bytes ? "" : " (counted as anon above)");
}

static void print_live(const struct stat_process *process)
{
	const struct pg64_live *block = &process->live.block;

	if (!process->live.read) {
		if (process->live_error == -EACCES || process->live_error == -EPERM)
			printf("pg64      cannot be seen without privilege; run: sudo pg64 stat "
			       "%d\n",
				process->info.pid);
		else if (process->live_error == -EPROTO)
			printf("pg64      %s is of another version than this command: pg64 "
			       "--version\n",
				process->live.object);
		else if (process->live.mapped)
			printf("pg64      %s is mapped, but stepped aside\n", process->live.object);
		else
			printf("pg64      not in this process; start it by: pg64 run -- ...\n");
		return;
	}
	printf("pg64      %s, serving %s\nbackends  heap %s, anon %s, shared %s\n",
		process->live.object, live_active(block->active),
		live_backend(block->backend[PG64_MEM_HEAP]),
		live_backend(block->backend[PG64_MEM_ANON]),
		live_backend(block->backend[PG64_MEM_SHARED]));
	print_heap(process);
	fputs("counters\n", stdout);
	for (unsigned int i = 0; i < PG64_LIVE_COUNTERS; i++)
		if (block->counters[i])
			printf("  %-22s %16" PRIu64 "  %s\n", live_counter_name(i),
				block->counters[i], live_counter_help(i));
}

void stat_print(const struct stat_process *process)
{
	printf("process   %d  %s\n\n", process->info.pid, process->info.exe);
	printf("%-8s %10s %10s %10s %10s %8s %10s %10s\n", "memory", "resident", "PSS", "asked for",
		"on 64 KiB", "share", "on 2 MiB", "swapped");
	for (int kind = 0; kind < REGION_KINDS; kind++)
		if (process->kinds[kind].resident_bytes || process->kinds[kind].swap_bytes)
			print_row(region_kind_name((enum region_kind)kind), &process->kinds[kind],
				!process->coverage_error);
	print_row("no files", &process->total, !process->coverage_error);
	putchar('\n');
	print_coverage(process);
	printf("faults    %" PRIu64 " minor, %" PRIu64 " major\n", process->info.minor_faults,
		process->info.major_faults);
	print_live(process);
}

static void add_uint64(struct json_object *object, const char *name, uint64_t value)
{
	json_object_object_add(object, name, json_object_new_uint64(value));
}

static struct json_object *kind_json(const struct stat_kind *sum, bool known)
{
	struct json_object *object = json_object_new_object();

	add_uint64(object, "resident_bytes", sum->resident_bytes);
	add_uint64(object, "pss_bytes", sum->pss_bytes);
	add_uint64(object, "swap_bytes", sum->swap_bytes);
	add_uint64(object, "advised_bytes", sum->advised_bytes);
	json_object_object_add(
		object, "backed_bytes", known ? json_object_new_uint64(sum->backed_bytes) : NULL);
	json_object_object_add(
		object, "pmd_bytes", known ? json_object_new_uint64(sum->pmd_bytes) : NULL);
	return object;
}

static struct json_object *live_json(const struct live *live)
{
	struct json_object *object = json_object_new_object();
	struct json_object *backend = json_object_new_object();
	struct json_object *counters = json_object_new_object();

	json_object_object_add(object, "object", json_object_new_string(live->object));
	json_object_object_add(object, "malloc", json_object_new_boolean(live->block.active & 1));
	json_object_object_add(
		object, "mmap", json_object_new_boolean((live->block.active & 2) != 0));
	for (unsigned int kind = 0; kind < PG64_MEM_KINDS; kind++)
		json_object_object_add(backend, pg64_mem_name((enum pg64_mem)kind),
			json_object_new_string(live_backend(live->block.backend[kind])));
	json_object_object_add(object, "backend", backend);
	for (unsigned int i = 0; i < PG64_LIVE_COUNTERS; i++)
		if (live->block.counters[i] || pg64_counter_name(i))
			add_uint64(counters, live_counter_name(i), live->block.counters[i]);
	json_object_object_add(object, "counters", counters);
	return object;
}

struct json_object *stat_memory_json(const struct stat_process *process)
{
	struct json_object *memory = json_object_new_object();
	bool known = !process->coverage_error;

	for (int kind = 0; kind < REGION_KINDS; kind++)
		json_object_object_add(memory, region_kind_name((enum region_kind)kind),
			kind_json(&process->kinds[kind], known));
	json_object_object_add(memory, "total_without_files", kind_json(&process->total, known));
	return memory;
}

struct json_object *stat_coverage_json(const struct stat_process *process)
{
	struct json_object *coverage = json_object_new_object();
	bool known = !process->coverage_error;
	double ppm = stat_percent(process->total.backed_bytes, process->total.resident_bytes) * 1e4;

	json_object_object_add(
		coverage, "ppm", known ? json_object_new_uint64((uint64_t)(ppm + 0.5)) : NULL);
	json_object_object_add(
		coverage, "source", json_object_new_string(known ? "kpageflags" : "none"));
	return coverage;
}

struct json_object *stat_json(const struct stat_process *process)
{
	struct json_object *object = json_object_new_object();
	struct json_object *faults = json_object_new_object();

	json_object_object_add(object, "pg64_stat", json_object_new_int(1));
	json_object_object_add(object, "pid", json_object_new_int(process->info.pid));
	json_object_object_add(object, "ppid", json_object_new_int(process->info.parent));
	json_object_object_add(object, "exe", json_object_new_string(process->info.exe));
	json_object_object_add(object, "memory", stat_memory_json(process));
	json_object_object_add(object, "coverage", stat_coverage_json(process));
	add_uint64(faults, "minor", process->info.minor_faults);
	add_uint64(faults, "major", process->info.major_faults);
	json_object_object_add(object, "faults", faults);
	json_object_object_add(
		object, "pg64", process->live.read ? live_json(&process->live) : NULL);
	return object;
}

struct stat_sum stat_sum(const struct stat_process *list, int count)
{
	struct stat_sum sum = {.known = true};

	for (int i = 0; i < count; i++) {
		for (int kind = 0; kind < REGION_KINDS; kind++) {
			sum.pss[kind] += list[i].kinds[kind].pss_bytes;
			sum.backed[kind] += list[i].kinds[kind].backed_pss_bytes;
		}
		sum.total_pss += list[i].total.pss_bytes;
		sum.total_backed += list[i].total.backed_pss_bytes;
		sum.known &= !list[i].coverage_error;
	}
	return sum;
}

static void print_share(uint64_t pss, uint64_t backed, bool known)
{
	char text[TOOL_BYTES_TEXT], backed_text[TOOL_BYTES_TEXT];

	if (known)
		printf("%10s %10s %6.1f %%", tool_bytes(pss, text), tool_bytes(backed, backed_text),
			stat_percent(backed, pss));
	else
		printf("%10s %10s %8s", tool_bytes(pss, text), "?", "?");
}

static void print_family_text(int pid, const struct stat_process *list, int count, int denied)
{
	struct stat_sum sum = stat_sum(list, count);

	printf("%-8s %10s %10s %8s\n", "memory", "PSS", "on 64 KiB", "share");
	for (int kind = 0; kind < REGION_KINDS; kind++) {
		printf("%-8s ", region_kind_name((enum region_kind)kind));
		print_share(sum.pss[kind], sum.backed[kind], sum.known);
		putchar('\n');
	}
	printf("%-8s ", "no files");
	print_share(sum.total_pss, sum.total_backed, sum.known);
	printf("\n\n%d process%s, without files:\n%-8s %10s %10s %8s\n", count,
		count == 1 ? "" : "es", "pid", "PSS", "on 64 KiB", "share");
	for (int i = 0; i < count; i++) {
		printf("%-8d ", list[i].info.pid);
		print_share(list[i].total.pss_bytes, list[i].total.backed_pss_bytes,
			!list[i].coverage_error);
		printf("  %s\n", list[i].info.exe);
	}
	if (denied)
		printf("\n%d more cannot be seen without privilege\n", denied);
	if (!sum.known || denied)
		printf("\nwhat backs the memory cannot be seen without privilege; run: sudo pg64 "
		       "stat "
		       "--all %d\n",
			pid);
}

void stat_print_family(int pid, const struct stat_process *list, int count, int denied, bool json)
{
	struct stat_sum sum = stat_sum(list, count);
	struct json_object *object, *processes, *total;

	if (!json) {
		print_family_text(pid, list, count, denied);
		return;
	}
	object = json_object_new_object();
	processes = json_object_new_array();
	total = json_object_new_object();
	json_object_object_add(object, "pg64_stat_all", json_object_new_int(1));
	add_uint64(total, "pss_bytes", sum.total_pss);
	json_object_object_add(
		total, "backed_bytes", sum.known ? json_object_new_uint64(sum.total_backed) : NULL);
	json_object_object_add(total, "denied", json_object_new_int(denied));
	json_object_object_add(object, "total_without_files", total);
	for (int i = 0; i < count; i++)
		json_object_array_add(processes, stat_json(&list[i]));
	json_object_object_add(object, "processes", processes);
	puts(json_object_to_json_string_ext(
		object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}
