/* SPDX-License-Identifier: MIT */
/*
 * Probing by behaviour: scratch memory of a kind, one touched granule, and a look at what came.
 * Shared by the backends; nothing outside lib/page/ needs it.
 */
#ifndef PG64_PAGE_PROBE_H
#define PG64_PAGE_PROBE_H

#include "page/page.h"

/**
 * Scratch memory for a probe: two PMD-size stretches, the first at an even multiple of their
 * size.
 */
struct pg64_scratch {
	char *map; /* what was mapped, NULL: nothing */
	size_t map_len;
	char *stretch; /* first of the two */
	size_t pmd; /* size of one */
};

/** Map scratch memory of @kind, readable and writable, on base pages. 0 or -errno. */
int pg64_scratch_map(struct pg64_scratch *scratch, enum pg64_mem kind);
void pg64_scratch_unmap(struct pg64_scratch *scratch);

#define PG64_MADV_COLLAPSE 25

/* promote.c, for select.c. */

/** Set the policy. */
void pg64_promotion_init(bool wanted);
bool pg64_promotion_on(void);
/** Make a PMD-size page of an empty stretch that is about to be filled. true: done. */
bool pg64_promotion_populate(char *stretch, size_t len);

/** Linux >= 5.18: MADV_DONTNEED that takes locked memory too. */
#define PG64_MADV_DONTNEED_LOCKED 24

/**
 * Touch one granule in the middle of @stretch; the bytes that this made present there, or -errno
 * (-EBUSY: the stretch is locked and was present before).
 */
long pg64_scratch_touch(struct pg64_scratch *scratch, char *stretch);

/** Bytes present in @stretch, or -errno. */
long pg64_scratch_present(const struct pg64_scratch *scratch, char *stretch);

/** Fill in @probe->error and a formatted reason. */
void pg64_probe_result(struct pg64_probe *probe, int error, const char *fmt, ...) PG64_PRINTF(3, 4);

#endif /* PG64_PAGE_PROBE_H */
