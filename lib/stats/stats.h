/* SPDX-License-Identifier: MIT */
/*
 * Statistics of this process: a snapshot of what the lower layers counted, measured coverage where
 * the kernel lets us see it, and one emitter that writes both as text, JSON or OpenMetrics.
 *
 * Reads only; allocates nothing; takes no lock.
 */
#ifndef PG64_STATS_H
#define PG64_STATS_H

#include "base/base.h"
#include "config/config.h"

/** What the kernel may make present at one page fault of an anonymous mapping. */
enum pg64_fault_sizes {
	PG64_FAULT_GRANULE, /* one base page or one 64 KiB folio */
	PG64_FAULT_LARGER, /* larger folios too: PMD-size pages, collapsed stretches */
	PG64_FAULT_SMALLER, /* folios of 2 or more pages below 64 KiB too */
};

struct pg64_bound {
	uint64_t resident_pages; /* anonymous and shared, of the base page size */
	uint64_t anon_pages; /* of them, private anonymous */
	uint64_t minor_faults; /* of the process since its start */
	uint64_t cut_granules; /* that may have lost a part since they were faulted in */
	unsigned int pages_per_granule; /* 16 on 4 KiB hosts */
	enum pg64_fault_sizes sizes;
};

/**
 * A lower bound of the coverage of a process that has not been forked from another, from its fault
 * count alone (no privilege needed). A base page costs a fault of its own. With A anonymous pages
 * and F faults, g granules of n pages satisfy A - n g <= F; where nothing larger than a granule
 * comes at one fault, each granule cost one too: g + (A - n g) <= F.
 *
 * Shared pages count as resident only, since a read fault maps their neighbours too. Where folios
 * below 64 KiB may come, few faults prove nothing.
 *
 * Returns the bound in parts per million, 0 when the faults allow no statement.
 */
uint64_t pg64_coverage_bound_ppm(const struct pg64_bound *bound);

/** What a page fault may bring: by the settings under /sys, and by what was collapsed so far. */
enum pg64_fault_sizes pg64_fault_sizes(void);

/**
 * Open the sink of exit-time statistics now, while standard error is still there.
 * "stderr" and "fd:N" are duplicated to a descriptor >= 100 with close-on-exec; a path is copied.
 * Nothing is opened in a set-id process. A mistake is one line on standard error. Without this call
 * (see pg64_stats_after_fork()) there is no bound from faults either.
 */
void pg64_stats_setup(const struct pg64_config *config);

/**
 * In a forked child: forget what belongs to the parent (the bound of the fault count). A child that
 * ran no fork handlers is told by its process id.
 */
void pg64_stats_after_fork(void);

/**
 * Write the statistics of this process to the sink: one write(2), appended, so that processes can
 * share one file. JSON is one object on one line. OpenMetrics ends with "# EOF": a file for each
 * process (%p). Nothing happens without a sink, or while another thread is at it.
 */
void pg64_stats_write(const struct pg64_config *config);

#endif /* PG64_STATS_H */
