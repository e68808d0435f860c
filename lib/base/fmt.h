/* SPDX-License-Identifier: MIT */
/*
 * Formatting and logging without allocation, stdio or locale: usable inside malloc.
 */
#ifndef PG64_FMT_H
#define PG64_FMT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base.h"

/**
 * snprintf() of a subset: %s %c %d %u %x %p %%, with l, ll and z; width, `-` and `0` are honoured,
 * and a precision with %s.
 * Always NUL-terminates when @size > 0. Returns the length that the whole text has.
 */
int pg64_snprintf(char *buf, size_t size, const char *fmt, ...) PG64_PRINTF(3, 4);
int pg64_vsnprintf(char *buf, size_t size, const char *fmt, va_list args);

/**
 * Parse "4096", "64K", "1G" (K, M, G, T: powers of 1024; a trailing iB or B is allowed).
 * The whole of @text must be the number. 0, -EINVAL or -ERANGE.
 */
int pg64_parse_size(const char *text, uint64_t *bytes);

/** Parse an unsigned decimal number; the whole of @text must be it. 0, -EINVAL or -ERANGE. */
int pg64_parse_uint(const char *text, uint64_t *value);

/**
 * Print one line "pg64: ..." to standard error, one write(2) without SIGPIPE, at most 512 bytes.
 * Control characters are printed as '?'.
 * pg64_log() always prints; use it for mistakes of the user and for corruption of the heap.
 */
void pg64_log(const char *fmt, ...) PG64_PRINTF(1, 2);

/** Print like pg64_log() when the verbose level is at least @level. */
void pg64_verbose(unsigned int level, const char *fmt, ...) PG64_PRINTF(2, 3);

/** Set the verbose level and the descriptor that lines go to (-1: 2). */
void pg64_log_setup(unsigned int level, int fd);

#endif /* PG64_FMT_H */
