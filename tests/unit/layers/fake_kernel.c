/* SPDX-License-Identifier: MIT */
/*
 * The fake kernel: see fake_kernel.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fake_kernel.h"

/* Properties of a page's VMA. */
#define VMA_MAPPED 1
#define VMA_READ 2
#define VMA_WRITE 4
#define VMA_SHARED 8
#define VMA_HUGE 16
#define VMA_64K 32
#define VMA_NAMED 64
#define VMA_RANDOM 128

struct page {
	uint8_t vma;
	uint8_t order;
	bool present;
	bool stranded;
};

struct fake_kernel fake;

static char *space;
static struct page *pages;
static size_t next_free; /* page index; mappings are placed upwards */

static void die(const char *what)
{
	fprintf(stderr, "fake kernel: %s\n", what);
	abort();
}

static size_t page_count(void)
{
	return FAKE_SPACE / pg64_page_bytes();
}

static void *real_map(void *addr, size_t len, int prot, int flags)
{
	void *p = mmap(addr, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);

	if (p == MAP_FAILED)
		die("no real memory");
	return p;
}

/* [*first, *end) are the pages of [addr, addr + len). False: outside the space. */
static bool range(const void *addr, size_t len, size_t *first, size_t *end)
{
	uintptr_t at = (uintptr_t)addr;

	if (at < (uintptr_t)space || at - (uintptr_t)space > FAKE_SPACE ||
		len > FAKE_SPACE - (at - (uintptr_t)space))
		return false;
	*first = (at - (uintptr_t)space) / pg64_page_bytes();
	*end = *first + pg64_align_up(len, pg64_page_bytes()) / pg64_page_bytes();
	return true;
}

static size_t index_of(const char *addr)
{
	size_t first, end;

	if (!range(addr, 1, &first, &end))
		die("address outside its space");
	return first;
}

static bool uniform(size_t first, size_t end)
{
	for (size_t i = first; i < end; i++)
		if (pages[i].vma != pages[first].vma)
			return false;
	return true;
}

static bool empty(size_t first, size_t end)
{
	for (size_t i = first; i < end; i++)
		if (pages[i].present)
			return false;
	return true;
}

static void fill(size_t first, size_t end, unsigned int order)
{
	for (size_t i = first; i < end; i++)
		pages[i] = (struct page){
			.vma = pages[i].vma, .order = (uint8_t)order, .present = true};
}

static void zap(size_t first, size_t end)
{
	size_t per_pmd = pg64_pmd_bytes() / pg64_page_bytes();

	for (size_t i = first; i < end; i++) {
		pages[i].stranded = pages[i].stranded ||
				    (pages[i].present && (size_t)1 << pages[i].order == per_pmd);
		pages[i].present = false;
	}
	/* A PMD-size page goes back once no part of it is mapped. */
	for (size_t s = first / per_pmd; s * per_pmd < end; s++)
		if (empty(s * per_pmd, (s + 1) * per_pmd))
			for (size_t i = s * per_pmd; i < (s + 1) * per_pmd; i++)
				pages[i].stranded = false;
}

/* Can the fault at page @i be served by @count pages, naturally aligned? */
static bool fits(size_t i, size_t count)
{
	size_t first = i / count * count;

	return uniform(first, first + count) && empty(first, first + count);
}

static void fault(size_t i)
{
	size_t page = pg64_page_bytes(), pmd = pg64_pmd_bytes() / page;
	size_t granule = PG64_GRANULE / page, count = 1;
	uint8_t vma = pages[i].vma;

	if (!(vma & VMA_WRITE))
		die("a write to memory that is not writable");
	if (pages[i].present)
		return;
	fake.faults++;
	if ((vma & VMA_HUGE) && fake.pmd && fits(i, pmd))
		count = pmd;
	else if ((vma & VMA_64K) && fits(i, granule))
		count = granule;
	else if ((vma & VMA_HUGE) && (vma & VMA_SHARED ? fake.shmem_mthp : fake.mthp) &&
		 fits(i, granule))
		count = granule;
	fill(i / count * count, i / count * count + count, (unsigned int)__builtin_ctzl(count));
}

static void account(size_t first, size_t end, uint8_t vma)
{
	size_t page = pg64_page_bytes();

	for (size_t i = first; i < end; i++) {
		if (pages[i].vma & VMA_MAPPED)
			fake.space -= page;
		if (pages[i].vma & VMA_WRITE)
			fake.writable -= page;
		if (vma & VMA_MAPPED)
			fake.space += page;
		if (vma & VMA_WRITE)
			fake.writable += page;
		pages[i].vma = vma;
	}
}

/* Bytes of [first, end) that have none of @flags yet. */
static size_t missing(size_t first, size_t end, uint8_t flags)
{
	size_t n = 0;

	for (size_t i = first; i < end; i++)
		n += !(pages[i].vma & flags);
	return n * pg64_page_bytes();
}

static size_t find_free(size_t count)
{
	size_t run = 0;

	for (size_t i = next_free; i < page_count(); i++) {
		run = pages[i].vma & VMA_MAPPED ? 0 : run + 1;
		if (run == count) {
			next_free = i + 1;
			return i + 1 - count;
		}
	}
	die("space used up");
	return 0;
}

static uint8_t vma_of(int prot, int flags)
{
	return (uint8_t)(VMA_MAPPED | (prot & PROT_READ ? VMA_READ : 0) |
			 (prot & PROT_WRITE ? VMA_WRITE : 0) |
			 (flags & MAP_SHARED ? VMA_SHARED : 0));
}

static void populate(size_t first, size_t end)
{
	for (size_t i = first; i < end; i++)
		if (fake.locked && (pages[i].vma & VMA_WRITE))
			fault(i);
}

static void *fake_mmap(void *addr, size_t len, int prot, int flags, int fd, long offset)
{
	size_t page = pg64_page_bytes(), first, end;
	bool fixed = flags & MAP_FIXED;

	(void)fd;
	(void)offset;
	fake.mmaps++;
	if (fixed && fake.fixed_error)
		return (void *)(intptr_t)fake.fixed_error;
	if (fixed && !range(addr, len, &first, &end))
		die("MAP_FIXED outside its space");
	if (!fixed) {
		if (len > fake.space_limit || fake.space > fake.space_limit - len)
			return (void *)(intptr_t)-ENOMEM;
		if (!addr || !range(addr, len, &first, &end) ||
			missing(first, end, VMA_MAPPED) != len)
			first = find_free(pg64_align_up(len, page) / page);
		end = first + pg64_align_up(len, page) / page;
	}
	if ((prot & PROT_WRITE) && fake.writable + (end - first) * page > fake.writable_limit)
		return (void *)(intptr_t)-ENOMEM;
	zap(first, end);
	account(first, end, vma_of(prot, flags));
	real_map(space + first * page, (end - first) * page, prot, MAP_FIXED);
	populate(first, end);
	return space + first * page;
}

static int fake_munmap(void *addr, size_t len)
{
	size_t first, end;

	fake.munmaps++;
	if (!range(addr, len, &first, &end) || !pg64_is_aligned((uintptr_t)addr, pg64_page_bytes()))
		die("munmap outside its space");
	zap(first, end);
	account(first, end, 0);
	real_map(addr, (end - first) * pg64_page_bytes(), PROT_NONE, MAP_FIXED);
	if (first < next_free)
		next_free = first;
	return 0;
}

static int fake_mprotect(void *addr, size_t len, int prot)
{
	size_t first, end;

	fake.mprotects++;
	if (!range(addr, len, &first, &end) || missing(first, end, VMA_MAPPED))
		return -ENOMEM;
	if ((prot & PROT_WRITE) &&
		fake.writable + missing(first, end, VMA_WRITE) > fake.writable_limit)
		return -ENOMEM;
	for (size_t i = first; i < end; i++)
		account(i, i + 1,
			(uint8_t)((pages[i].vma & ~(VMA_READ | VMA_WRITE)) | vma_of(prot, 0)));
	if (mprotect(addr, len, prot))
		die("mprotect");
	populate(first, end);
	return 0;
}

static int collapse(size_t first, size_t end)
{
	size_t per_pmd = pg64_pmd_bytes() / pg64_page_bytes();
	int last = 0;

	fake.now_ns += fake.drain_ns;
	if (fake.collapse_lies)
		return 0;
	for (size_t s = pg64_align_up(first, per_pmd); s + per_pmd <= end; s += per_pmd) {
		if (fake.stuck == space + s * pg64_page_bytes())
			last = fake.stuck_error;
		else if (!uniform(s, s + per_pmd) || !(pages[s].vma & VMA_WRITE) ||
			 empty(s, s + per_pmd))
			last = -EINVAL;
		else if ((size_t)1 << pages[s].order != per_pmd || !pages[s].present) {
			fake.now_ns += fake.collapse_ns;
			fill(s, s + per_pmd, (unsigned int)__builtin_ctzl(per_pmd));
		}
		if (last && last != -EAGAIN)
			break;
	}
	return last;
}

static void cold(size_t first, size_t end)
{
	size_t per_pmd = pg64_pmd_bytes() / pg64_page_bytes();

	for (size_t s = first / per_pmd; s * per_pmd < end; s++) {
		struct page *p = &pages[s * per_pmd];

		if ((size_t)1 << p->order != per_pmd || !p->present)
			continue;
		fake.split++;
		for (size_t i = 0; i < per_pmd; i++)
			p[i].order = 0;
	}
}

static void mark(size_t first, size_t end, uint8_t set, uint8_t clear)
{
	for (size_t i = first; i < end; i++)
		pages[i].vma = (uint8_t)((pages[i].vma & ~clear) | set);
}

static int fake_madvise(void *addr, size_t len, int advice)
{
	size_t first = 0, end = 0;

	fake.advised[advice & 255]++;
	if (fake.refuse[advice & 255])
		return fake.refuse[advice & 255];
	if (len && (!range(addr, len, &first, &end) || missing(first, end, VMA_MAPPED)))
		return -ENOMEM;
	switch (advice) {
	case MADV_DONTNEED:
		if (fake.locked && len)
			return -EINVAL;
		/* fall through */
	case FAKE_DONTNEED_LOCKED:
		zap(first, end);
		return madvise(addr, len, MADV_DONTNEED) ? -errno : 0;
	case MADV_HUGEPAGE:
		mark(first, end, VMA_HUGE, 0);
		return 0;
	case FAKE_PAGESIZE_64K:
		if (!pg64_is_aligned((uintptr_t)addr | len, PG64_GRANULE))
			return -EINVAL;
		mark(first, end, VMA_64K, 0);
		return fake.patched ? 0 : -EINVAL;
	case MADV_RANDOM:
		mark(first, end, VMA_RANDOM, 0);
		return 0;
	case MADV_NORMAL:
		mark(first, end, 0, VMA_RANDOM);
		return 0;
	case FAKE_COLD:
		cold(first, end);
		return 0;
	case FAKE_COLLAPSE:
		return len ? collapse(first, end) : 0;
	}
	return -EINVAL;
}

static int fake_mincore(void *addr, size_t len, unsigned char *vec)
{
	size_t first, end;

	fake.mincores++;
	if (fake.mincore_error)
		return fake.mincore_error;
	if (!range(addr, len, &first, &end) || missing(first, end, VMA_MAPPED))
		return -ENOMEM;
	for (size_t i = first; i < end; i++)
		vec[i - first] = pages[i].present;
	return 0;
}

static int fake_vma_name(void *addr, size_t len, const char *name)
{
	size_t first, end;

	fake.named++;
	if (!fake.names)
		return -EINVAL;
	if (fake.name_error)
		return fake.name_error;
	if (!range(addr, len, &first, &end) || missing(first, end, VMA_MAPPED))
		return -ENOMEM;
	mark(first, end, name ? VMA_NAMED : 0, VMA_NAMED);
	return 0;
}

static int fake_vma_count(const char *name)
{
	int count = 0;

	fake.vma_counts++;
	if (fake.fences_there)
		return fake.fences_there;
	for (size_t i = 1; i < next_free; i++)
		count += pages[i].vma && pages[i].vma != pages[i - 1].vma &&
			 (!name || (pages[i].vma & VMA_NAMED));
	return count;
}

static void fake_touch(char *addr)
{
	if (fake.in_touch)
		fake.in_touch(addr);
	fault(index_of(addr));
	__atomic_fetch_or(addr, 0, __ATOMIC_RELAXED);
}

static uint64_t fake_room(void)
{
	fake.rooms++;
	return fake.room;
}

static uint64_t fake_now_ns(void)
{
	return fake.now_ns;
}

static const struct pg64_page_os os = {
	.mmap = fake_mmap,
	.munmap = fake_munmap,
	.mprotect = fake_mprotect,
	.madvise = fake_madvise,
	.mincore = fake_mincore,
	.vma_name = fake_vma_name,
	.vma_count = fake_vma_count,
	.touch = fake_touch,
	.room = fake_room,
	.now_ns = fake_now_ns,
};

void fake_reset(void)
{
	if (!space) {
		char *p = real_map(NULL, FAKE_SPACE + PG64_GIB, PROT_NONE, 0);

		space = (char *)pg64_align_up((uintptr_t)p, PG64_GIB);
		pages = real_map(
			NULL, FAKE_SPACE / 4096 * sizeof(*pages), PROT_READ | PROT_WRITE, 0);
	}
	real_map(space, FAKE_SPACE, PROT_NONE, MAP_FIXED);
	madvise(pages, FAKE_SPACE / 4096 * sizeof(*pages), MADV_DONTNEED);
	/* Mappings start at an odd place, as they do on a real kernel. */
	next_free = 3;
	fake = (struct fake_kernel){.names = true,
		.space_limit = SIZE_MAX,
		.writable_limit = SIZE_MAX,
		.room = UINT64_MAX,
		.now_ns = 1000000000};
	pg64_page_set_os(&os);
}

char *fake_space(void)
{
	return space;
}

void fake_write(char *addr, size_t len, int value)
{
	size_t first, end;

	if (!range(addr, len, &first, &end))
		die("a write outside its space");
	if (!pg64_is_aligned((uintptr_t)addr, pg64_page_bytes()))
		end = index_of(addr + len - 1) + 1;
	for (size_t i = first; i < end; i++)
		fault(i);
	memset(addr, value, len);
}

void fake_drop(char *addr, size_t len)
{
	zap(index_of(addr), index_of(addr + len));
}

bool fake_is_mapped(const char *addr)
{
	return pages[index_of(addr)].vma & VMA_MAPPED;
}

bool fake_is_writable(const char *addr)
{
	return pages[index_of(addr)].vma & VMA_WRITE;
}

size_t fake_present(const char *addr, size_t len)
{
	size_t first = index_of(addr), n = 0;

	for (size_t i = first; i < first + len / pg64_page_bytes(); i++)
		n += pages[i].present;
	return n * pg64_page_bytes();
}

size_t fake_stranded(const char *addr, size_t len)
{
	size_t first = index_of(addr), n = 0;

	for (size_t i = first; i < first + len / pg64_page_bytes(); i++)
		n += pages[i].stranded && !pages[i].present;
	return n * pg64_page_bytes();
}

unsigned int fake_order(const char *addr)
{
	return pages[index_of(addr)].order;
}

bool fake_has_boundary(const char *addr, size_t len)
{
	size_t first = index_of(addr);

	return !uniform(first, first + len / pg64_page_bytes());
}

bool fake_is_advised(const char *addr)
{
	return pages[index_of(addr)].vma & (VMA_HUGE | VMA_64K);
}

bool fake_is_zero(const char *addr, size_t len)
{
	return len == 0 || (addr[0] == 0 && memcmp(addr, addr + 1, len - 1) == 0);
}
