/* SPDX-License-Identifier: MIT */
/*
 * What the kernel's page tables say about one granule: pure functions on the entries of
 * /proc/PID/pagemap and /proc/kpageflags, and shares of them.
 */
#ifndef PG64_GRANULE_H
#define PG64_GRANULE_H

#include <stdbool.h>
#include <stdint.h>

/* Entries of pagemap (Documentation/admin-guide/mm/pagemap.rst). */
#define PG64_PM_PRESENT (UINT64_C(1) << 63)
#define PG64_PM_SWAPPED (UINT64_C(1) << 62)
#define PG64_PM_PFN ((UINT64_C(1) << 55) - 1)

/* Bits of kpageflags. */
#define PG64_KPF_HEAD (UINT64_C(1) << 15)
#define PG64_KPF_TAIL (UINT64_C(1) << 16)
#define PG64_KPF_ZERO (UINT64_C(1) << 24)

/**
 * Could this be a backed granule, as far as the page table goes: all @pages present, on consecutive
 * page frames that start at a multiple of @pages? False where page frame numbers read as 0.
 */
bool pg64_granule_contiguous(const uint64_t *pagemap, unsigned int pages);

/**
 * Do these @pages consecutive page frames, the first one naturally aligned, belong to one compound
 * page? Then its order is at least that of a granule. The shared huge zero page does not count.
 */
bool pg64_granule_compound(const uint64_t *flags, unsigned int pages);

/** @part of @whole in parts per million, at most 1000000; 0 of 0 is 0. */
uint64_t pg64_ppm(uint64_t part, uint64_t whole);

#endif /* PG64_GRANULE_H */
