/* SPDX-License-Identifier: MIT */
/*
 * Inside of the stats layer: what is read of this process at one time.
 */
#ifndef PG64_SNAPSHOT_H
#define PG64_SNAPSHOT_H

#include "base/base.h"

struct pg64_resident {
	uint64_t anon_bytes; /* private anonymous */
	uint64_t shared_bytes; /* shared anonymous: memfd, System V, MAP_SHARED */
};

/** Resident memory, from /proc/self/status; zeros without it. */
void pg64_resident(struct pg64_resident *resident);

/**
 * The bound of coverage from the fault count, in ppm. False: the process was forked, or not set
 * up, and its faults tell nothing.
 */
bool pg64_fault_bound(const struct pg64_resident *resident, uint64_t minor_faults, uint64_t *ppm);

/** Was this process forked from one that had pg64, and has not called exec since? */
bool pg64_is_forked(void);

/** Remember which process this is. */
void pg64_remember_process(void);

#endif /* PG64_SNAPSHOT_H */
