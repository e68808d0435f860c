/* SPDX-License-Identifier: MIT */
/*
 * Inside of the stats layer: coverage of the whole of this process.
 */
#ifndef PG64_COVERAGE_H
#define PG64_COVERAGE_H

#include "base/base.h"

/**
 * Measure every anonymous and shared anonymous mapping of this process: heap, stacks and memfd
 * included, file mappings left out. @coverage->size need not be set.
 * 0 or -errno; without privilege ->source is PG64_COVERAGE_NONE, see pg64_coverage().
 */
int pg64_coverage_self(struct pg64_coverage *coverage);

/** Is the mapping with @inode and @path in /proc/PID/maps one that pg64_coverage_self() counts? */
bool pg64_coverage_counts(uint64_t inode, const char *path);

#endif /* PG64_COVERAGE_H */
