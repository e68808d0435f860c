/* SPDX-License-Identifier: MIT */
/*
 * The words and helpers that every layer uses: branch hints, alignment, page sizes.
 *
 * The only place that knows the granule's size; the host's base page is asked of the kernel.
 */
#ifndef PG64_BASE_H
#define PG64_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg64.h"

#define PG64_MIB ((size_t)1 << 20)
#define PG64_GIB ((size_t)1 << 30)

#define pg64_likely(x) __builtin_expect(!!(x), 1)
#define pg64_unlikely(x) __builtin_expect(!!(x), 0)

#define PG64_EXPORT __attribute__((visibility("default")))
#define PG64_COLD __attribute__((cold, noinline))
#define PG64_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define PG64_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/** @align must be a power of two. Wraps at the end of the address space. */
static inline uintptr_t pg64_align_up(uintptr_t value, size_t align)
{
	return (value + align - 1) & ~(uintptr_t)(align - 1);
}

static inline uintptr_t pg64_align_down(uintptr_t value, size_t align)
{
	return value & ~(uintptr_t)(align - 1);
}

static inline bool pg64_is_aligned(uintptr_t value, size_t align)
{
	return (value & (align - 1)) == 0;
}

static inline bool pg64_is_pow2(size_t value)
{
	return value != 0 && (value & (value - 1)) == 0;
}

/** The host's base page size in bytes (4, 16 or 64 KiB). No system call. */
size_t pg64_page_bytes(void);

/** The size in bytes of what one PMD entry maps: 2 MiB with 4 KiB pages. No system call. */
size_t pg64_pmd_bytes(void);

#endif /* PG64_BASE_H */
