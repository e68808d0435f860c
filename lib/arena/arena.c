/* SPDX-License-Identifier: MIT */
/*
 * The table of arenas, and spans taken from and given back to them.
 *
 * Spans are taken first fit, lowest address first, so that what is in use stays dense and an
 * arena's accessible part is a prefix of it. What happens to a span's pages is in commit.c.
 */
#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "arena/internal.h"
#include "arena/owner.h"
#include "base/args.h"
#include "base/counters.h"
#include "base/sys.h"
#include "page/page.h"

struct pg64_arena_state pg64_arenas;

/* Bitmaps of the first arena, so that a small program needs no mapping for them. */
#define FIRST_GRANULES (PG64_GIB / PG64_GRANULE)
static uint64_t first_meta[PG64_ARENA_MAPS * (FIRST_GRANULES / 64)];

/*
 * The first reservation. A program may set RLIMIT_AS for itself later, or call mlockall(), and then
 * pays for address space that it does not use.
 */
#define FIRST_BYTES (64 * PG64_MIB)

void pg64_arena_init(const struct pg64_config *config)
{
	struct pg64_arena_state *st = &pg64_arenas;

	st->arena_bytes = pg64_align_up(config->arena_size, PG64_SEGMENT);
	st->next_bytes = FIRST_BYTES;
	st->heap_min = config->heap_min;
	st->collapse_min = config->collapse_min;
	st->pmd_min = config->pmd == PG64_PMD_AUTO ? config->pmd_min : SIZE_MAX;
	pg64_promote_reset(0);
	/*
	 * Under RLIMIT_AS address space is a resource that the program budgets: take an eighth of
	 * it at a time.
	 */
	uint64_t limit = pg64_sys_rlimit(RLIMIT_AS);
	if (limit / 8 < st->arena_bytes)
		st->arena_bytes = pg64_align_up(limit / 8, PG64_SEGMENT);
	if (pg64_sys_rlimit(RLIMIT_DATA) != UINT64_MAX)
		__atomic_store_n(&st->exact, true, __ATOMIC_RELAXED);
}

/*
 * An address for a new arena that is most likely free: above what the kernel and other
 * allocators use by default, at a multiple of 1 GiB that differs from process to process
 * (AT_RANDOM), and ascending from there without gaps, so that arenas are one VMA. Only a hint:
 * the kernel puts the arena elsewhere where it is taken.
 */
static void *address_hint(struct pg64_arena_state *st, size_t len)
{
	if (st->next_hint == 0) {
		const void *random = (const void *)pg64_auxval(AT_RANDOM, 0);
		uint64_t r = 0;

		if (random)
			memcpy(&r, random, sizeof(r));
		r ^= r >> 29;
		st->next_hint = ((uint64_t)8 << 40) + (r % ((uint64_t)48 << 10)) * PG64_GIB;
	}
	void *hint = (void *)st->next_hint;
	st->next_hint += pg64_align_up(len, PG64_SEGMENT);
	return hint;
}

/* Reserve @len bytes aligned to PG64_SEGMENT. NULL: refused. */
static char *reserve_aligned(struct pg64_arena_state *st, size_t len)
{
	const struct pg64_page_os *os = pg64_page_os();
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS;

	char *p = os->mmap(address_hint(st, len), len, PROT_NONE, flags, -1, 0);
	if (pg64_sys_is_err(p))
		return NULL;
	if (pg64_is_aligned((uintptr_t)p, PG64_SEGMENT))
		return p;
	/* The hint was taken, or beyond this CPU's address space: align by hand. */
	os->munmap(p, len);
	size_t more = len + PG64_SEGMENT - pg64_page_bytes();
	p = os->mmap(NULL, more, PROT_NONE, flags, -1, 0);
	if (pg64_sys_is_err(p))
		return NULL;
	char *start = (char *)pg64_align_up((uintptr_t)p, PG64_SEGMENT);
	if (start > p)
		os->munmap(p, (size_t)(start - p));
	if (start + len < p + more)
		os->munmap(start + len, (size_t)(p + more - start - len));
	return start;
}

static char *reserve(struct pg64_arena_state *st, size_t len)
{
	char *start = reserve_aligned(st, len);

	/* 48 bits of address space on arm64: memory that free() would not know again is no use. */
	if (start && !pg64_owner_can(start + len - 1)) {
		pg64_page_os()->munmap(start, len);
		return NULL;
	}
	return start;
}

static uint64_t *meta_alloc(struct pg64_arena_state *st, size_t granules, size_t *len)
{
	size_t words = PG64_ARENA_MAPS * pg64_bits_words(granules);

	*len = 0;
	if (granules <= FIRST_GRANULES && !st->first_meta_used) {
		st->first_meta_used = true;
		return first_meta;
	}
	*len = pg64_align_up(words * sizeof(uint64_t), pg64_page_bytes());
	void *p = pg64_page_os()->mmap(
		NULL, *len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return pg64_sys_is_err(p) ? NULL : p;
}

static void meta_free(struct pg64_arena_state *st, uint64_t *meta, size_t len)
{
	if (meta != first_meta) {
		pg64_page_os()->munmap(meta, len);
		return;
	}
	memset(first_meta, 0, sizeof(first_meta));
	st->first_meta_used = false;
}

static struct arena *free_slot(struct pg64_arena_state *st)
{
	for (size_t i = 0; i < PG64_ARENAS_MAX; i++) {
		if (!st->table[i].start) {
			if (i >= st->count)
				__atomic_store_n(&st->count, i + 1, __ATOMIC_RELAXED);
			return &st->table[i];
		}
	}
	return NULL;
}

/* A new arena with room for @need bytes at least; smaller than configured where a limit says so. */
static struct arena *arena_new(struct pg64_arena_state *st, size_t need)
{
	struct arena *a = free_slot(st);
	size_t ahead = st->next_bytes < st->arena_bytes ? st->next_bytes : st->arena_bytes;
	size_t len = need > ahead ? need : ahead;
	char *start;

	if (!a)
		return NULL;
	while (!(start = reserve(st, len))) {
		pg64_count(PG64_C_fail_reserve);
		if (len == need)
			return NULL;
		len = pg64_align_down(len / 2, PG64_SEGMENT);
		if (len < need)
			len = need;
		st->arena_bytes = len < PG64_SEGMENT ? PG64_SEGMENT : len;
	}
	size_t granules = len / PG64_GRANULE, words = pg64_bits_words(granules);
	uint64_t *meta = meta_alloc(st, granules, &a->meta_len);
	if (!meta) {
		pg64_page_os()->munmap(start, len);
		return NULL;
	}
	if (len == ahead)
		st->next_bytes = 2 * ahead;
	a->granules = granules;
	a->used = meta;
	a->committed = meta + words;
	/* These have one bit for 32 granules or more, so one map's room is enough for all. */
	a->collapsed = meta + 2 * words;
	a->busy = a->collapsed + words / 8;
	a->aged = a->busy + words / 8;
	a->held = a->aged + words / 8;
	a->forked = a->held + words / 8;
	a->fenced = 0;
	a->asked = false;
	__atomic_store_n(&a->frontier, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&a->advised, false, __ATOMIC_RELAXED);
	__atomic_store_n(&a->start, start, __ATOMIC_RELEASE);
	pg64_count(PG64_C_heap_reserve);
	pg64_count_add(PG64_C_heap_reserved_bytes, len);
	return a;
}

void pg64_arena_release(struct arena *a)
{
	struct pg64_arena_state *st = &pg64_arenas;
	size_t len = a->granules * PG64_GRANULE;
	size_t stretches = len / pg64_pmd_bytes();

	/*
	 * The first one stays: a process that comes down to nothing will most likely go up again.
	 */
	if (a == &st->table[0] || !pg64_bits_none(a->used, 0, a->granules) ||
		!pg64_bits_none(a->busy, 0, stretches))
		return;
	/*
	 * Refused where it would split a VMA and there are too many: empty, it is as good as new.
	 */
	if (pg64_page_os()->munmap(a->start, len) < 0)
		return;
	__atomic_store_n(&a->start, NULL, __ATOMIC_RELEASE);
	meta_free(st, a->used, a->meta_len);
	pg64_count_add(PG64_C_heap_released_bytes, len);
	if (st->next_bytes > FIRST_BYTES)
		st->next_bytes /= 2;
}

static void *span_find(struct arena *a, size_t count, size_t align)
{
	size_t step = align / PG64_GRANULE;
	size_t base = (uintptr_t)a->start / PG64_GRANULE;
	size_t i = pg64_align_up(base, step) - base;

	while (i + count <= a->granules) {
		size_t taken = pg64_bits_next(a->used, i, i + count, true);
		if (taken == i + count) {
			pg64_bits_set(a->used, i, count);
			return a->start + i * PG64_GRANULE;
		}
		size_t next = pg64_bits_next(a->used, taken, a->granules, false);
		i = pg64_align_up(base + next, step) - base;
	}
	return NULL;
}

void *pg64_span_alloc(size_t len, size_t align)
{
	struct pg64_arena_state *st = &pg64_arenas;
	void *span = NULL;

	if (len == 0 || len > (size_t)1 << (PG64_OWNER_ADDRESS_BITS - 1) || align > len + PG64_GIB)
		return NULL;
	size_t count = pg64_align_up(len, PG64_GRANULE) / PG64_GRANULE;
	if (align < PG64_GRANULE)
		align = PG64_GRANULE;
	pg64_lock(&st->lock);
	for (size_t i = 0; i < st->count && !span; i++)
		if (st->table[i].start)
			span = span_find(&st->table[i], count, align);
	if (!span) {
		/*
		 * Arenas are aligned to PG64_SEGMENT; a stricter alignment needs room to move in.
		 */
		size_t need = pg64_align_up(count * PG64_GRANULE, PG64_SEGMENT);
		struct arena *a = arena_new(st, align > PG64_SEGMENT ? need + align : need);

		if (a)
			span = span_find(a, count, align);
	}
	pg64_unlock(&st->lock);
	return span;
}

struct arena *pg64_arena_of(const void *addr)
{
	struct pg64_arena_state *st = &pg64_arenas;

	for (size_t i = 0; i < st->count; i++) {
		struct arena *a = &st->table[i];
		if (a->start && (const char *)addr >= a->start &&
			(size_t)((const char *)addr - a->start) < a->granules * PG64_GRANULE)
			return a;
	}
	return NULL;
}

/* Take @count granules behind @end, if they are free. */
static bool take_behind(char *end, size_t count, char **start)
{
	struct pg64_arena_state *st = &pg64_arenas;
	bool done = false;

	pg64_lock(&st->lock);
	struct arena *a = pg64_arena_of(end - 1);
	if (a) {
		size_t first = (size_t)(end - a->start) / PG64_GRANULE;

		*start = a->start;
		done = first + count <= a->granules && pg64_bits_none(a->used, first, count);
		if (done)
			pg64_bits_set(a->used, first, count);
	}
	pg64_unlock(&st->lock);
	return done;
}

bool pg64_span_extend(void *end, size_t len)
{
	size_t count = pg64_align_up(len, PG64_GRANULE) / PG64_GRANULE;
	char *start;

	if (len == 0 || len > (size_t)1 << (PG64_OWNER_ADDRESS_BITS - 1) ||
		!take_behind(end, count, &start))
		return false;
	/* What is added to a sparse block will be sparse. */
	pg64_span_padded = pg64_page_wants_populate() && !pg64_ahead_is_filled(start, end);
	int ret = pg64_span_commit(end, len);
	pg64_span_padded = false;
	if (ret < 0)
		pg64_span_free(end, len);
	return ret == 0;
}

void pg64_span_free(void *span, size_t len)
{
	struct pg64_arena_state *st = &pg64_arenas;

	pg64_lock(&st->lock);
	struct arena *a = pg64_arena_of(span);
	if (a) {
		size_t first = (size_t)((char *)span - a->start) / PG64_GRANULE;
		size_t count = pg64_align_up(len, PG64_GRANULE) / PG64_GRANULE;

		/* What cannot be made to read as zero is not handed out again. */
		if (pg64_arena_decommit(a, first, count, true) == 0)
			pg64_bits_clear(a->used, first, count);
		pg64_arena_release(a);
	}
	pg64_unlock(&st->lock);
}

bool pg64_arena_is_exact(void)
{
	return __atomic_load_n(&pg64_arenas.exact, __ATOMIC_RELAXED);
}

void pg64_arena_totals(
	uint64_t *reserved, uint64_t *committed, uint64_t *advised, uint64_t *collapsed)
{
	struct pg64_arena_state *st = &pg64_arenas;
	size_t count = __atomic_load_n(&st->count, __ATOMIC_RELAXED);
	uint64_t asked = 0;

	for (size_t i = 0; i < count; i++) {
		struct arena *a = &st->table[i];
		if (__atomic_load_n(&a->start, __ATOMIC_ACQUIRE) &&
			__atomic_load_n(&a->advised, __ATOMIC_RELAXED))
			asked += __atomic_load_n(&a->frontier, __ATOMIC_RELAXED);
	}
	/*
	 * In this order: the difference must not become negative while others reserve and
	 * release.
	 */
	uint64_t released = pg64_counted(PG64_C_heap_released_bytes);
	*reserved = pg64_counted(PG64_C_heap_reserved_bytes) - released;
	*committed = __atomic_load_n(&st->committed_bytes, __ATOMIC_RELAXED);
	*advised = asked;
	*collapsed = __atomic_load_n(&st->collapsed_stretches, __ATOMIC_RELAXED) * pg64_pmd_bytes();
}

void pg64_arena_each(void (*visit)(void *context, uintptr_t start, size_t len), void *context)
{
	struct pg64_arena_state *st = &pg64_arenas;
	size_t count = __atomic_load_n(&st->count, __ATOMIC_RELAXED);

	for (size_t i = 0; i < count; i++) {
		char *start = __atomic_load_n(&st->table[i].start, __ATOMIC_ACQUIRE);
		size_t len = __atomic_load_n(&st->table[i].frontier, __ATOMIC_RELAXED);

		if (start && len)
			visit(context, (uintptr_t)start, len);
	}
}

void pg64_arena_before_fork(void)
{
	pg64_lock_over_fork(&pg64_arenas.lock);
	pg64_ahead_before_fork();
}

/* The threads that were collapsing stretches exist in the parent only. */
static void forget_busy(struct pg64_arena_state *st)
{
	for (size_t i = 0; i < st->count; i++) {
		struct arena *a = &st->table[i];

		if (a->start)
			pg64_bits_clear(a->busy, 0, a->granules * PG64_GRANULE / pg64_pmd_bytes());
	}
}

void pg64_arena_after_fork(bool child)
{
	struct pg64_arena_state *st = &pg64_arenas;

	/* Where nothing is promoted the clock, which others may interpose, is not asked. */
	if (st->pmd_min != SIZE_MAX)
		pg64_promote_forked();
	if (child) {
		forget_busy(st);
		/* It may be about to exec. */
		if (st->pmd_min != SIZE_MAX)
			pg64_promote_reset(1000000000);
	}
	pg64_ahead_after_fork();
	pg64_unlock_after_fork(&st->lock);
}
