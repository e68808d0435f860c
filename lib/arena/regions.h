/* SPDX-License-Identifier: MIT */
/*
 * Regions: mappings of the program itself that pg64 advised, and address space that the program
 * has reserved (PROT_NONE), to be advised where it is opened.
 *
 * Remembered so that a MAP_FIXED mapping inside one can be advised again, an mremap() keeps what
 * was gained, and a call that cuts a granule is counted. A bounded table: a region that does not
 * fit is forgotten and counted (skip_regions_full), which costs nothing but these services.
 *
 * Thread-safe. What only looks takes the lock, which costs two system calls, only while another
 * thread changes the table.
 */
#ifndef PG64_REGIONS_H
#define PG64_REGIONS_H

#include "base/base.h"

/** A kind of region beyond enum pg64_mem: private anonymous PROT_NONE memory, not advised. */
#define PG64_REGION_RESERVED (PG64_MEM_KINDS + 1)

struct pg64_region {
	uintptr_t start, end;
	uint32_t kind; /* enum pg64_mem, PG64_MEM_KINDS or PG64_REGION_RESERVED */
	uint32_t fenced; /* 0: no fences; else 1 + pages by which their pattern was moved */
};

/**
 * Could [addr, addr + len) touch a region? False is certain; empty and wrapping ranges touch
 * none. True is wrong only while another thread changes the table.
 */
bool pg64_regions_maybe(uintptr_t addr, size_t len);

/**
 * Remember [addr, addr + len); what was known of the range before is forgotten. @kind may be
 * PG64_MEM_KINDS: nothing is done for the range. False: the table is full.
 */
bool pg64_regions_add(uintptr_t addr, size_t len, enum pg64_mem kind, uint32_t fenced);

/**
 * The same for a range that continues others: with neighbours of the same sort it becomes one
 * region. @kind may be PG64_REGION_RESERVED. Such regions come in any number, so half of the table
 * is kept from them, and from what a reservation is cut into. False: nothing was changed, and
 * skip_regions_full counts it.
 */
bool pg64_regions_join(uintptr_t addr, size_t len, uint32_t kind, uint32_t fenced);

/** Is there no room for another region? Without the lock, so it may change at once. */
bool pg64_regions_full(void);

/** Forget [addr, addr + len); regions that reach out of it keep the rest. */
void pg64_regions_remove(uintptr_t addr, size_t len);

/** The region that contains all of [addr, addr + len), if any. */
bool pg64_regions_find(uintptr_t addr, size_t len, struct pg64_region *region);

/** The first region that ends after @addr, if it starts before @end. */
bool pg64_regions_next(uintptr_t addr, uintptr_t end, struct pg64_region *region);

/** What is known of a range. */
struct pg64_look {
	struct pg64_region first; /* the first region that it touches */
	bool whole; /* is all of it in that region? */
	bool ours; /* is all of it in regions of private memory, advised or reserved? */
	bool cut; /* does one of its ends lie inside advised memory, and inside a granule? */
};

/** All of that about [addr, end), at one time. False: no region touches it. */
bool pg64_regions_look(uintptr_t addr, uintptr_t end, struct pg64_look *look);

void pg64_regions_before_fork(void);
void pg64_regions_after_fork(void);

#endif /* PG64_REGIONS_H */
