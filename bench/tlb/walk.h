/* SPDX-License-Identifier: MIT */
/* The walk of a synthetic stream over real memory, for counters of the processor to watch. */
#ifndef TLB_WALK_H
#define TLB_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "synthetic.h"

/*
 * Maps the memory, with or without 2 MiB pages asked for, fills it, and reads `count` words of it.
 * Returns 0 and the part that was on 2 MiB pages, by smaps; or -errno.
 */
int walk(struct synthetic synthetic, uint64_t count, bool huge, double *huge_part);

#endif
