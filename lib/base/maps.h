/* SPDX-License-Identifier: MIT */
/*
 * One line of /proc/PID/maps.
 */
#ifndef PG64_MAPS_H
#define PG64_MAPS_H

#include <stdint.h>

struct pg64_map {
	uintptr_t start, end;
	char perms[5]; /* "rw-p" */
	uint64_t inode; /* 0: private anonymous memory, or the kernel's own ("[vdso]") */
	const char *path; /* inside the line; "" for memory without a name */
};

/** Take @line apart. What is missing in a cut or damaged line reads as 0 and "". */
void pg64_map_parse(const char *line, struct pg64_map *map);

#endif /* PG64_MAPS_H */
