/* SPDX-License-Identifier: MIT */
/* Lines of `valgrind --tool=lackey --trace-mem=yes`, and files of address ranges. */
#ifndef TLB_TRACE_H
#define TLB_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model.h"

struct trace_access {
	uint64_t address;
	unsigned int size_bytes;
	bool load, store; /* both: the program modifies it in place; none: an instruction */
};

/*
 * One line, with its newline. Returns 1 for an access, 0 for a line of valgrind's own ("==PID==",
 * "--PID--") or an empty one, -EINVAL for anything else, a line without a newline included.
 */
int trace_parse(const char *line, size_t len, struct trace_access *access);

/*
 * Lines that begin with START-END in hexadecimal, as /proc/PID/maps has them; '#' begins a
 * comment. The ranges come back sorted and joined; the caller frees them. Returns 0, -errno, or
 * -EINVAL with the number of the line in *bad_line.
 */
int trace_ranges(
	const char *path, struct tlb_range **ranges, size_t *nr_ranges, unsigned int *bad_line);

#endif
