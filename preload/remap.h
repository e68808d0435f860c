/* SPDX-License-Identifier: MIT */
/*
 * mremap() of regions.
 */
#ifndef PG64_REMAP_H
#define PG64_REMAP_H

#include "arena/regions.h"

#define PG64_MREMAP_DONTUNMAP 4

/* Where in its target a move piece by piece came to an end. */
struct pg64_stuck {
	size_t offset, len;
};

/**
 * mremap(2) of [old, old + old_len), all of it inside @region; @old_len in whole pages. Keeps the
 * table of regions. The address, or -errno as pg64_sys_mmap().
 */
void *pg64_remap(char *old, size_t old_len, size_t new_len, int flags, void *target,
	const struct pg64_region *region);

/**
 * The same for a range that the kernel answered EFAULT to: it is several VMAs, which may be pg64's
 * doing. -EFAULT still: they are not alike, it is one VMA, or there is no /proc.
 */
void *pg64_remap_pieces(char *old, size_t old_len, size_t new_len, int flags, void *target);

/** struct pg64_region.fenced of a region that was moved from @from to @to with its VMAs. */
uint32_t pg64_remap_fence(uint32_t fence, uintptr_t from, uintptr_t to);

#endif /* PG64_REMAP_H */
