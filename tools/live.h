/* SPDX-License-Identifier: MIT */
/*
 * The pg64_live block of a running process, read through /proc/PID/mem.
 */
#ifndef PG64_TOOL_LIVE_H
#define PG64_TOOL_LIVE_H

#include "tool.h"

struct live {
	bool mapped; /* libpg64.so, or a program that has it linked in, is in the process */
	bool read; /* and @block was read and is sound */
	char object[PATH_MAX]; /* the file that brought it, made printable */
	struct pg64_live block;
};

/**
 * Look for the block in process @pid. 0 also when there is none; -ESRCH: the process is gone;
 * -EACCES or -EPERM: not allowed to look (mapped may be known even so); -EPROTO: there is a block
 * of another layout.
 */
int live_read(int pid, struct live *live);

/** Name and help of counter @index; "counter_N" and "" past what this version knows. */
const char *live_counter_name(unsigned int index);
const char *live_counter_help(unsigned int index);

/** "malloc, mmap" for the bit mask ->active. */
const char *live_active(uint32_t active);

/** Name of a backend read from another process: any value is safe. */
const char *live_backend(uint32_t backend);

#endif /* PG64_TOOL_LIVE_H */
