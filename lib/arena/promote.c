/* SPDX-License-Identifier: MIT */
/*
 * Promotion of what is there: stretches that are dense, old and live, a few neighbours at a time.
 *
 * A stretch is a candidate when all of it was in use at two scans that began SCAN_NS apart, and
 * nothing of it was given back in between. Whether it is resident the page layer looks at
 * (pg64_page_promote()). Memory that was there at a fork may be another process's too, for as long
 * as that lives, and who has it could only be told from a file: it is not promoted until it was
 * given back whole. Steps are made by threads that allocate, when the engine
 * is at rest; there is no thread of pg64's own, which programs would trip over: fork, seccomp,
 * unshare(2) and limits on threads all ask for a program's own count.
 *
 * A step that does something makes the next one wait for fifteen times as long as it took.
 */
#include "arena/internal.h"
#include "base/counters.h"
#include "page/page.h"

#define SCAN_NS 500000000
#define SHARE 15

/* Stretches looked at in one step: bounds the time that the lock is held. */
#define LOOKS_MAX 512

bool pg64_promote_watch;

static struct {
	uint32_t stepping; /* a thread is in a step */
	uint64_t next_ns; /* no step before */
	uint64_t scan_ns; /* when the last scan began */
	size_t arena, stretch; /* where it goes on */
} state;

void pg64_promote_reset(uint64_t wait_ns)
{
	__atomic_store_n(&pg64_promote_watch, false, __ATOMIC_RELAXED);
	__atomic_store_n(&state.stepping, 0, __ATOMIC_RELAXED);
	state.next_ns = wait_ns ? pg64_page_os()->now_ns() + wait_ns : 0;
	state.arena = state.stretch = 0;
}

void pg64_promote_forked(void)
{
	struct pg64_arena_state *st = &pg64_arenas;
	size_t per_stretch = pg64_pmd_bytes() / PG64_GRANULE;

	for (size_t i = 0; i < st->count; i++) {
		struct arena *a = &st->table[i];
		size_t stretches = a->start ? a->granules / per_stretch : 0;

		for (size_t s = 0; s < stretches; s++)
			if (pg64_bit(a->collapsed, s) ||
				!pg64_bits_none(a->committed, s * per_stretch, per_stretch))
				pg64_bits_set(a->forked, s, 1);
	}
}

void pg64_promote_given_back(struct arena *a, size_t first, size_t count)
{
	size_t per_stretch = pg64_pmd_bytes() / PG64_GRANULE;
	size_t stretches = a->granules / per_stretch;

	/* Where the kernel refused to take memory back, what is not in use is still there. */
	if (pg64_arenas.pmd_min == SIZE_MAX || pg64_arenas.unclean)
		return;
	for (size_t s = first / per_stretch; s < stretches && s * per_stretch < first + count; s++)
		if (!pg64_bit(a->collapsed, s) &&
			pg64_bits_none(a->committed, s * per_stretch, per_stretch))
			pg64_bits_clear(a->forked, s, 1);
}

static void set_next(uint64_t ns)
{
	__atomic_store_n(&state.next_ns, ns, __ATOMIC_RELAXED);
}

/* Look at one stretch of the scan. Lock held. */
static bool is_candidate(struct arena *a, size_t s)
{
	size_t per_stretch = pg64_pmd_bytes() / PG64_GRANULE;

	if (pg64_bit(a->collapsed, s))
		return false;
	if (pg64_bits_count(a->committed, s * per_stretch, per_stretch) < per_stretch) {
		pg64_bits_clear(a->aged, s, 1);
		return false;
	}
	if (!pg64_bit(a->aged, s)) {
		pg64_bits_set(a->aged, s, 1);
		return false;
	}
	if (pg64_bit(a->forked, s)) {
		pg64_count(PG64_C_skip_promote_shared);
		return false;
	}
	return true;
}

struct run {
	char *start;
	size_t count; /* stretches; 0: none found this time */
};

/* Take candidates from stretch @s on, the scan's next, up to @max or the first that is none. */
static struct run take_run(struct arena *a, size_t max)
{
	struct run run = {a->start + state.stretch * pg64_pmd_bytes(), 0};

	while (run.count < max && (state.stretch + 1) * pg64_pmd_bytes() <= a->frontier) {
		size_t s = state.stretch++;

		if (!is_candidate(a, s) || !pg64_stretch_take(a, s))
			break;
		run.count++;
	}
	return run;
}

/* Go on with the scan to the next candidates and take up to @max of them. Lock held. */
static struct run next_run(uint64_t now, size_t max)
{
	struct pg64_arena_state *st = &pg64_arenas;
	size_t pmd = pg64_pmd_bytes();

	if (state.arena == 0 && state.stretch == 0)
		state.scan_ns = now;
	for (int looks = 0; looks < LOOKS_MAX; looks++) {
		struct arena *a = &st->table[state.arena];

		if (state.arena >= st->count) {
			/* Round once. */
			state.arena = state.stretch = 0;
			set_next(state.scan_ns + SCAN_NS);
			break;
		}
		if (!a->start || !a->asked || (state.stretch + 1) * pmd > a->frontier) {
			state.arena++;
			state.stretch = 0;
			continue;
		}
		struct run run = take_run(a, max);
		if (run.count)
			return run;
	}
	return (struct run){NULL, 0};
}

static void step(uint64_t begin)
{
	struct pg64_arena_state *st = &pg64_arenas;
	const struct pg64_page_os *os = pg64_page_os();
	struct run run = {NULL, 0};

	pg64_lock(&st->lock);
	size_t max = pg64_page_promotion_run(begin);
	if (max && !st->exact && st->committed_bytes > st->pmd_min &&
		pg64_page_promotion_room(st->committed_bytes))
		run = next_run(begin, max);
	else
		set_next(begin + SCAN_NS);
	pg64_unlock(&st->lock);
	if (!run.count)
		return;
	uint32_t done = pg64_page_promote(run.start, run.count);
	for (size_t i = 0; i < run.count; i++)
		pg64_stretch_settle(run.start + i * pg64_pmd_bytes(), done >> i & 1);
	uint64_t end = os->now_ns();
	set_next(end + SHARE * (end - begin));
	pg64_count_add(PG64_C_promote_us, (end - begin) / 1000);
}

void pg64_promote_step(void)
{
	if (!pg64_page_promotes()) {
		__atomic_store_n(&pg64_promote_watch, false, __ATOMIC_RELAXED);
		return;
	}
	uint64_t now = pg64_page_os()->now_ns();
	if (now < __atomic_load_n(&state.next_ns, __ATOMIC_RELAXED) ||
		__atomic_exchange_n(&state.stepping, 1, __ATOMIC_ACQUIRE))
		return;
	/* Another thread may have made a step since. */
	if (now >= state.next_ns)
		step(now);
	__atomic_store_n(&state.stepping, 0, __ATOMIC_RELEASE);
}
