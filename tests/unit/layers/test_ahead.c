/* SPDX-License-Identifier: MIT */
/*
 * Large blocks on the backend that fills memory at once: collapsed ahead of a fill in order, left
 * alone otherwise.
 */
#include <errno.h>

#include "arena/internal.h"
#include "arena_setup.h"
#include "base/counters.h"

#define STRETCH (pg64_pmd_bytes())
#define BLOCK (32 * PG64_MIB)

/* The span whose commits are the moments to look. */
static char *ticker;
static size_t ticks;

static void tick(void)
{
	REQUIRE(pg64_span_commit(ticker + ticks++ * PG64_GRANULE, PG64_GRANULE) == 0);
}

static void begin(void)
{
	arenas(PG64_BACKEND_COLLAPSE, 0, 0);
	ticker = pg64_span_alloc(64 * PG64_MIB, PG64_SEGMENT);
	REQUIRE(ticker);
	tick();
}

static char *large_block(size_t len)
{
	char *p = pg64_span_alloc(len, PG64_SEGMENT);

	REQUIRE(p && pg64_span_commit(p, len) == 0);
	/* Nothing of it is there before it is used. */
	CHECK_EQ(fake_present(p, len), 0);
	return p;
}

static void fill_in_order(void)
{
	begin();
	char *p = large_block(BLOCK);
	for (size_t at = 0; at < BLOCK; at += PG64_GRANULE) {
		fake_write(p + at, PG64_GRANULE, 1);
		tick();
		/* At most one stretch is resident ahead of its use. */
		CHECK(fake_present(p, BLOCK) <= at + PG64_GRANULE + STRETCH);
	}
	/* All but the first stretch, which was the evidence. */
	CHECK_EQ(fake_order(p), 0);
	for (size_t s = STRETCH; s < BLOCK; s += STRETCH)
		CHECK_EQ(fake_order(p + s), 9);
	for (size_t at = 0; at < BLOCK; at += 4096)
		CHECK(p[at] == 1);
}

/* A table that is used here and there stays what it is. */
static void sparse_touch(void)
{
	begin();
	char *p = large_block(BLOCK);
	for (int i = 0; i < 200; i++) {
		fake_write(p + test_below(BLOCK / 4096) * 4096, 4096, 1);
		tick();
	}
	CHECK(fake_present(p, BLOCK) <= 200 * 4096);
}

/* The last page of the first stretch alone is no fill; the first stretch alone is no table. */
static void only_the_beginning(void)
{
	begin();
	char *p = large_block(BLOCK);
	fake_write(p + STRETCH - 4096, 4096, 1);
	tick();
	fake_write(p, STRETCH, 1);
	fake_write(p + STRETCH, 4096, 1);
	tick();
	CHECK_EQ(fake_present(p, BLOCK), STRETCH + 4096);

	char *q = large_block(BLOCK);
	fake_write(q, STRETCH, 1);
	for (int i = 0; i < 10; i++)
		tick();
	CHECK_EQ(fake_present(q, BLOCK), STRETCH);
	/* Begun in order, then used at random: one stretch is collapsed, no more. */
	for (size_t s = STRETCH; s < BLOCK; s += STRETCH)
		fake_write(q + s, 4096, 1);
	for (int i = 0; i < 30; i++)
		tick();
	CHECK(fake_present(q, BLOCK) <= 2 * STRETCH + BLOCK / STRETCH * 4096);
}

/* A block that is freed, or decommitted, is not looked at any more. */
static void forgotten_when_freed(void)
{
	begin();
	char *p = large_block(BLOCK);
	fake_write(p, STRETCH, 1);
	pg64_span_free(p, BLOCK);
	char *q = pg64_span_alloc(BLOCK, PG64_SEGMENT);
	CHECK(q == p);
	unsigned int looks = fake.mincores;
	tick();
	CHECK_EQ(fake.mincores, looks);

	pg64_span_free(q, BLOCK);
	p = large_block(BLOCK);
	pg64_span_decommit(p + BLOCK / 2, BLOCK / 2);
	looks = fake.mincores;
	tick();
	CHECK_EQ(fake.mincores, looks);
	CHECK_EQ(fake_present(p, BLOCK), 0);
}

/* More blocks than can be watched: those that nobody fills do not keep the others out. */
static void many_blocks(void)
{
	begin();
	for (int i = 0; i < 20; i++)
		large_block(8 * PG64_MIB);
	char *p = large_block(BLOCK);
	for (size_t at = 0; at < BLOCK / 2; at += PG64_GRANULE) {
		fake_write(p + at, PG64_GRANULE, 1);
		tick();
	}
	CHECK_EQ(fake_order(p + STRETCH), 9);
	/* Looking at all of them costs a few calls a commit. */
	unsigned int looks = fake.mincores;
	tick();
	CHECK(fake.mincores - looks <= 16);
}

/* Without mincore() nothing can be told, so nothing is done. */
static void no_witness(void)
{
	begin();
	char *p = large_block(BLOCK);
	fake.mincore_error = -ENOSYS;
	for (size_t at = 0; at < BLOCK / 2; at += PG64_GRANULE) {
		fake_write(p + at, PG64_GRANULE, 1);
		tick();
	}
	CHECK_EQ(fake_present(p, BLOCK), BLOCK / 2);
}

/* A block of two stretches is the smallest that is worth it. */
static void small_blocks(void)
{
	begin();
	pg64_ahead_watch(ticker, 2 * STRETCH - PG64_GRANULE);
	unsigned int looks = fake.mincores;
	tick();
	CHECK_EQ(fake.mincores, looks);
	/* Its last stretch, and nothing past it. */
	char *p = large_block(2 * STRETCH + PG64_GRANULE);
	fake_write(p, STRETCH + 4096, 1);
	tick();
	tick();
	CHECK_EQ(fake_order(p + STRETCH), 9);
	CHECK_EQ(fake_present(p + 2 * STRETCH, STRETCH), 0);
}

/* A commit that repeats what is committed starts no second watch. */
static void committed_twice(void)
{
	begin();
	char *p = large_block(BLOCK);
	unsigned int looks = fake.mincores;
	tick();
	unsigned int one = fake.mincores - looks;
	CHECK_EQ(pg64_span_commit(p, BLOCK), 0);
	looks = fake.mincores;
	tick();
	CHECK_EQ(fake.mincores - looks, one);
}

static void fork_keeps_it(void)
{
	int status;

	begin();
	char *p = large_block(BLOCK);
	pg64_arena_before_fork();
	pid_t pid = fork();
	pg64_arena_after_fork(pid == 0);
	REQUIRE(pid >= 0);
	fake_write(p, STRETCH + 4096, 1);
	tick();
	CHECK_EQ(fake_order(p + STRETCH), 9);
	pg64_span_free(p, BLOCK);
	if (pid == 0)
		_exit(test_failures ? 1 : 0);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {CASE(fill_in_order), CASE(sparse_touch),
		CASE(only_the_beginning), CASE(forgotten_when_freed), CASE(many_blocks),
		CASE(no_witness), CASE(small_blocks), CASE(committed_twice), CASE(fork_keeps_it)};

	return RUN_CASES(cases, argc, argv);
}
