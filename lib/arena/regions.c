/* SPDX-License-Identifier: MIT */
/*
 * The table behind regions.h: sorted by address, searched by bisection, under one lock.
 */
#include <string.h>

#include "arena/regions.h"
#include "base/counters.h"
#include "base/lock.h"
#include "base/sys.h"

#define REGIONS_MAX 4096

static struct {
	struct pg64_lock lock;
	uint32_t count;
	_Atomic uintptr_t low, high; /* hull of all regions that there ever were */
	struct pg64_region table[REGIONS_MAX];
} regions;

/*
 * The calls of the mmap family are used in signal handlers too, though malloc is not: a handler
 * must not come in between while its thread holds the lock.
 */
static uint64_t lock_table(void)
{
	uint64_t signals = pg64_sys_block_signals();

	pg64_lock(&regions.lock);
	return signals;
}

static void unlock_table(uint64_t signals)
{
	pg64_unlock(&regions.lock);
	pg64_sys_restore_signals(signals);
}

bool pg64_regions_maybe(uintptr_t addr, size_t len)
{
	uintptr_t end = addr + len;

	/* An empty range, or one that wraps around, is nothing that the kernel would touch. */
	return addr < regions.high && end > regions.low && end > addr;
}

/* Index of the first region that ends after @addr. Lock held. */
static uint32_t first_after(uintptr_t addr)
{
	uint32_t low = 0, high = regions.count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (regions.table[middle].end <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool insert_at(uint32_t i, struct pg64_region region)
{
	if (regions.count == REGIONS_MAX) {
		pg64_count(PG64_C_skip_regions_full);
		return false;
	}
	memmove(&regions.table[i + 1], &regions.table[i],
		(regions.count - i) * sizeof(regions.table[0]));
	regions.table[i] = region;
	regions.count++;
	return true;
}

static void remove_locked(uintptr_t start, uintptr_t end)
{
	uint32_t i = first_after(start);

	while (i < regions.count && regions.table[i].start < end) {
		struct pg64_region *r = &regions.table[i];

		if (r->start < start && r->end > end) {
			struct pg64_region rest = *r;

			rest.start = end;
			r->end = start;
			insert_at(i + 1, rest);
			return;
		}
		if (r->start < start) {
			r->end = start;
			i++;
		} else if (r->end > end) {
			r->start = end;
			return;
		} else {
			regions.count--;
			memmove(r, r + 1, (regions.count - i) * sizeof(*r));
		}
	}
}

bool pg64_regions_add(uintptr_t addr, size_t len, enum pg64_mem kind, uint32_t fenced)
{
	struct pg64_region region = {addr, addr + len, kind, fenced};

	if (region.end <= region.start)
		return false;
	uint64_t signals = lock_table();
	remove_locked(region.start, region.end);
	bool added = insert_at(first_after(region.start), region);
	if (regions.low == 0 || region.start < regions.low)
		regions.low = region.start;
	if (region.end > regions.high)
		regions.high = region.end;
	unlock_table(signals);
	return added;
}

bool pg64_regions_full(void)
{
	return __atomic_load_n(&regions.count, __ATOMIC_RELAXED) >= REGIONS_MAX;
}

void pg64_regions_remove(uintptr_t addr, size_t len)
{
	if (!pg64_regions_maybe(addr, len))
		return;
	uint64_t signals = lock_table();
	remove_locked(addr, addr + len);
	unlock_table(signals);
}

bool pg64_regions_find(uintptr_t addr, size_t len, struct pg64_region *region)
{
	bool found = false;

	if (!pg64_regions_maybe(addr, len))
		return false;
	uint64_t signals = lock_table();
	uint32_t i = first_after(addr);
	if (i < regions.count && regions.table[i].start <= addr &&
		addr + len <= regions.table[i].end) {
		*region = regions.table[i];
		found = true;
	}
	unlock_table(signals);
	return found;
}

bool pg64_regions_next(uintptr_t addr, uintptr_t end, struct pg64_region *region)
{
	if (addr >= end || !pg64_regions_maybe(addr, end - addr))
		return false;
	uint64_t signals = lock_table();
	uint32_t i = first_after(addr);
	bool found = i < regions.count && regions.table[i].start < end;
	if (found)
		*region = regions.table[i];
	unlock_table(signals);
	return found;
}

bool pg64_regions_cuts(uintptr_t addr)
{
	struct pg64_region region;

	return !pg64_is_aligned(addr, PG64_GRANULE) && pg64_regions_find(addr, 1, &region) &&
	       region.start != addr;
}

/* What was blocked before the fork that holds the lock. */
static uint64_t signals_before_fork;

void pg64_regions_before_fork(void)
{
	uint64_t signals = pg64_sys_block_signals();

	pg64_lock_over_fork(&regions.lock);
	signals_before_fork = signals;
}

void pg64_regions_after_fork(void)
{
	uint64_t signals = signals_before_fork;

	pg64_unlock_after_fork(&regions.lock);
	pg64_sys_restore_signals(signals);
}
