/* SPDX-License-Identifier: MIT */
/*
 * Reads of /sys and /proc under a root that can be set, so that a captured machine is a test input.
 * No allocation; one open, one read, one close.
 */
#ifndef PG64_SYSFS_H
#define PG64_SYSFS_H

#include <stddef.h>
#include <stdint.h>

#include "lines.h"

/** Where THP's knobs are. */
#define PG64_SYSFS_THP "/sys/kernel/mm/transparent_hugepage"

/**
 * Put @root before every path from now on; "" or NULL is the machine itself. The string is kept,
 * not copied.
 */
void pg64_sysfs_root(const char *root);

/** Read up to @size - 1 bytes, NUL-terminated, trailing newline cut. Length, or -errno. */
int pg64_sysfs_read(const char *path, char *buf, size_t size);

/** pg64_lines_open() under the root. */
int pg64_sysfs_lines(struct pg64_lines *lines, const char *path);

/** Read a decimal number. 0 or -errno (-EINVAL: not a number). */
int pg64_sysfs_read_u64(const char *path, uint64_t *value);

/**
 * Read the chosen word of "always [madvise] never" into @word; a file without brackets gives its
 * first word. 0 or -errno.
 */
int pg64_sysfs_read_choice(const char *path, char *word, size_t size);

#endif /* PG64_SYSFS_H */
