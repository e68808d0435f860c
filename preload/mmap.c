/* SPDX-License-Identifier: MIT */
/*
 * The mmap family. A mapping that pg64 can help is placed on a 64 KiB boundary and advised, or
 * advised where it lies in remembered memory (inplace.c); every other call goes to the kernel
 * unchanged, and the reason is counted.
 *
 * Never changed: a mapping's length, a caller's address, a file mapping, a MAP_HUGETLB attempt
 * (PostgreSQL tries one first and must see it fail).
 */
/*
 * With it the header would turn the definition of mmap into one of mmap64. off_t has 64 bits
 * anyway.
 */
#undef _FILE_OFFSET_BITS

#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "arena/regions.h"
#include "base/counters.h"
#include "base/sys.h"
#include "heap/heap.h"
#include "inplace.h"
#include "page/page.h"
#include "place.h"
#include "preload.h"
#include "remap.h"

#define PG64_MADV_POPULATE_WRITE 23
#define PG64_MADV_COLLAPSE 25

static void *result(void *p)
{
	if (pg64_sys_is_err(p)) {
		errno = -pg64_sys_err(p);
		return MAP_FAILED;
	}
	return p;
}

static int status(int ret)
{
	if (ret < 0) {
		errno = -ret;
		return -1;
	}
	return ret;
}

/* Why this mapping is passed through, or PG64_COUNTERS: it is ours to help. */
static enum pg64_counter why_not(size_t len, int prot, int flags, off_t offset)
{
	if (!(flags & MAP_ANONYMOUS))
		return PG64_C_skip_file;
	/* Zero and what wraps around are for the kernel to refuse. */
	if (len < pg64_process.config.mmap_min || len < PG64_GRANULE ||
		len > SIZE_MAX - PG64_GRANULE)
		return PG64_C_skip_small;
	if (flags & PG64_MAP_APART)
		return PG64_C_skip_flags;
	if (prot != (PROT_READ | PROT_WRITE))
		return PG64_C_skip_prot;
	/* Of no use, but for the kernel to judge; and lengths that wrap around. */
	if (offset || len > SIZE_MAX - PG64_GRANULE)
		return PG64_C_skip_flags;
	if (pg64_regions_full())
		return PG64_C_skip_regions_full;
	return PG64_COUNTERS;
}

/* Only for a moment: the mapping is nobody's yet. */
static void touch_before_fences(char *p, size_t len)
{
	if (len < pg64_pmd_bytes())
		return;
	if (pg64_page_touch_apart(p, len) == 0)
		pg64_sys_madvise(p, pg64_page_bytes(), MADV_DONTNEED);
}

static void advise(void *p, size_t len, enum pg64_mem kind)
{
	/* However small: neighbours of the same sort become one VMA. */
	bool fence = pg64_page_needs_fence(kind);

	/* A fenced mapping that nobody remembers could not be resized any more. */
	if (!pg64_regions_add((uintptr_t)p, len, kind, fence))
		return;
	if (fence)
		touch_before_fences(p, len);
	if (pg64_page_advise(p, len, kind) == PG64_BACKEND_BASE) {
		pg64_regions_remove((uintptr_t)p, len);
		return;
	}
	if (fence)
		pg64_page_fence(p, len);
	if (!pg64_is_aligned((uintptr_t)p, PG64_GRANULE))
		pg64_count(PG64_C_skip_unaligned);
	pg64_count(PG64_C_mmap_advised);
	pg64_count_add(
		kind == PG64_MEM_SHARED ? PG64_C_shared_advised_bytes : PG64_C_mmap_advised_bytes,
		len);
}

/*
 * A shared mapping's folios are aligned in its file, so address and offset must be congruent:
 * reserve first, then map over the aligned address.
 */
static void *map_shared(size_t len, int prot, int flags)
{
	size_t whole = pg64_align_up(len, pg64_page_bytes());
	void *target = pg64_place_reserve(whole);

	if (pg64_sys_is_err(target))
		return pg64_sys_mmap(NULL, len, prot, flags, -1, 0);
	void *p = pg64_sys_mmap(target, len, prot, flags | MAP_FIXED, -1, 0);
	if (pg64_sys_is_err(p))
		pg64_place_give_back(target, whole, whole);
	return p;
}

/* MAP_POPULATE, which must come after the advice; best effort, as the flag is (Linux >= 5.14). */
static void populate(char *p, size_t len, int flags)
{
	char *end = p + pg64_align_up(len, pg64_page_bytes());

	if ((flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE &&
		pg64_sys_madvise(p, (size_t)(end - p), PG64_MADV_POPULATE_WRITE) == -EINVAL)
		for (; p < end; p += pg64_page_bytes())
			pg64_page_os()->touch(p);
}

static void *map_helped(void *hint, size_t len, int prot, int flags)
{
	enum pg64_mem kind = flags & MAP_SHARED ? PG64_MEM_SHARED : PG64_MEM_ANON;
	enum pg64_backend backend = pg64_page_backend(kind);
	int quiet = flags & ~MAP_POPULATE;

	if (backend == PG64_BACKEND_BASE || backend == PG64_BACKEND_COLLAPSE) {
		pg64_count(PG64_C_skip_base);
		return pg64_sys_mmap(hint, len, prot, flags, -1, 0);
	}
	void *p = hint			    ? pg64_sys_mmap(hint, len, prot, quiet, -1, 0)
		  : kind == PG64_MEM_SHARED ? map_shared(len, prot, quiet)
					    : pg64_place_anon(len, prot, quiet);
	if (pg64_sys_is_err(p))
		return p;
	advise(p, pg64_align_up(len, pg64_page_bytes()), kind);
	populate(p, len, flags);
	return p;
}

/* Is its address, or a wish for one, the program's? A heap engine's own hint is none. */
static bool is_placed(const void *addr, int flags)
{
	return (addr && !pg64_heap_maps_itself) || (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE));
}

PG64_EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	if (!pg64_serves_mmap()) {
		void *p = pg64_sys_mmap(addr, len, prot, flags, fd, offset);
		if (!pg64_sys_is_err(p) && (flags & MAP_FIXED))
			pg64_regions_remove((uintptr_t)p, pg64_align_up(len, pg64_page_bytes()));
		return result(p);
	}
	enum pg64_counter why = why_not(len, prot, flags, offset);
	bool fit = why == PG64_COUNTERS;
	if (fit && !is_placed(addr, flags))
		return result(map_helped(addr, len, prot, flags));
	size_t whole = pg64_align_up(len, pg64_page_bytes());
	bool late =
		(flags & MAP_POPULATE) && pg64_inplace_advises((uintptr_t)addr, whole, prot, flags);
	void *p = pg64_sys_mmap(addr, len, prot, late ? flags & ~MAP_POPULATE : flags, fd, offset);
	if (pg64_sys_is_err(p) || !pg64_inplace_mapped((uintptr_t)p, whole, prot, flags))
		pg64_count(fit ? PG64_C_skip_hint : why);
	if (late && !pg64_sys_is_err(p))
		populate(p, len, flags);
	return result(p);
}

PG64_EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
	__attribute__((alias("mmap")));

/* Count a boundary inside a granule of a region; whole granules are nobody's loss. */
static void count_cut(void *addr, size_t len, enum pg64_counter counter)
{
	uintptr_t start = (uintptr_t)addr, end = pg64_align_up(start + len, pg64_page_bytes());
	struct pg64_look look;

	if (pg64_is_aligned(start | end, PG64_GRANULE))
		return;
	if (pg64_regions_look(start, end, &look) && look.cut)
		pg64_count(counter);
}

PG64_EXPORT int munmap(void *addr, size_t len)
{
	/* With or without pg64's mmap(): pg64_advise() makes regions too. */
	if (pg64_is_aligned((uintptr_t)addr, pg64_page_bytes()) &&
		pg64_regions_maybe((uintptr_t)addr, len)) {
		count_cut(addr, len, PG64_C_demote_munmap);
		/* Before the call: after it another thread may map and add the same addresses. */
		pg64_regions_remove((uintptr_t)addr, pg64_align_up(len, pg64_page_bytes()));
	}
	return status(pg64_sys_munmap(addr, len));
}

static void *remap_unknown(void *old, size_t whole, size_t new_len, int flags, void *target)
{
	void *p = pg64_sys_mremap(old, whole, new_len, flags, target);

	if (!pg64_sys_is_err(p)) {
		pg64_regions_remove((uintptr_t)old, whole);
		pg64_regions_remove((uintptr_t)p, pg64_align_up(new_len, pg64_page_bytes()));
	}
	return p;
}

PG64_EXPORT void *mremap(void *old, size_t old_len, size_t new_len, int flags, ...)
{
	struct pg64_region region;
	void *target = NULL;

	if (flags & (MREMAP_FIXED | PG64_MREMAP_DONTUNMAP)) {
		va_list args;
		va_start(args, flags);
		target = va_arg(args, void *);
		va_end(args);
	}
	size_t whole = pg64_align_up(old_len, pg64_page_bytes());
	if (whole == 0)
		return result(pg64_sys_mremap(old, old_len, new_len, flags, target));
	/* Without pg64's mmap() there still can be regions, those of pg64_advise(). */
	void *p = pg64_serves_mmap() && pg64_regions_find((uintptr_t)old, whole, &region) &&
				  region.kind != PG64_REGION_RESERVED
			  ? pg64_remap(old, whole, new_len, flags, target, &region)
			  : remap_unknown(old, whole, new_len, flags, target);
	if (pg64_sys_is_err(p) && pg64_sys_err(p) == -EFAULT &&
		pg64_regions_maybe((uintptr_t)old, whole))
		p = pg64_remap_pieces(old, whole, new_len, flags, target);
	return result(p);
}

PG64_EXPORT int mprotect(void *addr, size_t len, int prot)
{
	int ret = pg64_sys_mprotect(addr, len, prot);

	if (ret == 0 && pg64_serves_mmap() && pg64_regions_maybe((uintptr_t)addr, len))
		pg64_inplace_protected(
			(uintptr_t)addr, pg64_align_up(len, pg64_page_bytes()), prot);
	return status(ret);
}

/* Nothing is done for this range any more; but where it is several VMAs must be kept in mind. */
static void leave_to_program(uintptr_t addr, size_t len)
{
	struct pg64_region region;
	uintptr_t end = addr + len;

	while (pg64_regions_next(addr, end, &region)) {
		if (region.start < addr)
			region.start = addr;
		if (region.end > end)
			region.end = end;
		len = region.end - region.start;
		if (region.fenced == 1)
			pg64_page_unfence((void *)region.start, len);
		if (region.fenced)
			pg64_regions_add(region.start, len, PG64_MEM_KINDS, region.fenced);
		else
			pg64_regions_remove(region.start, len);
		addr = region.end;
	}
}

/* The program has a policy of its own for this range, which wins. */
static void before_advice(void *addr, size_t len, int advice)
{
	if (!pg64_regions_maybe((uintptr_t)addr, len))
		return;
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_FREE:
		count_cut(addr, len, PG64_C_demote_madvise);
		break;
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case PG64_MADV_COLLAPSE:
		pg64_count(PG64_C_skip_user_advice);
		if (pg64_is_aligned((uintptr_t)addr, pg64_page_bytes()))
			leave_to_program((uintptr_t)addr, pg64_align_up(len, pg64_page_bytes()));
		break;
	}
}

PG64_EXPORT int madvise(void *addr, size_t len, int advice)
{
	before_advice(addr, len, advice);
	return status(pg64_sys_madvise(addr, len, advice));
}

/* As in glibc: POSIX_MADV_DONTNEED must not destroy data, so it does nothing. Returns the error. */
PG64_EXPORT int posix_madvise(void *addr, size_t len, int advice)
{
	if (advice == POSIX_MADV_DONTNEED)
		return 0;
	return -pg64_sys_madvise(addr, len, advice);
}
