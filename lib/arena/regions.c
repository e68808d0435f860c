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
#define JOINED_MAX (REGIONS_MAX / 2)

static struct {
	struct pg64_lock lock;
	uint32_t changes; /* odd: the table is being changed */
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

/*
 * Around changes, for those that look without the lock. A child that was forked in the middle of
 * one finds an odd number, so it is rounded here and not counted up.
 */
static void begin_change(void)
{
	__atomic_store_n(&regions.changes, regions.changes | 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void end_change(void)
{
	__atomic_store_n(&regions.changes, (regions.changes | 1) + 1, __ATOMIC_RELEASE);
}

/*
 * To look without the lock: what was read in between is true if begin_look() was even and
 * nothing_changed(). Until that is known it may be nonsense, but no index beyond the table.
 */
static uint32_t begin_look(void)
{
	return __atomic_load_n(&regions.changes, __ATOMIC_ACQUIRE);
}

static bool nothing_changed(uint32_t before)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return before % 2 == 0 && __atomic_load_n(&regions.changes, __ATOMIC_RELAXED) == before;
}

static uint32_t region_count(void)
{
	return __atomic_load_n(&regions.count, __ATOMIC_RELAXED);
}

static struct pg64_region region_at(uint32_t i)
{
	struct pg64_region *r = &regions.table[i];

	return (struct pg64_region){.start = __atomic_load_n(&r->start, __ATOMIC_RELAXED),
		.end = __atomic_load_n(&r->end, __ATOMIC_RELAXED),
		.kind = __atomic_load_n(&r->kind, __ATOMIC_RELAXED),
		.fenced = __atomic_load_n(&r->fenced, __ATOMIC_RELAXED)};
}

/* Index of the first region that ends after @addr. */
static uint32_t first_after(uintptr_t addr)
{
	uint32_t low = 0, high = region_count();

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (__atomic_load_n(&regions.table[middle].end, __ATOMIC_RELAXED) <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The first region that ends after @addr, if it starts before @end. */
static bool first_in(uintptr_t addr, uintptr_t end, struct pg64_region *region)
{
	uint32_t i = first_after(addr);

	if (i >= region_count())
		return false;
	*region = region_at(i);
	return region->start < end;
}

/* Does a region touch [addr, end)? Without the lock: in doubt yes. */
static bool seems_touched(uintptr_t addr, uintptr_t end)
{
	uint32_t before = begin_look();
	struct pg64_region region;
	bool touched = first_in(addr, end, &region);

	return touched || !nothing_changed(before);
}

/* An empty range, or one that wraps around, is nothing that the kernel would touch. */
static bool in_hull(uintptr_t addr, uintptr_t end)
{
	return addr < regions.high && end > regions.low && end > addr;
}

bool pg64_regions_maybe(uintptr_t addr, size_t len)
{
	return in_hull(addr, addr + len) && seems_touched(addr, addr + len);
}

static bool insert_at(uint32_t i, struct pg64_region region)
{
	uint32_t max = region.kind == PG64_REGION_RESERVED ? JOINED_MAX : REGIONS_MAX;

	if (regions.count >= max) {
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
			/* Of a reservation that may not be cut any more the larger part is kept. */
			if (!insert_at(i + 1, rest) && rest.kind == PG64_REGION_RESERVED &&
				rest.end - rest.start > r->end - r->start)
				*r = rest;
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

static bool same_sort(const struct pg64_region *a, const struct pg64_region *b)
{
	return a->kind == b->kind && a->fenced == b->fenced;
}

static bool alike(const struct pg64_region *a, const struct pg64_region *b)
{
	return a->end == b->start && same_sort(a, b);
}

/*
 * Will there be no more regions than now once @region is joined, or few enough? Told before
 * anything is changed: what it lies in must not be cut for nothing. Lock held.
 */
static bool may_join(const struct pg64_region *region)
{
	const struct pg64_region *table = regions.table;
	uint32_t first = first_after(region->start), last = first;

	while (last < regions.count && table[last].start < region->end)
		last++;
	uint32_t count = regions.count - (last - first) + 1;
	/* On each side: the rest of what is cut, or a neighbour. */
	if (first < last && table[first].start < region->start)
		count += !same_sort(&table[first], region);
	else if (first > 0)
		count -= alike(&table[first - 1], region);
	if (first < last && table[last - 1].end > region->end)
		count += !same_sort(&table[last - 1], region);
	else if (last < regions.count)
		count -= alike(region, &table[last]);
	return count <= regions.count || count <= JOINED_MAX;
}

static bool join_at(uint32_t i, struct pg64_region region)
{
	struct pg64_region *table = regions.table;
	bool before = i > 0 && alike(&table[i - 1], &region);
	bool after = i < regions.count && alike(&region, &table[i]);

	if (before && after) {
		table[i - 1].end = table[i].end;
		regions.count--;
		memmove(&table[i], &table[i + 1], (regions.count - i) * sizeof(*table));
	} else if (before) {
		table[i - 1].end = region.end;
	} else if (after) {
		table[i].start = region.start;
	} else {
		return insert_at(i, region);
	}
	return true;
}

static bool put_locked(struct pg64_region region, bool joins)
{
	if (joins && !may_join(&region)) {
		pg64_count(PG64_C_skip_regions_full);
		return false;
	}
	begin_change();
	remove_locked(region.start, region.end);
	uint32_t i = first_after(region.start);
	bool added = joins ? join_at(i, region) : insert_at(i, region);
	if (regions.low == 0 || region.start < regions.low)
		regions.low = region.start;
	if (region.end > regions.high)
		regions.high = region.end;
	end_change();
	return added;
}

static bool put(struct pg64_region region, bool joins)
{
	if (region.end <= region.start)
		return false;
	uint64_t signals = lock_table();
	bool added = put_locked(region, joins);
	unlock_table(signals);
	return added;
}

bool pg64_regions_add(uintptr_t addr, size_t len, enum pg64_mem kind, uint32_t fenced)
{
	return put((struct pg64_region){addr, addr + len, kind, fenced}, false);
}

bool pg64_regions_join(uintptr_t addr, size_t len, uint32_t kind, uint32_t fenced)
{
	return put((struct pg64_region){addr, addr + len, kind, fenced}, true);
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
	begin_change();
	remove_locked(addr, addr + len);
	end_change();
	unlock_table(signals);
}

bool pg64_regions_find(uintptr_t addr, size_t len, struct pg64_region *region)
{
	return pg64_regions_next(addr, addr + len, region) && region->start <= addr &&
	       addr + len <= region->end;
}

bool pg64_regions_next(uintptr_t addr, uintptr_t end, struct pg64_region *region)
{
	if (!in_hull(addr, end))
		return false;
	uint32_t before = begin_look();
	bool found = first_in(addr, end, region);
	if (nothing_changed(before))
		return found;
	uint64_t signals = lock_table();
	found = first_in(addr, end, region);
	unlock_table(signals);
	return found;
}

static bool cuts(uintptr_t addr)
{
	struct pg64_region region;

	return !pg64_is_aligned(addr, PG64_GRANULE) && first_in(addr, addr, &region) &&
	       region.kind != PG64_REGION_RESERVED;
}

/* Is all of [addr, end) in regions that may be advised, from index @i on? */
static bool all_ours(uint32_t i, uintptr_t addr, uintptr_t end)
{
	while (addr < end) {
		if (i >= region_count())
			return false;
		struct pg64_region r = region_at(i++);
		if (r.start > addr || (r.kind != PG64_MEM_ANON && r.kind != PG64_REGION_RESERVED))
			return false;
		addr = r.end;
	}
	return true;
}

static bool look_at(uintptr_t addr, uintptr_t end, struct pg64_look *look)
{
	if (!first_in(addr, end, &look->first))
		return false;
	look->whole = look->first.start <= addr && end <= look->first.end;
	look->ours = all_ours(first_after(addr), addr, end);
	look->cut = cuts(addr) || cuts(end);
	return true;
}

bool pg64_regions_look(uintptr_t addr, uintptr_t end, struct pg64_look *look)
{
	if (!in_hull(addr, end))
		return false;
	uint32_t before = begin_look();
	bool found = look_at(addr, end, look);
	if (nothing_changed(before))
		return found;
	uint64_t signals = lock_table();
	found = look_at(addr, end, look);
	unlock_table(signals);
	return found;
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
