/* SPDX-License-Identifier: MIT */
/*
 * What arenas ask of the kernel, when, and how much: thresholds, growth, limits, collapsing.
 */
#include <errno.h>
#include <sys/mman.h>

#include "arena/arena.h"
#include "arena/internal.h"
#include "arena/owner.h"
#include "arena_setup.h"
#include "base/counters.h"

#define STRETCH (pg64_pmd_bytes())

/* A span that is in use, granule by granule as the engine commits a growing heap. */
static char *used_span(size_t len)
{
	char *p = pg64_span_alloc(len, PG64_SEGMENT);

	REQUIRE(p);
	for (size_t at = 0; at < len; at += PG64_GRANULE)
		REQUIRE(pg64_span_commit(p + at, PG64_GRANULE) == 0);
	return p;
}

static void small_heaps_ask_nothing(void)
{
	arenas(PG64_BACKEND_MTHP, 2 * PG64_MIB, 0);
	fake.pmd = true;
	char *p = pg64_span_alloc(32 * PG64_MIB, PG64_SEGMENT);
	for (size_t at = 0; at < 2 * PG64_MIB; at += PG64_GRANULE)
		CHECK_EQ(pg64_span_commit(p + at, PG64_GRANULE), 0);
	CHECK_EQ(fake.advised[MADV_HUGEPAGE], 0);
	CHECK_EQ(totals().advised, 0);
	CHECK_EQ(pg64_counted(PG64_C_heap_small_bytes), 2 * PG64_MIB);
	/* Past it the whole arena is advised, once. */
	CHECK_EQ(pg64_span_commit(p + 2 * PG64_MIB, PG64_GRANULE), 0);
	CHECK_EQ(fake.advised[MADV_HUGEPAGE], 1);
	CHECK(fake_is_advised(pg64_arenas.table[0].start + PG64_GIB - 1));
	for (size_t at = 0; at < 32 * PG64_MIB; at += PG64_GRANULE)
		CHECK_EQ(pg64_span_commit(p + at, PG64_GRANULE), 0);
	CHECK_EQ(fake.advised[MADV_HUGEPAGE], 1);
	CHECK_EQ(pg64_counted(PG64_C_heap_advised_bytes), 30 * PG64_MIB);
	CHECK_EQ(pg64_counted(PG64_C_heap_small_bytes), 2 * PG64_MIB);
	/* A second arena is asked for on its first commit. */
	char *q = pg64_span_alloc(PG64_GIB, PG64_SEGMENT);
	CHECK_EQ(pg64_span_commit(q, PG64_GRANULE), 0);
	CHECK_EQ(fake.advised[MADV_HUGEPAGE], 2);
	CHECK(totals().advised >= totals().committed);
}

static void reservations_double(void)
{
	struct pg64_config config = arenas(PG64_BACKEND_BASE, 0, 0);
	size_t reserved = 0;

	pg64_arena_init(&config);
	for (size_t next = 64 * PG64_MIB; next <= PG64_GIB; next *= 2) {
		CHECK(pg64_span_alloc(32 * PG64_MIB, PG64_SEGMENT));
		reserved += next;
		CHECK_EQ(totals().reserved, reserved);
		CHECK(pg64_span_alloc(next - 32 * PG64_MIB, PG64_SEGMENT));
		CHECK_EQ(totals().reserved, reserved);
	}
	/* No further than what is configured. */
	CHECK(pg64_span_alloc(PG64_GRANULE, PG64_GRANULE));
	CHECK_EQ(totals().reserved, reserved + PG64_GIB);
}

static void heap_is_fenced(void)
{
	arenas(PG64_BACKEND_MTHP, 2 * PG64_MIB, 0);
	fake.pmd = true;
	pg64_page_reset();
	char *p = used_span(64 * PG64_MIB);
	fake.faults = 0;
	fake_write(p + 4 * PG64_MIB, 60 * PG64_MIB, 1);
	CHECK_EQ(fake.faults, 60 * PG64_MIB / PG64_GRANULE);
	/* In exact mode each piece that is given back loses its fences, and gets them again. */
	pg64_arenas.exact = true;
	for (int i = 0; i < 100; i++) {
		size_t at = test_below(1024) * PG64_GRANULE,
		       len = PG64_GRANULE * (1 + test_below(64));
		if (at + len > 64 * PG64_MIB)
			continue;
		pg64_span_decommit(p + at, len);
	}
	pg64_span_decommit(p + 4 * PG64_MIB, 60 * PG64_MIB);
	fake.faults = 0;
	CHECK_EQ(pg64_span_commit(p + 4 * PG64_MIB, 60 * PG64_MIB), 0);
	fake_write(p + 4 * PG64_MIB, 60 * PG64_MIB, 1);
	CHECK_EQ(fake.faults, 60 * PG64_MIB / PG64_GRANULE);
}

static void frontier_grows_ahead(void)
{
	arenas(PG64_BACKEND_BASE, 0, 0);
	char *start = used_span(PG64_GRANULE);
	CHECK_EQ(fake.writable, PG64_MIB);
	CHECK_EQ(fake.mprotects, 1);
	used_span(512 * PG64_MIB);
	/* Doubling, and by no more than 32 MiB ahead of its use. */
	CHECK(fake.mprotects <= 6 + 512 / 32);
	size_t end = 32 * PG64_MIB + 512 * PG64_MIB;
	CHECK(fake.writable >= end && fake.writable <= end + 32 * PG64_MIB);
	/* Accessible memory is a prefix: two VMAs. */
	CHECK(!fake_has_boundary(start, fake.writable));
	CHECK(!fake_has_boundary(start + fake.writable, PG64_GIB - fake.writable));
	/* To the very end of the arena, not past it. */
	used_span(480 * PG64_MIB);
	CHECK_EQ(fake.writable, PG64_GIB);
}

/* overcommit_memory=2, RLIMIT_DATA: what is ahead is refused, what is needed is not. */
static void refusal_makes_it_exact(void)
{
	arenas(PG64_BACKEND_BASE, 0, 0);
	fake.writable_limit = PG64_MIB;
	char *p = used_span(PG64_MIB);
	CHECK(!pg64_arenas.exact);
	CHECK_EQ(pg64_counted(PG64_C_fail_commit), 0);
	fake.writable_limit = PG64_MIB + 2 * PG64_GRANULE;
	char *q = pg64_span_alloc(PG64_MIB, PG64_GRANULE);
	CHECK_EQ(pg64_span_commit(q, 2 * PG64_GRANULE), 0);
	CHECK(pg64_arenas.exact);
	CHECK_EQ(pg64_counted(PG64_C_fail_commit), 1);
	CHECK_EQ(fake.writable, fake.writable_limit);
	CHECK_EQ(pg64_span_commit(q + 2 * PG64_GRANULE, PG64_GRANULE), -ENOMEM);
	/* What is given back can be had again. */
	fake_write(p, PG64_GRANULE, 1);
	pg64_span_decommit(p, PG64_GRANULE);
	CHECK(!fake_is_writable(p));
	CHECK_EQ(pg64_span_commit(q + 2 * PG64_GRANULE, PG64_GRANULE), 0);
	CHECK_EQ(pg64_span_commit(p, PG64_GRANULE), -ENOMEM);
}

/* A program asks for more than there can be, as some do to see what they get. */
static void one_refusal_changes_nothing(void)
{
	arenas(PG64_BACKEND_COLLAPSE, 0, 0);
	used_span(4 * PG64_MIB);
	fake.writable_limit = PG64_GIB;
	char *p = pg64_span_alloc(3 * PG64_GIB, PG64_SEGMENT);
	CHECK(p && pg64_span_commit(p, 3 * PG64_GIB) == -ENOMEM);
	CHECK(!pg64_arenas.exact);
	CHECK_EQ(totals().committed, 4 * PG64_MIB);
	pg64_span_free(p, 3 * PG64_GIB);
	uint64_t before = pg64_counted(PG64_C_collapse_ok);
	used_span(4 * PG64_MIB);
	CHECK(pg64_counted(PG64_C_collapse_ok) > before);
}

static void smaller_arenas_under_a_limit(void)
{
	arenas(PG64_BACKEND_BASE, 0, 0);
	fake.space_limit = 288 * PG64_MIB - 1;
	char *p = pg64_span_alloc(32 * PG64_MIB, PG64_SEGMENT);
	CHECK(p);
	CHECK_EQ(totals().reserved, 256 * PG64_MIB);
	CHECK_EQ(pg64_counted(PG64_C_fail_reserve), 2);
	CHECK(!pg64_span_alloc(256 * PG64_MIB, PG64_SEGMENT));
	CHECK(pg64_span_alloc(224 * PG64_MIB, PG64_SEGMENT));
	CHECK(pg64_span_alloc(PG64_GRANULE, PG64_GRANULE) == NULL);
	/* The limit is lifted: it goes on, and in pieces that have proved to fit. */
	fake.space_limit = SIZE_MAX;
	CHECK(pg64_span_alloc(32 * PG64_MIB, PG64_SEGMENT));
	CHECK(pg64_span_alloc(2 * PG64_GIB, PG64_SEGMENT));
	/* No room for an arena's bitmaps. */
	fake.writable_limit = fake.writable;
	size_t space = fake.space;
	CHECK(!pg64_span_alloc(4 * PG64_GIB, PG64_SEGMENT));
	CHECK_EQ(fake.space, space);
}

static void limit_of_this_process(void)
{
	struct pg64_config config;

	arenas(PG64_BACKEND_BASE, 0, 0);
	pg64_config_defaults(&config);
	config.arena_size = 32 * PG64_MIB + 1;
	pg64_arena_init(&config);
	CHECK(pg64_arenas.arena_bytes <= 64 * PG64_MIB);
	CHECK(pg64_is_aligned(pg64_arenas.arena_bytes, PG64_SEGMENT));
}

static void large_spans(void)
{
	arenas(PG64_BACKEND_BASE, 0, 0);
	used_span(PG64_MIB);
	size_t space = fake.space, len = 3 * PG64_GIB + 5 * PG64_GRANULE;
	char *p = pg64_span_alloc(len, PG64_SEGMENT);
	REQUIRE(p && pg64_is_aligned((uintptr_t)p, PG64_SEGMENT));
	CHECK_EQ(pg64_span_commit(p, len), 0);
	CHECK_EQ(totals().committed, PG64_MIB + len);
	CHECK_EQ(totals().reserved, PG64_GIB + pg64_align_up(len, PG64_SEGMENT));
	fake_write(p + len - PG64_GRANULE, PG64_GRANULE, 1);
	/* In two pieces, as the engine trims an over-aligned block: gone with the second. */
	pg64_span_free(p, 32 * PG64_MIB);
	CHECK(fake.space > space);
	pg64_span_free(p + 32 * PG64_MIB, len - 32 * PG64_MIB);
	CHECK_EQ(fake.space, space);
	CHECK_EQ(totals().reserved, PG64_GIB);
	CHECK_EQ(pg64_counted(PG64_C_heap_released_bytes), pg64_align_up(len, PG64_SEGMENT));
	/* The first arena stays. */
	pg64_span_free(pg64_arenas.table[0].start, PG64_MIB);
	CHECK_EQ(totals().reserved, PG64_GIB);
	CHECK_EQ(totals().committed, 0);
}

static size_t visited;

static void visit(void *context, uintptr_t start, size_t len)
{
	CHECK(context == &visited);
	CHECK(fake_is_writable((char *)start) && fake_is_writable((char *)start + len - 1));
	visited += len;
}

static void each_arena(void)
{
	arenas(PG64_BACKEND_BASE, 0, 0);
	pg64_arena_each(visit, &visited);
	CHECK_EQ(visited, 0);
	used_span(PG64_MIB);
	char *p = used_span(PG64_GIB);
	/* Reserved, not accessible: nothing to look at. */
	pg64_span_alloc(PG64_GIB, PG64_SEGMENT);
	pg64_arena_each(visit, &visited);
	CHECK_EQ(visited, PG64_MIB + PG64_GIB);
	pg64_span_free(p, PG64_GIB);
	visited = 0;
	pg64_arena_each(visit, &visited);
	CHECK_EQ(visited, PG64_MIB);
}

/* ---- collapsing ---------------------------------------------------------------------------- */

static void collapse_begins_at_its_threshold(void)
{
	arenas(PG64_BACKEND_COLLAPSE, 2 * PG64_MIB, 8 * PG64_MIB);
	char *p = pg64_span_alloc(32 * PG64_MIB, PG64_SEGMENT);
	for (size_t at = 0; at < 8 * PG64_MIB; at += PG64_GRANULE)
		pg64_span_commit(p + at, PG64_GRANULE);
	CHECK_EQ(fake.advised[FAKE_COLLAPSE], 0);
	CHECK_EQ(fake_present(p, 32 * PG64_MIB), 0);
	/* The first granule of a stretch takes all of it, and one fault. */
	pg64_span_commit(p + 8 * PG64_MIB, PG64_GRANULE);
	CHECK_EQ(fake.advised[FAKE_COLLAPSE], 1);
	CHECK_EQ(fake_present(p + 8 * PG64_MIB, STRETCH), STRETCH);
	CHECK_EQ(totals().collapsed, STRETCH);
	for (size_t at = 8 * PG64_MIB; at < 32 * PG64_MIB; at += PG64_GRANULE)
		pg64_span_commit(p + at, PG64_GRANULE);
	fake_write(p + 8 * PG64_MIB, 24 * PG64_MIB, 1);
	CHECK_EQ(fake.faults, 12);
	CHECK_EQ(totals().collapsed, 24 * PG64_MIB);
	CHECK_EQ(pg64_counted(PG64_C_collapse_ok), 12);
}

/* The end of a segment that no block of the size in demand fits into is not filled. */
static void end_of_a_segment(void)
{
	arenas(PG64_BACKEND_COLLAPSE, 0, 0);
	char *p = pg64_span_alloc(32 * PG64_MIB, PG64_SEGMENT), *last = p + 30 * PG64_MIB;
	CHECK_EQ(pg64_span_commit(last, PG64_MIB), 0);
	CHECK_EQ(fake_present(last, STRETCH), 0);
	CHECK_EQ(pg64_span_commit(last + PG64_MIB, PG64_MIB), 0);
	CHECK_EQ(fake_present(last, STRETCH), STRETCH);
	pg64_span_decommit(last, STRETCH);
	CHECK_EQ(fake_present(last, STRETCH), 0);
	CHECK_EQ(pg64_span_commit(last, PG64_GRANULE), 0);
	CHECK_EQ(fake_present(last, STRETCH), STRETCH);
}

static void purge_rules(void)
{
	arenas(PG64_BACKEND_COLLAPSE, 0, 0);
	char *p = used_span(32 * PG64_MIB);
	CHECK_EQ(totals().collapsed, 32 * PG64_MIB);
	memset(p, 5, 4 * STRETCH);
	/* Less than half of it: held. */
	pg64_span_decommit(p, STRETCH / 2 - PG64_GRANULE);
	CHECK_EQ(fake_present(p, STRETCH), STRETCH);
	CHECK_EQ(pg64_counted(PG64_C_collapse_held_bytes), STRETCH / 2 - PG64_GRANULE);
	CHECK_EQ(fake.split, 0);
	/* Half of it: split knowingly, and all that is free goes back, nothing else. */
	pg64_span_decommit(p + STRETCH / 2, PG64_GRANULE);
	CHECK_EQ(fake.split, 1);
	CHECK_EQ(fake_present(p, STRETCH), STRETCH / 2);
	CHECK_EQ(fake_stranded(p, STRETCH), 0);
	CHECK(p[STRETCH / 2 - 1] == 5 && p[STRETCH - 1] == 5 && p[0] == 0);
	CHECK_EQ(totals().collapsed, 30 * PG64_MIB);
	/* Whole stretches: at once, without a split. */
	pg64_span_decommit(p + STRETCH, 2 * STRETCH);
	CHECK_EQ(fake_present(p + STRETCH, 2 * STRETCH), 0);
	CHECK_EQ(fake.split, 1);
	CHECK_EQ(totals().collapsed, 26 * PG64_MIB);
	CHECK_EQ(pg64_counted(PG64_C_collapse_split), 1);
	/* Committed again, it is collapsed again. */
	pg64_span_commit(p + STRETCH, PG64_GRANULE);
	CHECK_EQ(fake_order(p + STRETCH), 9);
	CHECK_EQ(totals().collapsed, 28 * PG64_MIB);
}

/* What a held part contains must not show up in a fresh span. */
/* Is what was just committed known to read as zero? */
static bool fresh(const char *addr, size_t len)
{
	return pg64_span_fresh.start && addr >= pg64_span_fresh.start &&
	       addr + len <= pg64_span_fresh.end;
}

/* calloc() believes it. */
static void what_reads_as_zero(void)
{
	arenas(PG64_BACKEND_COLLAPSE, 0, 0);
	used_span(PG64_GRANULE);
	char *p = pg64_span_alloc(32 * PG64_MIB, PG64_SEGMENT);
	CHECK_EQ(pg64_span_commit(p, PG64_GRANULE), 0);
	CHECK(fresh(p, PG64_GRANULE) && !fresh(p, 2 * PG64_GRANULE));
	/* In part in use already. */
	pg64_span_commit(p, 2 * PG64_GRANULE);
	CHECK(!fresh(p, 1));
	/* The stretch is collapsed, so what is given back of it may be kept. */
	fake_write(p, PG64_GRANULE, 5);
	pg64_span_decommit(p, PG64_GRANULE);
	pg64_span_commit(p, PG64_GRANULE);
	CHECK(p[0] == 0 || !fresh(p, 1));
	pg64_span_commit(p + STRETCH, STRETCH);
	fake_write(p + STRETCH, STRETCH, 5);
	pg64_span_decommit(p + STRETCH, PG64_GRANULE);
	pg64_span_commit(p + STRETCH, PG64_GRANULE);
	CHECK(p[STRETCH] == 5 && !fresh(p + STRETCH, 1));
	/* All of it went back. */
	pg64_span_decommit(p + STRETCH, STRETCH);
	pg64_span_commit(p + STRETCH, STRETCH);
	CHECK(fresh(p + STRETCH, STRETCH) && fake_is_zero(p + STRETCH, STRETCH));
	/* A commit that is refused says nothing. */
	fake.writable_limit = 0;
	CHECK(pg64_span_commit(p + 20 * PG64_MIB, 4 * PG64_MIB) < 0 ||
		fake_is_zero(p + 20 * PG64_MIB, 4 * PG64_MIB));
}

/* A kernel that does not take memory back: nothing is known of any of it from then on. */
static void what_was_not_purged(void)
{
	arenas(PG64_BACKEND_BASE, 0, 0);
	char *p = used_span(4 * PG64_MIB);
	fake_write(p, 4 * PG64_MIB, 5);
	fake.refuse[MADV_DONTNEED] = -EINVAL;
	fake.refuse[FAKE_DONTNEED_LOCKED] = -EINVAL;
	pg64_span_decommit(p, 4 * PG64_MIB);
	pg64_span_commit(p, 4 * PG64_MIB);
	CHECK(p[0] == 5 && !fresh(p, 1));
}

static void discard_of_a_part(void)
{
	arenas(PG64_BACKEND_COLLAPSE, 0, 0);
	char *a = pg64_span_alloc(PG64_MIB, PG64_GRANULE);
	char *b = pg64_span_alloc(31 * PG64_MIB, PG64_GRANULE);
	CHECK(b == a + PG64_MIB);
	for (size_t at = 0; at < 32 * PG64_MIB; at += PG64_GRANULE)
		REQUIRE(pg64_span_commit(a + at, PG64_GRANULE) == 0);
	memset(a, 9, 4 * PG64_MIB);
	pg64_span_decommit(a, PG64_MIB / 2);
	CHECK_EQ(fake_present(a, PG64_MIB), PG64_MIB);
	pg64_span_free(a, PG64_MIB);
	CHECK_EQ(fake_present(a, PG64_MIB), 0);
	CHECK_EQ(fake.split, 1);
	CHECK(b[0] == 9 && b[PG64_MIB] == 9);
	CHECK(pg64_span_alloc(PG64_MIB, PG64_GRANULE) == a);
	CHECK_EQ(pg64_span_commit(a, PG64_MIB), 0);
	CHECK(fake_is_zero(a, PG64_MIB));
}

static void failing_collapse_keeps_the_books(void)
{
	arenas(PG64_BACKEND_COLLAPSE, 0, 0);
	fake.refuse[FAKE_COLLAPSE] = -ENOMEM;
	char *p = used_span(PG64_MIB);
	CHECK_EQ(totals().collapsed, 0);
	CHECK_EQ(pg64_counted(PG64_C_fail_collapse), 16);
	fake_write(p, PG64_MIB, 3);
	fake.refuse[FAKE_COLLAPSE] = 0;
	used_span(PG64_GRANULE);
	CHECK_EQ(totals().collapsed, STRETCH);
	/* The gate is closed: memory is on base pages, and as usable as ever. */
	fake.refuse[FAKE_COLLAPSE] = -EPERM;
	char *q = used_span(8 * PG64_MIB);
	fake_write(q, 8 * PG64_MIB, 3);
	CHECK(!pg64_page_wants_populate());
	CHECK_EQ(totals().collapsed, STRETCH);
	CHECK_EQ(p[PG64_MIB - 1], 3);
}

static void will_fill(void)
{
	arenas(PG64_BACKEND_COLLAPSE, 0, 0);
	char *p = pg64_span_alloc(64 * PG64_MIB, PG64_SEGMENT);
	CHECK_EQ(pg64_span_commit(p, 64 * PG64_MIB), 0);
	CHECK_EQ(fake_present(p, 64 * PG64_MIB), 0);
	pg64_span_will_fill(p + PG64_GRANULE, 16 * PG64_MIB);
	CHECK_EQ(fake_present(p, STRETCH), 0);
	CHECK_EQ(fake_present(p + STRETCH, 7 * STRETCH), 7 * STRETCH);
	CHECK_EQ(fake_present(p, 64 * PG64_MIB), 7 * STRETCH);
	/* Not what is not committed. */
	pg64_span_decommit(p + 32 * PG64_MIB, STRETCH);
	pg64_span_will_fill(p + 32 * PG64_MIB, 2 * STRETCH);
	CHECK_EQ(fake_present(p + 32 * PG64_MIB, 2 * STRETCH), STRETCH);
}

/* ---- what other threads do while a stretch is collapsed, without the lock ------------------- */

static char *block;
static size_t block_len;
static int intrusions;

static void free_block(char *addr)
{
	(void)addr;
	if (intrusions++ == 0)
		pg64_span_free(block, block_len);
}

/* A large block, filled in order, is freed while the stretch ahead is being collapsed. */
static void freed_while_collapsed(bool works)
{
	arenas(PG64_BACKEND_COLLAPSE, 0, 0);
	used_span(PG64_GRANULE);
	size_t space = fake.space;
	block_len = 2 * PG64_GIB;
	block = pg64_span_alloc(block_len, PG64_SEGMENT);
	CHECK_EQ(pg64_span_commit(block, block_len), 0);
	fake_write(block, STRETCH + 4096, 1);
	fake.refuse[FAKE_COLLAPSE] = works ? 0 : -EAGAIN;
	fake.in_touch = free_block;
	/* The engine commits something else; its arena goes while the stretch is touched. */
	char *other = pg64_arenas.table[0].start;
	CHECK_EQ(pg64_span_commit(other, PG64_GRANULE), 0);
	CHECK_EQ(intrusions, 1);
	CHECK_EQ(fake.space, space);
	CHECK_EQ(totals().reserved, PG64_GIB);
	CHECK_EQ(totals().collapsed, STRETCH);
	CHECK_EQ(totals().committed, PG64_GRANULE);
}

static void freed_while_collapsed_well(void)
{
	freed_while_collapsed(true);
}

static void freed_while_collapsed_badly(void)
{
	freed_while_collapsed(false);
}

static void free_and_decommit(char *addr)
{
	if (intrusions++)
		return;
	/* The limit comes in between as well. */
	pg64_arenas.exact = true;
	pg64_span_free(block, block_len);
	char *again = pg64_span_alloc(block_len, PG64_SEGMENT);
	CHECK(again == block);
	CHECK_EQ(pg64_span_commit(again, block_len), 0);
	pg64_span_decommit(again, block_len);
	CHECK(addr >= block && addr < block + block_len);
}

static void reused_while_collapsed(void)
{
	arenas(PG64_BACKEND_COLLAPSE, 0, 0);
	used_span(PG64_GRANULE);
	block_len = 32 * PG64_MIB;
	block = pg64_span_alloc(block_len, PG64_SEGMENT);
	fake.in_touch = free_and_decommit;
	CHECK_EQ(pg64_span_commit(block, PG64_GRANULE), 0);
	CHECK_EQ(intrusions, 1);
	/* Nothing of it is in use, so nothing of it stays. */
	CHECK_EQ(fake_present(block, block_len), 0);
	CHECK_EQ(totals().collapsed, STRETCH);
	pg64_span_free(block, block_len);
	CHECK_EQ(totals().committed, PG64_GRANULE);
}

static void decommit_most(char *addr)
{
	(void)addr;
	if (intrusions++ == 0)
		pg64_span_decommit(block + PG64_GRANULE, STRETCH - PG64_GRANULE);
}

static void decommitted_while_collapsed(bool works)
{
	arenas(PG64_BACKEND_COLLAPSE, 0, SIZE_MAX / 2);
	block = used_span(STRETCH);
	pg64_arenas.collapse_min = 0;
	fake_write(block, STRETCH, 6);
	fake.refuse[FAKE_COLLAPSE] = works ? 0 : -EAGAIN;
	fake.in_touch = decommit_most;
	pg64_span_will_fill(block, STRETCH);
	CHECK_EQ(intrusions, 1);
	CHECK_EQ(block[0], 6);
	/* Most of it is free: that goes back at once, whether it is one page by now or not. */
	CHECK_EQ(totals().collapsed, 0);
	CHECK_EQ(fake_present(block, STRETCH), PG64_GRANULE);
	CHECK_EQ(fake_stranded(block, STRETCH), 0);
	pg64_span_free(block, STRETCH);
	CHECK_EQ(totals().collapsed, 0);
	CHECK_EQ(fake_present(block, STRETCH), 0);
}

static void decommitted_while_collapsed_well(void)
{
	decommitted_while_collapsed(true);
}

static void decommitted_while_collapsed_badly(void)
{
	decommitted_while_collapsed(false);
}

static pid_t child;

static void fork_now(char *addr)
{
	(void)addr;
	if (intrusions++)
		return;
	pg64_arena_before_fork();
	child = fork();
	pg64_arena_after_fork(child == 0);
	if (child != 0)
		return;
	/* In the child the collapsing thread does not exist; its stretch is free for everything. */
	pg64_span_free(block, block_len);
	_exit(test_failures || pg64_arenas.table[1].start || totals().collapsed != STRETCH);
}

static void forked_while_collapsed(void)
{
	int status = 1;

	arenas(PG64_BACKEND_COLLAPSE, 0, 0);
	used_span(PG64_GRANULE);
	block_len = 2 * PG64_GIB;
	block = pg64_span_alloc(block_len, PG64_SEGMENT);
	fake.in_touch = fork_now;
	CHECK_EQ(pg64_span_commit(block, PG64_GRANULE), 0);
	CHECK(child > 0 && waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);
	CHECK_EQ(totals().collapsed, 2 * STRETCH);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {CASE(small_heaps_ask_nothing),
		CASE(reservations_double), CASE(heap_is_fenced), CASE(frontier_grows_ahead),
		CASE(refusal_makes_it_exact), CASE(one_refusal_changes_nothing),
		CASE(smaller_arenas_under_a_limit), CASE(limit_of_this_process), CASE(large_spans),
		CASE(each_arena), CASE(collapse_begins_at_its_threshold), CASE(end_of_a_segment),
		CASE(purge_rules), CASE(what_reads_as_zero), CASE(what_was_not_purged),
		CASE(discard_of_a_part), CASE(failing_collapse_keeps_the_books), CASE(will_fill),
		CASE(freed_while_collapsed_well), CASE(freed_while_collapsed_badly),
		CASE(reused_while_collapsed), CASE(decommitted_while_collapsed_well),
		CASE(decommitted_while_collapsed_badly), CASE(forked_while_collapsed)};

	return RUN_CASES(cases, argc, argv);
}
