/* SPDX-License-Identifier: MIT */
/*
 * What `pg64 stat` gathers of a process, and its two forms, text and JSON.
 */
#ifndef PG64_TOOL_STATVIEW_H
#define PG64_TOOL_STATVIEW_H

#include "live.h"
#include "proc.h"

struct json_object;

struct stat_kind {
	uint64_t resident_bytes;
	uint64_t pss_bytes;
	uint64_t swap_bytes;
	uint64_t advised_bytes; /* of resident_bytes, in mappings that ask for large pages */
	uint64_t backed_bytes; /* of resident_bytes, on folios of 64 KiB and more */
	uint64_t backed_pss_bytes; /* the same by the process's share of each mapping */
	uint64_t pmd_bytes; /* of backed_bytes, on PMD-size pages */
};

struct stat_process {
	struct process info;
	struct stat_kind kinds[REGION_KINDS];
	struct stat_kind total; /* all but files: what coverage is about */
	int coverage_error; /* 0: backed_bytes are known */
	int live_error;
	struct live live;
};

/** 0; -ESRCH: gone; -EACCES or -EPERM: may not be looked at; other -errno. */
int stat_gather(int pid, struct stat_process *process);

void stat_print(const struct stat_process *process);

/** The caller's: json_object_put(). */
struct json_object *stat_json(const struct stat_process *process);

/** Its members "memory" and "coverage". The caller's. */
struct json_object *stat_memory_json(const struct stat_process *process);
struct json_object *stat_coverage_json(const struct stat_process *process);

/** In percent; 0 of nothing. */
double stat_percent(uint64_t part, uint64_t whole);

/* Sums by PSS: memory that processes share is counted once. */
struct stat_sum {
	uint64_t pss[REGION_KINDS], backed[REGION_KINDS];
	uint64_t total_pss, total_backed;
	bool known;
};

struct stat_sum stat_sum(const struct stat_process *list, int count);

/** @pid: the head of the family; @denied: processes that were left out. */
void stat_print_family(int pid, const struct stat_process *list, int count, int denied, bool json);

#endif /* PG64_TOOL_STATVIEW_H */
