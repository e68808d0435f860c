/* SPDX-License-Identifier: MIT */
/*
 * Writing the profile of this process.
 */
#ifndef PG64_PROFILE_H
#define PG64_PROFILE_H

#include "table.h"

/**
 * Write @table to @path: folded stacks when that ends in ".folded", else the text form of a heap
 * growth profile that pprof reads. A regular file is replaced as a whole. @unwinder: named in a
 * comment.
 * 0 or -errno.
 */
int profile_write(const struct profile_table *table, const char *path, const char *unwinder);

#endif /* PG64_PROFILE_H */
