/* SPDX-License-Identifier: MIT */
/*
 * Advising memory where it lies.
 *
 * Managed runtimes choose addresses themselves: they reserve address space that is inaccessible,
 * and commit parts of it by MAP_FIXED (HotSpot) or mprotect() (V8). Nothing can be placed there,
 * but a reservation is large, so what is committed consists of whole granules for the most part.
 *
 * Advice makes no VMA that the program has not made: it goes to exactly the range that a call of
 * the program has just set apart, however small, so that pieces that grow step by step go on
 * being one VMA. What is closed again keeps its advice, and is no longer one VMA with the
 * reservation; pg64_regions_join() bounds how many of these there can be.
 */
#include <sys/mman.h>

#include "arena/regions.h"
#include "base/counters.h"
#include "inplace.h"
#include "page/page.h"
#include "preload.h"

#define RW (PROT_READ | PROT_WRITE)

static bool takes_advice(enum pg64_backend backend)
{
	return backend == PG64_BACKEND_PATCHED || backend == PG64_BACKEND_MTHP;
}

static void advise(uintptr_t addr, size_t len, enum pg64_counter counter)
{
	if (!takes_advice(pg64_page_backend(PG64_MEM_ANON))) {
		pg64_count(PG64_C_skip_base);
		pg64_regions_remove(addr, len);
		return;
	}
	bool fence = pg64_page_needs_fence(PG64_MEM_ANON);
	/* As in mmap(): nothing is advised that is not remembered. */
	if (!pg64_regions_join(addr, len, PG64_MEM_ANON, fence))
		return;
	if (pg64_page_advise_once((void *)addr, len, PG64_MEM_ANON) < 0) {
		pg64_regions_remove(addr, len);
		return;
	}
	if (fence)
		pg64_page_fence((void *)addr, len);
	pg64_count(counter);
	pg64_count_add(PG64_C_mmap_advised_bytes, len);
}

/*
 * The backend is chosen now and not when the memory is opened: by then a sandbox may not let it be
 * probed. True: remembered, or it is counted why not.
 */
static bool reserve(uintptr_t addr, size_t len)
{
	if (takes_advice(pg64_page_backend(PG64_MEM_ANON)))
		return pg64_regions_join(addr, len, PG64_REGION_RESERVED, 0);
	pg64_count(PG64_C_skip_base);
	return true;
}

static bool has_granule(uintptr_t addr, size_t len)
{
	return pg64_align_up(addr, PG64_GRANULE) + PG64_GRANULE <= addr + len;
}

/* Advice is a VMA's, and this one is new. */
static bool advise_again(const struct pg64_region *region, uintptr_t addr, size_t len)
{
	if (pg64_page_advise_once((void *)addr, len, region->kind) == 0)
		pg64_count(PG64_C_fixed_readvised);
	if (region->fenced == 1)
		pg64_page_fence((void *)addr, len);
	return true;
}

/* A new mapping where @look was. False: it has nothing to do with that any more. */
static bool mapped_over(
	const struct pg64_look *look, uintptr_t addr, size_t len, int prot, bool shared)
{
	uint32_t kind = look->first.kind;

	if (shared && look->whole && kind == PG64_MEM_SHARED)
		return !has_granule(addr, len) || advise_again(&look->first, addr, len);
	if (shared || !look->ours)
		return false;
	/* What is closed may be opened again, and then should be like what is around it. */
	if (prot == PROT_NONE)
		return (look->whole && kind == PG64_REGION_RESERVED) || reserve(addr, len);
	if (look->whole && kind == PG64_MEM_ANON)
		return advise_again(&look->first, addr, len);
	if (prot == RW)
		advise(addr, len, PG64_C_fixed_advised);
	return prot == RW || (look->whole && kind == PG64_REGION_RESERVED);
}

static bool is_plain(int prot, int flags)
{
	return (flags & (MAP_ANONYMOUS | PG64_MAP_APART)) == MAP_ANONYMOUS && !(prot & PROT_EXEC);
}

bool pg64_inplace_advises(uintptr_t addr, size_t len, int prot, int flags)
{
	bool shared = flags & MAP_SHARED;
	struct pg64_look look;

	if (!(flags & MAP_FIXED) || prot != RW || !is_plain(prot, flags) ||
		!pg64_regions_look(addr, addr + len, &look))
		return false;
	if (shared &&
		(!look.whole || look.first.kind != PG64_MEM_SHARED || !has_granule(addr, len)))
		return false;
	return (shared || look.ours) &&
	       takes_advice(pg64_page_backend(shared ? PG64_MEM_SHARED : PG64_MEM_ANON));
}

bool pg64_inplace_mapped(uintptr_t addr, size_t len, int prot, int flags)
{
	bool plain = is_plain(prot, flags), shared = flags & MAP_SHARED;
	struct pg64_look look;

	if (plain && pg64_regions_look(addr, addr + len, &look) &&
		mapped_over(&look, addr, len, prot, shared))
		return true;
	pg64_regions_remove(addr, len);
	/* Elsewhere advice could part what the program has as one VMA: only space is remembered. */
	return plain && !shared && prot == PROT_NONE && len >= pg64_process.config.mmap_min &&
	       has_granule(addr, len) && reserve(addr, len);
}

void pg64_inplace_protected(uintptr_t addr, size_t len, int prot)
{
	uintptr_t end = addr + len;
	struct pg64_look look;

	if (!pg64_regions_look(addr, end, &look))
		return;
	if (look.cut)
		pg64_count(PG64_C_demote_mprotect);
	if (prot != RW && !(prot & PROT_EXEC))
		return;
	struct pg64_region region = look.first;
	do {
		uintptr_t from = region.start > addr ? region.start : addr;
		uintptr_t to = region.end < end ? region.end : end;

		/* Code is left alone, also while it is being written. */
		if (region.kind == PG64_REGION_RESERVED && (prot & PROT_EXEC))
			pg64_regions_remove(from, to - from);
		else if (region.kind == PG64_REGION_RESERVED)
			advise(from, to - from, PG64_C_opened_advised);
		addr = region.end;
	} while (addr < end && pg64_regions_next(addr, end, &region));
}
