/* SPDX-License-Identifier: MIT */
/*
 * Statistics that processes leave when they end: a file of our own to collect them in, what they
 * add up to, and how they are shown.
 */
#ifndef PG64_TOOL_COLLECT_H
#define PG64_TOOL_COLLECT_H

#include "tool.h"

struct json_object;

/* A private folder with one file in it. */
struct collect {
	char folder[PATH_MAX];
	char path[PATH_MAX];
	int fd; /* ours, for reading */
};

/** 0 or -errno with one line on standard error. */
int collect_open(struct collect *collect);
void collect_close(struct collect *collect);

/** Copy what was collected to the descriptor @fd as it is. 0 or -errno. */
int collect_copy(const struct collect *collect, int fd);

/** Read the JSON lines: an array (the caller's, json_object_put()), NULL with -errno in @err. */
struct json_object *collect_read(const struct collect *collect, int *err);

struct collect_sum {
	uint64_t resident_bytes; /* of the processes that were measured */
	uint64_t backed_bytes;
	unsigned int measured;
	unsigned int unmeasured; /* large enough, but nothing could be said */
	unsigned int small; /* below 1 MiB resident: left out */
	bool bound; /* at least one figure is a lower bound */
};

void collect_sum(struct json_object *processes, struct collect_sum *sum);

/**
 * Was @required_ppm reached? true, or false with one line on standard error that says why.
 * @command: for the advice in that line.
 */
bool collect_judge(const struct collect_sum *sum, uint64_t required_ppm, const char *command);

/** Write each process's statistics for people to @fd. 0 or -errno. */
int collect_print(struct json_object *processes, int fd);

#endif /* PG64_TOOL_COLLECT_H */
