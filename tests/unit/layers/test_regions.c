/* SPDX-License-Identifier: MIT */
/*
 * The table of the program's regions, against a model with one entry a page.
 */
#include <pthread.h>
#include <sched.h>

#include "arena/regions.h"
#include "base/counters.h"
#include "layers.h"

#define PAGE 4096
#define PAGES 400
#define BASE ((uintptr_t)0x7f0000000000)
#define TABLE_MAX 4096

/* Each page's region: 0 is none; pages of one add that was not cut through share a number. */
static unsigned int model[PAGES];
static unsigned int kinds[1 << 16];
static unsigned int serial;

static void model_remove(size_t first, size_t count)
{
	unsigned int left = first > 0 ? model[first - 1] : 0;

	/* What reaches out on the right is a region of its own from now on. */
	for (size_t i = first + count; left && i < PAGES && model[i] == left; i++) {
		if (i == first + count)
			kinds[++serial] = kinds[left];
		model[i] = serial;
	}
	for (size_t i = first; i < first + count; i++)
		model[i] = 0;
}

static void check_find(size_t first, size_t count)
{
	struct pg64_region found;
	bool whole = true;

	for (size_t i = first; i < first + count; i++)
		whole = whole && model[i] && model[i] == model[first];
	bool got = pg64_regions_find(BASE + first * PAGE, count * PAGE, &found);
	CHECK_EQ(got, whole);
	if (!got || !whole)
		return;
	size_t from = first, to = first;
	while (from > 0 && model[from - 1] == model[first])
		from--;
	while (to < PAGES && model[to] == model[first])
		to++;
	CHECK_EQ(found.start, BASE + from * PAGE);
	CHECK_EQ(found.end, BASE + to * PAGE);
	CHECK_EQ(found.kind * 2 + found.fenced, kinds[model[first]]);
}

static void against_model(void)
{
	for (int round = 0; round < 20000; round++) {
		size_t first = test_below(PAGES), count = 1 + test_below(PAGES - first);

		if (test_random() % 4)
			count = 1 + test_below(count < 20 ? count : 20);
		if (test_random() & 1) {
			unsigned int kind = test_below(3), fenced = test_random() & 1;

			model_remove(first, count);
			kinds[++serial] = kind * 2 + fenced;
			for (size_t i = first; i < first + count; i++)
				model[i] = serial;
			pg64_regions_add(BASE + first * PAGE, count * PAGE, kind, fenced);
		} else {
			model_remove(first, count);
			pg64_regions_remove(BASE + first * PAGE, count * PAGE);
		}
		first = test_below(PAGES);
		check_find(first, 1 + test_below(PAGES - first));
		check_find(first, 1);
		if (model[first])
			CHECK(pg64_regions_maybe(BASE + first * PAGE, PAGE));
	}
}

static bool cut_at(uintptr_t addr)
{
	struct pg64_look look;

	/* The other end is that of a granule. */
	return pg64_regions_look(addr, pg64_align_up(addr + 1, PG64_GRANULE), &look) && look.cut;
}

static void cuts(void)
{
	pg64_regions_add(BASE, 4 * PG64_GRANULE, PG64_MEM_ANON, false);
	CHECK(!cut_at(BASE));
	CHECK(!cut_at(BASE + PG64_GRANULE));
	CHECK(cut_at(BASE + PAGE));
	CHECK(cut_at(BASE + 4 * PG64_GRANULE - 1));
	CHECK(!cut_at(BASE + 4 * PG64_GRANULE));
	pg64_regions_remove(BASE, PAGE);
	CHECK(!cut_at(BASE + PAGE));
}

/* What a program may pass to munmap() or madvise(), and the kernel then refuses. */
static void nonsense(void)
{
	struct pg64_region found;

	pg64_regions_add(BASE, 16 * PAGE, PG64_MEM_ANON, true);
	pg64_regions_remove(BASE + 4 * PAGE, 0);
	CHECK(pg64_regions_find(BASE, 16 * PAGE, &found));
	pg64_regions_add(BASE + 4 * PAGE, 0, PG64_MEM_SHARED, false);
	CHECK(pg64_regions_find(BASE, 16 * PAGE, &found));
	/* The end of the range wraps around to just before its start. */
	CHECK(!pg64_regions_find(BASE + 4 * PAGE, SIZE_MAX, &found));
	CHECK(!pg64_regions_find(BASE + 4 * PAGE, SIZE_MAX - PAGE + 1, &found));
	pg64_regions_remove(BASE + 8 * PAGE, SIZE_MAX - PAGE + 1);
	pg64_regions_remove(BASE + 8 * PAGE, SIZE_MAX);
	CHECK(pg64_regions_find(BASE, 16 * PAGE, &found));
	CHECK_EQ(found.end - found.start, 16 * PAGE);
	CHECK(!pg64_regions_find(0, PAGE, &found));
	CHECK(!pg64_regions_maybe(0, PAGE));
}

static void full_table(void)
{
	struct pg64_region found;

	for (uintptr_t i = 0; i < TABLE_MAX; i++)
		pg64_regions_add(BASE + i * 8 * PAGE, 4 * PAGE, PG64_MEM_ANON, false);
	CHECK_EQ(pg64_counted(PG64_C_skip_regions_full), 0);
	pg64_regions_add(BASE - 8 * PAGE, 4 * PAGE, PG64_MEM_ANON, false);
	CHECK_EQ(pg64_counted(PG64_C_skip_regions_full), 1);
	CHECK(!pg64_regions_find(BASE - 8 * PAGE, PAGE, &found));
	/* A cut in the middle has no room for the second part, which is forgotten. */
	pg64_regions_remove(BASE + PAGE, PAGE);
	CHECK_EQ(pg64_counted(PG64_C_skip_regions_full), 2);
	CHECK(pg64_regions_find(BASE, PAGE, &found));
	CHECK(!pg64_regions_find(BASE + 2 * PAGE, PAGE, &found));
	for (uintptr_t i = 1; i < TABLE_MAX; i++)
		CHECK(pg64_regions_find(BASE + i * 8 * PAGE, 4 * PAGE, &found));
	/* Room again. */
	pg64_regions_remove(BASE, 8 * PAGE);
	pg64_regions_add(BASE - 8 * PAGE, 4 * PAGE, PG64_MEM_ANON, false);
	CHECK(pg64_regions_find(BASE - 8 * PAGE, 4 * PAGE, &found));
}

/* What continues another region of the same sort needs no room of its own. */
static void joined(void)
{
	struct pg64_region found;

	CHECK(pg64_regions_join(BASE, PAGE, PG64_MEM_ANON, 1));
	CHECK(pg64_regions_join(BASE + 2 * PAGE, PAGE, PG64_MEM_ANON, 1));
	CHECK(!pg64_regions_find(BASE, 2 * PAGE, &found));
	CHECK(pg64_regions_join(BASE + PAGE, PAGE, PG64_MEM_ANON, 1));
	CHECK(pg64_regions_find(BASE, 3 * PAGE, &found));
	CHECK_EQ(found.start, BASE);
	CHECK_EQ(found.end, BASE + 3 * PAGE);
	/* Of another kind, with other fences, by pg64_regions_add(): not the same sort. */
	CHECK(pg64_regions_join(BASE + 3 * PAGE, PAGE, PG64_REGION_RESERVED, 0));
	CHECK(pg64_regions_join(BASE + 4 * PAGE, PAGE, PG64_MEM_ANON, 0));
	CHECK(pg64_regions_add(BASE + 5 * PAGE, PAGE, PG64_MEM_ANON, 0));
	for (size_t i = 2; i < 5; i++)
		CHECK(!pg64_regions_find(BASE + i * PAGE, 2 * PAGE, &found));
	/* Parts of a reservation that are opened: at its start, step by step, and at its end. */
	CHECK(pg64_regions_join(BASE, 64 * PAGE, PG64_REGION_RESERVED, 0));
	CHECK(pg64_regions_join(BASE, 2 * PAGE, PG64_MEM_ANON, 0));
	CHECK(pg64_regions_join(BASE + 2 * PAGE, 2 * PAGE, PG64_MEM_ANON, 0));
	CHECK(pg64_regions_join(BASE + 60 * PAGE, 4 * PAGE, PG64_MEM_ANON, 0));
	CHECK(pg64_regions_find(BASE, 4 * PAGE, &found) && found.end == BASE + 4 * PAGE);
	CHECK(pg64_regions_find(BASE + 4 * PAGE, 56 * PAGE, &found));
	CHECK_EQ(found.kind, PG64_REGION_RESERVED);
	/* Nobody's loss, wherever a boundary lies. */
	CHECK(cut_at(BASE + PAGE) && !cut_at(BASE + 5 * PAGE));
	pg64_regions_remove(BASE, 64 * PAGE);
	CHECK(!pg64_regions_maybe(BASE, 64 * PAGE));
}

/* Regions that come in any number leave room for the others. */
static void joined_leave_room(void)
{
	struct pg64_region found;
	uintptr_t i = 0;

	while (i < TABLE_MAX && pg64_regions_join(BASE + i * 8 * PAGE, PAGE, PG64_MEM_ANON, 0))
		i++;
	CHECK_EQ(i, TABLE_MAX / 2);
	CHECK_EQ(pg64_counted(PG64_C_skip_regions_full), 1);
	CHECK(!pg64_regions_maybe(BASE + i * 8 * PAGE, PAGE));
	CHECK(pg64_regions_join(BASE + PAGE, PAGE, PG64_MEM_ANON, 0));
	CHECK(pg64_regions_find(BASE, 2 * PAGE, &found));
	CHECK(pg64_regions_add(BASE + i * 8 * PAGE, PAGE, PG64_MEM_ANON, 0));
	CHECK(!pg64_regions_full());
}

static void looks(void)
{
	struct pg64_look look;

	pg64_regions_join(BASE, 8 * PAGE, PG64_REGION_RESERVED, 0);
	pg64_regions_join(BASE + 8 * PAGE, 8 * PAGE, PG64_MEM_ANON, 0);
	pg64_regions_add(BASE + 20 * PAGE, 8 * PAGE, PG64_MEM_SHARED, 0);
	CHECK(!pg64_regions_look(BASE + 16 * PAGE, BASE + 20 * PAGE, &look));
	CHECK(!pg64_regions_look(BASE + PAGE, BASE, &look));
	CHECK(pg64_regions_look(BASE + PAGE, BASE + 8 * PAGE, &look));
	CHECK(look.whole && look.ours && !look.cut && look.first.kind == PG64_REGION_RESERVED);
	CHECK(pg64_regions_look(BASE, BASE + 9 * PAGE, &look));
	CHECK(!look.whole && look.ours && look.cut && look.first.start == BASE);
	CHECK(pg64_regions_look(BASE + 9 * PAGE, BASE + 17 * PAGE, &look));
	CHECK(!look.whole && !look.ours && look.cut);
	CHECK(pg64_regions_look(BASE + 20 * PAGE, BASE + 28 * PAGE, &look));
	CHECK(look.whole && !look.ours && !look.cut);
}

/* The same where each of them cuts a reservation: what is refused changes nothing. */
static void openings_leave_room(void)
{
	size_t step = 4 * PAGE, size = 4 * TABLE_MAX * step;
	struct pg64_region found;
	uintptr_t i = 0, at;

	CHECK(pg64_regions_join(BASE, size, PG64_REGION_RESERVED, 0));
	while (i < TABLE_MAX && pg64_regions_join(BASE + PAGE + i * step, PAGE, PG64_MEM_ANON, 0))
		i++;
	CHECK_EQ(i, TABLE_MAX / 4 - 1);
	CHECK_EQ(pg64_counted(PG64_C_skip_regions_full), 1);
	for (; i < 2 * TABLE_MAX; i++)
		CHECK(!pg64_regions_join(BASE + PAGE + i * step, PAGE, PG64_MEM_ANON, 0));
	CHECK(!pg64_regions_full());
	at = BASE + (TABLE_MAX / 4 - 1) * step;
	CHECK(pg64_regions_find(at, BASE + size - at, &found));
	CHECK_EQ(found.kind, PG64_REGION_RESERVED);
	/* What continues an opening is none more. */
	CHECK(pg64_regions_join(BASE + 2 * PAGE, PAGE, PG64_MEM_ANON, 0));
	CHECK(pg64_regions_find(BASE + PAGE, 2 * PAGE, &found));
	/* Holes: once there are too many, the larger part of what is left stays known. */
	for (i = TABLE_MAX / 4; i < 2 * TABLE_MAX; i++)
		pg64_regions_remove(BASE + i * step, PAGE);
	CHECK(!pg64_regions_full());
	CHECK(pg64_regions_find(BASE + size - PAGE, PAGE, &found));
	CHECK(pg64_regions_join(BASE, size, PG64_MEM_ANON, 0));
	CHECK(pg64_regions_find(BASE, size, &found));
}

/* Between two regions it is certain that there is none. */
static void gaps(void)
{
	pg64_regions_add(BASE, PAGE, PG64_MEM_ANON, 0);
	pg64_regions_add(BASE + 3 * PAGE, PAGE, PG64_MEM_SHARED, 0);
	CHECK(!pg64_regions_maybe(BASE + PAGE, 2 * PAGE));
	CHECK(!pg64_regions_maybe(BASE - PAGE, PAGE));
	CHECK(!pg64_regions_maybe(BASE + 4 * PAGE, PAGE));
	CHECK(pg64_regions_maybe(BASE + PAGE, 2 * PAGE + 1));
	CHECK(pg64_regions_maybe(BASE + PAGE - 1, PAGE));
}

static bool changing;

/* Each change moves all of the table that is behind it. */
static void *change(void *unused)
{
	(void)unused;
	while (__atomic_load_n(&changing, __ATOMIC_RELAXED)) {
		for (size_t i = 0; i < 8; i++)
			pg64_regions_add(BASE + 2 * i * PAGE, PAGE, PG64_MEM_SHARED, false);
		pg64_regions_remove(BASE, 16 * PAGE);
	}
	return NULL;
}

/* What others change meanwhile is not seen by who looks, though nobody holds the lock. */
static void looks_beside_changes(void)
{
	const uintptr_t base = BASE + PAGES * PAGE;
	struct pg64_region found;
	struct pg64_look look;
	pthread_t thread;
	size_t wrong = 0;

	for (size_t i = 0; i < PAGES; i++)
		pg64_regions_add(base + 2 * i * PAGE, PAGE, PG64_MEM_ANON, (uint32_t)i % 7);
	__atomic_store_n(&changing, true, __ATOMIC_RELAXED);
	REQUIRE(pthread_create(&thread, NULL, change, NULL) == 0);
	for (size_t round = 0; round < 100000; round++) {
		size_t i = test_below(PAGES);
		uintptr_t at = base + 2 * i * PAGE;

		wrong += !pg64_regions_find(at, PAGE, &found) || found.start != at ||
			 found.end != at + PAGE || found.fenced != i % 7;
		wrong += !pg64_regions_look(at, at + PAGE, &look) || !look.whole || !look.ours ||
			 look.first.fenced != i % 7;
		wrong += pg64_regions_find(at + PAGE, PAGE, &found);
		if (round % 1000 == 0)
			sched_yield();
	}
	__atomic_store_n(&changing, false, __ATOMIC_RELAXED);
	REQUIRE(pthread_join(thread, NULL) == 0);
	CHECK_EQ(wrong, 0);
}

/* The locks are free again on both sides of a fork that holds them. */
static void fork_keeps_it(void)
{
	struct pg64_region found;
	int status;

	pg64_regions_add(BASE, PAGE, PG64_MEM_ANON, false);
	pg64_regions_before_fork();
	pid_t pid = fork();
	pg64_regions_after_fork();
	REQUIRE(pid >= 0);
	CHECK(pg64_regions_find(BASE, PAGE, &found));
	if (pid == 0)
		_exit(test_failures ? 1 : 0);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {CASE(against_model), CASE(cuts), CASE(nonsense),
		CASE(full_table), CASE(joined), CASE(joined_leave_room), CASE(looks),
		CASE(openings_leave_room), CASE(gaps), CASE(looks_beside_changes),
		CASE(fork_keeps_it)};

	return RUN_CASES(cases, argc, argv);
}
