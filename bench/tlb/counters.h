/* SPDX-License-Identifier: MIT */
/* The processor's own counter of data-TLB misses, around the same walk as the model's. */
#ifndef TLB_COUNTERS_H
#define TLB_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "synthetic.h"

struct measured {
	uint64_t misses, reads; /* dTLB-load-misses and -loads as perf calls them */
	uint64_t enabled_ns, running_ns;
	double huge_part; /* of the memory that was on 2 MiB pages, by smaps */
	char why[160]; /* why there is nothing, where measure() fails */
};

/*
 * Maps the memory, with or without 2 MiB pages asked for, fills it, and reads `count` words of it
 * after `warm` others. Returns 0 or -errno with `why`; -ENODATA: the counter stands still.
 */
int measure(struct synthetic synthetic, uint64_t warm, uint64_t count, bool huge,
	struct measured *measured);

#endif
