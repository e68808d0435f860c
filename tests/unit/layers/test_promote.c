/* SPDX-License-Identifier: MIT */
/*
 * PMD-size pages for what the arenas know to be dense: at birth in a heap that grows, and later
 * for what is old; never where it would cost memory.
 */
#include <errno.h>
#include <sys/mman.h>

#include "arena/internal.h"
#include "arena_setup.h"
#include "base/counters.h"
#include "base/sysfs.h"

#define STRETCH (pg64_pmd_bytes())
#define MIN (32 * PG64_MIB)
#define SECOND ((uint64_t)1000000000)

static char *span;
static uint64_t start_room = UINT64_MAX;

/* Use the span's next @len bytes as the engine does: commit and fill, granule by granule. */
static void use(char *addr, size_t len)
{
	for (size_t at = 0; at < len; at += PG64_GRANULE) {
		REQUIRE(pg64_span_commit(addr + at, PG64_GRANULE) == 0);
		fake_write(addr + at, PG64_GRANULE, 7);
	}
}

/* A heap of MIN bytes on 64 KiB pages, with the PMD size at a distribution's default or off. */
static void begin_with(enum pg64_backend backend, bool pmd, enum pg64_pmd policy)
{
	struct pg64_config config = arenas(backend, 0, 0);

	config.pmd = policy;
	config.pmd_min = MIN;
	config.collapse_min = SIZE_MAX;
	fake.pmd = pmd;
	fake.room = start_room;
	fake.rooms = 0;
	/* No knob of this machine says otherwise. */
	pg64_sysfs_root("/nonexistent");
	pg64_page_init(&config);
	pg64_page_reset();
	pg64_arena_init(&config);
	pg64_arenas.next_bytes = pg64_arenas.arena_bytes;
	fake.collapse_ns = 1000000;
	span = pg64_span_alloc(PG64_GIB, PG64_SEGMENT);
	REQUIRE(span);
	use(span, MIN);
}

static void begin(void)
{
	begin_with(PG64_BACKEND_MTHP, true, PG64_PMD_AUTO);
}

/* Stretches of [addr, addr + len) that are one PMD-size page. */
static size_t promoted(const char *addr, size_t len)
{
	size_t n = 0;

	for (size_t s = 0; s < len; s += STRETCH)
		n += fake_order(addr + s) == 9 && fake_present(addr + s, STRETCH) == STRETCH;
	return n;
}

static bool keeps_its_contents(const char *addr, size_t len)
{
	for (size_t at = 0; at < len; at += 4096)
		if (addr[at] != 7)
			return false;
	return true;
}

/* Time passes, and the program allocates now and then. */
static void live(uint64_t ns)
{
	for (uint64_t end = fake.now_ns + ns; fake.now_ns < end; fake.now_ns += 1000000)
		pg64_promote_step();
}

static void small_heap_stays(void)
{
	begin();
	CHECK(!pg64_promote_watch);
	live(3 * SECOND);
	CHECK_EQ(promoted(span, MIN), 0);
	CHECK_EQ(fake.advised[FAKE_COLLAPSE], 0);
}

/* Past the threshold what a growing heap commits is a PMD-size page from the start. */
static void growth(void)
{
	begin();
	use(span + MIN, PG64_GRANULE);
	CHECK(pg64_promote_watch);
	CHECK_EQ(promoted(span + MIN, STRETCH), 1);
	unsigned int faults = fake.faults;
	use(span + MIN, MIN);
	CHECK_EQ(promoted(span + MIN, MIN), MIN / STRETCH);
	CHECK_EQ(fake.faults - faults, MIN / STRETCH - 1);
	/* One stretch ahead at most. */
	CHECK_EQ(fake_present(span, PG64_GIB), 2 * MIN);
	CHECK(keeps_its_contents(span, 2 * MIN));
	CHECK_EQ(totals().collapsed, MIN);
}

/* What was there before comes later, when it has been seen twice. */
static void old_and_dense(void)
{
	begin();
	use(span + MIN, STRETCH);
	pg64_promote_step();
	CHECK_EQ(promoted(span, MIN), 0);
	fake.now_ns += SECOND;
	pg64_promote_step();
	CHECK_EQ(promoted(span, MIN), 1);
	live(2 * SECOND);
	CHECK_EQ(promoted(span, MIN), MIN / STRETCH);
	CHECK_EQ(pg64_counted(PG64_C_promote_ok), MIN / STRETCH);
	CHECK_EQ(pg64_counted(PG64_C_promote_us), MIN / STRETCH * 1000);
	CHECK(keeps_its_contents(span, MIN));
	for (size_t s = 0; s < MIN; s += STRETCH)
		CHECK(!fake_has_boundary(span + s, STRETCH));
	/* Then there is nothing to do any more. */
	unsigned int looks = fake.mincores;
	live(5 * SECOND);
	CHECK_EQ(fake.mincores, looks);
}

/* No fault brings a PMD-size page: not at birth, but later. */
static void without_the_pmd_size(void)
{
	begin_with(PG64_BACKEND_MTHP, false, PG64_PMD_AUTO);
	use(span + MIN, MIN);
	CHECK_EQ(promoted(span, 2 * MIN), 0);
	live(3 * SECOND);
	CHECK_EQ(promoted(span, 2 * MIN), 2 * MIN / STRETCH);
}

static void on_the_patched_kernel(void)
{
	begin_with(PG64_BACKEND_PATCHED, false, PG64_PMD_AUTO);
	use(span + MIN, MIN);
	CHECK_EQ(promoted(span, 2 * MIN), 0);
	live(3 * SECOND);
	CHECK_EQ(promoted(span, 2 * MIN), 2 * MIN / STRETCH);
}

static void off_is_off(void)
{
	begin_with(PG64_BACKEND_MTHP, true, PG64_PMD_OFF);
	use(span + MIN, MIN);
	live(3 * SECOND);
	CHECK_EQ(promoted(span, 2 * MIN), 0);
	CHECK_EQ(fake.advised[FAKE_COLLAPSE], 0);
}

/* One sixteenth of the time, whatever it takes. */
static void share_of_the_time(void)
{
	begin();
	use(span + MIN, STRETCH);
	pg64_promote_step();
	fake.now_ns += SECOND;
	fake.collapse_ns = 5000000;
	uint64_t start = fake.now_ns;
	live(SECOND / 2);
	uint64_t spent = pg64_counted(PG64_C_promote_us) * 1000;
	CHECK(spent > 0);
	CHECK(spent <= (fake.now_ns - start) / 16 + fake.collapse_ns);
}

/* Calls that it took to move all that is there, a heap of 2 * MIN. */
static uint64_t calls_for_all(uint64_t drain_ns, uint64_t collapse_ns)
{
	begin_with(PG64_BACKEND_MTHP, false, PG64_PMD_AUTO);
	fake.drain_ns = drain_ns;
	fake.collapse_ns = collapse_ns;
	use(span + MIN, MIN);
	live(30 * SECOND);
	CHECK_EQ(promoted(span, 2 * MIN), 2 * MIN / STRETCH);
	CHECK(keeps_its_contents(span, 2 * MIN));
	CHECK_EQ(pg64_counted(PG64_C_promote_ok), 2 * MIN / STRETCH);
	return pg64_counted(PG64_C_promote_calls);
}

/* 32 stretches: runs of 1, 2, 4, 8, 16, and the one that is left. */
static void runs_where_the_drain_is_long(void)
{
	CHECK_EQ(calls_for_all(5000000, 100000), 6);
}

/* A call takes 2 ms more than one of a single stretch at most: runs of 1, 2, 4, 5, 5, 5, 5, 5. */
static void runs_do_not_take_long(void)
{
	CHECK_EQ(calls_for_all(1000000, 500000), 8);
}

/* Two are tried now and then, as it may be different by now. */
static void single_where_each_is_slow(void)
{
	CHECK(calls_for_all(100000, 5000000) >= 25);
}

/* Nothing is gained, so that no thread need be held longer than for one. */
static void single_where_there_is_no_wait(void)
{
	CHECK(calls_for_all(1000, 265000) >= 20);
}

/* All of a run is moved but for the stretch that it fails for. */
static void run_that_fails(int error)
{
	begin();
	fake.stuck = span + 5 * STRETCH;
	fake.stuck_error = error;
	use(span + MIN, STRETCH);
	live(3 * SECOND);
	CHECK_EQ(promoted(span, MIN), MIN / STRETCH - 1);
	CHECK_EQ(promoted(fake.stuck, STRETCH), 0);
	CHECK(fake_has_boundary(fake.stuck, STRETCH));
	CHECK(pg64_counted(PG64_C_fail_promote) > 0);
	CHECK_EQ(pg64_counted(PG64_C_promote_ok), MIN / STRETCH - 1);
	CHECK_EQ(totals().collapsed, MIN);
	CHECK(keeps_its_contents(span, MIN));
	fake.stuck = NULL;
	live(3 * SECOND);
	CHECK_EQ(promoted(span, MIN), MIN / STRETCH);
}

static void run_that_fails_and_goes_on(void)
{
	run_that_fails(-EAGAIN);
}

static void run_that_fails_and_stops(void)
{
	run_that_fails(-EINVAL);
}

/* What must not be moved cuts a run in two. */
static void run_with_a_gap(void)
{
	begin_with(PG64_BACKEND_MTHP, false, PG64_PMD_AUTO);
	fake.drain_ns = 5000000;
	fake.collapse_ns = 100000;
	use(span + MIN, MIN);
	/* In use by the engine, not resident. */
	fake_drop(span + 5 * STRETCH, STRETCH);
	live(30 * SECOND);
	CHECK_EQ(promoted(span, 2 * MIN), 2 * MIN / STRETCH - 1);
	CHECK_EQ(fake_present(span + 5 * STRETCH, STRETCH), 0);
	CHECK(pg64_counted(PG64_C_promote_calls) <= 8);
	CHECK_EQ(pg64_counted(PG64_C_fail_promote), 0);
}

static void young_again_after_a_purge(void)
{
	begin();
	use(span + MIN, STRETCH);
	pg64_promote_step();
	pg64_span_decommit(span, PG64_GRANULE);
	use(span, PG64_GRANULE);
	fake.now_ns += SECOND;
	pg64_promote_step();
	CHECK_EQ(promoted(span, STRETCH), 0);
	CHECK_EQ(promoted(span + STRETCH, STRETCH), 1);
	/* At its turn, then. */
	live(3 * SECOND);
	CHECK_EQ(promoted(span, STRETCH), 1);
}

/* In use by the engine is not in use by the program. */
static void not_what_is_sparse(void)
{
	begin();
	char *p = span + MIN + STRETCH;
	use(span + MIN, STRETCH);
	/* A block larger than what is populated at birth, hardly touched. */
	REQUIRE(pg64_span_commit(p, 4 * STRETCH) == 0);
	fake_write(p, STRETCH - STRETCH / 8, 7);
	size_t present = fake_present(p, 4 * STRETCH);
	live(5 * SECOND);
	CHECK_EQ(promoted(p, 4 * STRETCH), 0);
	CHECK_EQ(fake_present(p, 4 * STRETCH), present);
	CHECK(pg64_counted(PG64_C_skip_promote_sparse) >= 4);
	/* Nothing of it is forgotten: it is purged as if it had never been looked at. */
	CHECK_EQ(totals().collapsed, MIN + STRETCH);
	pg64_span_decommit(p, STRETCH);
	CHECK_EQ(fake_present(p, STRETCH), 0);
}

static void fork_now(bool child)
{
	pg64_arena_before_fork();
	pg64_arena_after_fork(child);
}

/* Who forks shares what is there, for as long as the child lives; what comes later is its own. */
static void not_what_was_there_at_a_fork(bool child)
{
	begin();
	fork_now(child);
	use(span + MIN, MIN);
	live(5 * SECOND);
	CHECK_EQ(promoted(span, MIN), 0);
	CHECK_EQ(promoted(span + MIN, MIN), MIN / STRETCH);
	CHECK(pg64_counted(PG64_C_skip_promote_shared) > 0);
	/* Given back in part, the rest is still shared. */
	pg64_span_decommit(span, STRETCH / 2);
	use(span, STRETCH / 2);
	live(3 * SECOND);
	CHECK_EQ(promoted(span, MIN), 0);
	pg64_span_decommit(span, 2 * STRETCH);
	use(span, 2 * STRETCH);
	live(3 * SECOND);
	CHECK_EQ(promoted(span, MIN), 2);
}

static void not_what_a_child_shares(void)
{
	not_what_was_there_at_a_fork(false);
}

static void not_what_the_parent_shares(void)
{
	not_what_was_there_at_a_fork(true);
}

/* What the kernel did not take back is there still, and so is who shares it. */
static void not_after_a_purge_that_is_refused(void)
{
	begin();
	fork_now(false);
	fake.refuse[MADV_DONTNEED] = fake.refuse[FAKE_DONTNEED_LOCKED] = -EINVAL;
	pg64_span_decommit(span, STRETCH);
	use(span, STRETCH);
	use(span + MIN, STRETCH);
	live(3 * SECOND);
	CHECK_EQ(promoted(span, STRETCH), 0);
}

/* A commit that reaches into a stretch which holds data: not taken for empty, and not forgotten. */
static void not_born_where_data_is(void)
{
	begin();
	char *p = span + MIN;
	pg64_arenas.pmd_min = SIZE_MAX;
	use(p, 2 * STRETCH);
	pg64_span_decommit(p + STRETCH / 2, STRETCH);
	pg64_arenas.pmd_min = MIN;
	REQUIRE(pg64_span_commit(p, 2 * STRETCH) == 0);
	CHECK_EQ(promoted(p, 2 * STRETCH), 0);
	CHECK_EQ(totals().collapsed, 0);
	CHECK(fake_has_boundary(p, STRETCH) && fake_has_boundary(p + STRETCH, STRETCH));
	CHECK(keeps_its_contents(p, STRETCH / 2));
	CHECK(keeps_its_contents(p + STRETCH + STRETCH / 2, STRETCH / 2));
}

/* No page of that size is free: the granule that came is kept, and its fence is there again. */
static void born_without_a_page(void)
{
	begin();
	fake.pmd = false;
	use(span + MIN, STRETCH);
	CHECK_EQ(promoted(span + MIN, STRETCH), 0);
	CHECK_EQ(totals().collapsed, 0);
	CHECK_EQ(pg64_counted(PG64_C_fail_promote), 0);
	CHECK(fake_has_boundary(span + MIN, STRETCH));
	CHECK_EQ(fake.advised[FAKE_COLLAPSE], 0);
	CHECK(keeps_its_contents(span + MIN, STRETCH));
}

/* The limit is looked at once, at the start. */
static void not_near_a_limit(void)
{
	start_room = 2 * MIN + 64 * PG64_MIB;
	begin();
	use(span + MIN, 2 * MIN);
	live(3 * SECOND);
	CHECK_EQ(fake.rooms, 1);
	/* Born while there was room; the granule that fills it up has been counted then. */
	size_t born = promoted(span + MIN, MIN);
	CHECK(born >= MIN / STRETCH - 1);
	CHECK_EQ(promoted(span, 3 * MIN), born);
	CHECK(pg64_counted(PG64_C_skip_promote_room) > 0);
	CHECK_EQ(pg64_counted(PG64_C_fail_promote), 0);
	/* What is skipped is on 64 KiB pages, behind its fences. */
	CHECK_EQ(fake_order(span + 2 * MIN + STRETCH), 4);
	for (size_t s = 2 * MIN + STRETCH; s < 3 * MIN; s += STRETCH)
		CHECK(fake_has_boundary(span + s, STRETCH));
	/* The heap is smaller again. */
	pg64_span_decommit(span + 2 * MIN, MIN);
	live(3 * SECOND);
	CHECK_EQ(promoted(span, MIN), MIN / STRETCH);
	CHECK_EQ(fake.rooms, 1);
}

static void less_room_than_is_left_alone(void)
{
	start_room = 63 * PG64_MIB;
	begin();
	use(span + MIN, MIN);
	live(3 * SECOND);
	CHECK_EQ(promoted(span, 2 * MIN), 0);
}

/* Others have used up what there was at the start: waited for, and no failure. */
static void at_a_limit(int error)
{
	begin();
	fake.refuse[FAKE_COLLAPSE] = error;
	use(span + MIN, STRETCH);
	live(60 * SECOND);
	CHECK_EQ(promoted(span, MIN), 0);
	CHECK(fake.advised[FAKE_COLLAPSE] >= 4 && fake.advised[FAKE_COLLAPSE] <= 7);
	CHECK_EQ(pg64_counted(PG64_C_skip_promote_room), fake.advised[FAKE_COLLAPSE]);
	CHECK_EQ(pg64_counted(PG64_C_fail_promote), 0);
	CHECK(fake_has_boundary(span, STRETCH));
	fake.refuse[FAKE_COLLAPSE] = 0;
	live(15 * SECOND);
	CHECK_EQ(promoted(span, MIN), MIN / STRETCH);
}

static void at_a_limit_of_the_machine(void)
{
	at_a_limit(-ENOMEM);
}

static void at_a_limit_of_a_cgroup(void)
{
	at_a_limit(-EBUSY);
}

/* A run that meets it half-way keeps what it has, and tries no more of the rest than one. */
static void run_to_a_limit(void)
{
	begin_with(PG64_BACKEND_MTHP, false, PG64_PMD_AUTO);
	fake.drain_ns = 5000000;
	fake.collapse_ns = 100000;
	fake.stuck = span + 9 * STRETCH;
	fake.stuck_error = -EBUSY;
	use(span + MIN, MIN);
	live(5 * SECOND);
	/* 1, 2, 4, and 8 of which the third meets it; then 3 alone. */
	CHECK_EQ(promoted(span, 2 * MIN), 9);
	CHECK_EQ(pg64_counted(PG64_C_promote_calls), 4 + 3);
	CHECK_EQ(totals().collapsed, 9 * STRETCH);
	CHECK(keeps_its_contents(span, 2 * MIN));
}

static void gives_up(void)
{
	begin_with(PG64_BACKEND_MTHP, false, PG64_PMD_AUTO);
	fake.refuse[FAKE_COLLAPSE] = -EINVAL;
	use(span + MIN, 8 * MIN);
	live(20 * SECOND);
	CHECK_EQ(promoted(span, 9 * MIN), 0);
	CHECK_EQ(pg64_counted(PG64_C_fail_promote), 64);
	CHECK_EQ(pg64_counted(PG64_C_gate_promote_closed), 1);
	CHECK(!pg64_promote_watch);
	CHECK_EQ(totals().collapsed, 0);
	CHECK(keeps_its_contents(span, 9 * MIN));
	/* Heap and backend are as they were. */
	CHECK_EQ(pg64_page_backend(PG64_MEM_HEAP), PG64_BACKEND_MTHP);
	CHECK_EQ(fake_order(span + 8 * MIN), 4);
}

/* What cannot be moved gets its fence back. */
static void failure_leaves_fences(void)
{
	begin();
	fake.refuse[FAKE_COLLAPSE] = -EAGAIN;
	use(span + MIN, STRETCH);
	live(3 * SECOND);
	CHECK_EQ(promoted(span, MIN), 0);
	CHECK(pg64_counted(PG64_C_fail_promote) > 0);
	for (size_t s = 0; s < MIN; s += STRETCH)
		CHECK(fake_has_boundary(span + s, STRETCH));
	CHECK(keeps_its_contents(span, MIN));
	fake.refuse[FAKE_COLLAPSE] = 0;
	live(3 * SECOND);
	CHECK_EQ(promoted(span, MIN), MIN / STRETCH);
}

/* Parts are held until a quarter is free; then the page is split, and nothing of it is lost. */
static void purge_of_a_part(void)
{
	size_t quarter = STRETCH / 4;
	char *p = span;

	begin();
	p = span + MIN;
	use(p, STRETCH);
	pg64_span_decommit(p, quarter - PG64_GRANULE);
	CHECK_EQ(fake_present(p, STRETCH), STRETCH);
	pg64_span_decommit(p + quarter - PG64_GRANULE, PG64_GRANULE);
	CHECK_EQ(fake_present(p, STRETCH), STRETCH - quarter);
	CHECK_EQ(fake_stranded(p, STRETCH), 0);
	CHECK_EQ(fake.split, 1);
	CHECK(keeps_its_contents(p + quarter, STRETCH - quarter));
	/* A touch of what is free must not bring a PMD-size page by itself. */
	CHECK(fake_has_boundary(p, STRETCH));
	pg64_span_decommit(p, STRETCH);
	CHECK_EQ(fake_present(p, STRETCH), 0);
	CHECK_EQ(totals().collapsed, 0);
}

static void purge_of_all(void)
{
	begin();
	use(span + MIN, 2 * STRETCH);
	pg64_span_decommit(span + MIN, 2 * STRETCH);
	CHECK_EQ(fake_present(span + MIN, 2 * STRETCH), 0);
	CHECK_EQ(fake.split, 0);
	CHECK(fake_has_boundary(span + MIN, STRETCH));
	CHECK(fake_has_boundary(span + MIN + STRETCH, STRETCH));
}

static unsigned int intrusions;

/* Another thread frees the stretch while it is being moved. */
static void free_it(char *addr)
{
	if (!pg64_bit(pg64_arenas.table[0].busy, MIN / STRETCH) || intrusions++)
		return;
	CHECK(addr == span + MIN);
	pg64_span_decommit(span + MIN, STRETCH);
}

static void freed_meanwhile(void)
{
	begin();
	fake.in_touch = free_it;
	REQUIRE(pg64_span_commit(span + MIN, PG64_GRANULE) == 0);
	fake.in_touch = NULL;
	CHECK(intrusions > 0);
	CHECK_EQ(fake_present(span + MIN, STRETCH), 0);
	CHECK_EQ(totals().collapsed, 0);
	CHECK(fake_has_boundary(span + MIN, STRETCH));
}

static void children_wait(void)
{
	begin_with(PG64_BACKEND_MTHP, false, PG64_PMD_AUTO);
	fork_now(true);
	CHECK(!pg64_promote_watch);
	use(span + MIN, STRETCH);
	unsigned int looks = fake.mincores;
	live(SECOND - 1000000);
	CHECK_EQ(fake.mincores, looks);
	live(2 * SECOND);
	CHECK_EQ(promoted(span + MIN, STRETCH), 1);
}

/* Under a limit of accessible memory nothing is made resident ahead of use. */
static void not_in_exact_mode(void)
{
	begin();
	pg64_arenas.exact = true;
	use(span + MIN, MIN);
	live(3 * SECOND);
	CHECK_EQ(promoted(span, 2 * MIN), 0);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {CASE(small_heap_stays), CASE(growth),
		CASE(old_and_dense), CASE(without_the_pmd_size), CASE(on_the_patched_kernel),
		CASE(off_is_off), CASE(share_of_the_time), CASE(runs_where_the_drain_is_long),
		CASE(runs_do_not_take_long), CASE(single_where_each_is_slow),
		CASE(single_where_there_is_no_wait), CASE(run_that_fails_and_goes_on),
		CASE(run_that_fails_and_stops), CASE(run_with_a_gap),
		CASE(young_again_after_a_purge), CASE(not_what_is_sparse),
		CASE(not_what_a_child_shares), CASE(not_what_the_parent_shares),
		CASE(not_after_a_purge_that_is_refused), CASE(not_born_where_data_is),
		CASE(born_without_a_page), CASE(not_near_a_limit),
		CASE(less_room_than_is_left_alone), CASE(at_a_limit_of_the_machine),
		CASE(at_a_limit_of_a_cgroup), CASE(run_to_a_limit), CASE(gives_up),
		CASE(failure_leaves_fences), CASE(purge_of_a_part), CASE(purge_of_all),
		CASE(freed_meanwhile), CASE(children_wait), CASE(not_in_exact_mode)};

	return RUN_CASES(cases, argc, argv);
}
