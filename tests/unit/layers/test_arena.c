/* SPDX-License-Identifier: MIT */
/*
 * Arenas: spans against a model on each backend, thresholds, limits, and what goes back when.
 */
#include <errno.h>
#include <sys/mman.h>

#include "arena/arena.h"
#include "arena/internal.h"
#include "arena/owner.h"
#include "arena_setup.h"
#include "base/counters.h"

#define SPANS 24

struct span {
	char *at;
	size_t granules;
	uint8_t fill[160]; /* of each granule: what was written last, 0: not committed */
};

static struct span spans[SPANS];

static size_t committed_in_model(void)
{
	size_t n = 0;

	for (size_t i = 0; i < SPANS; i++)
		for (size_t g = 0; spans[i].at && g < spans[i].granules; g++)
			n += spans[i].fill[g] != 0;
	return n * PG64_GRANULE;
}

static void check_span(const struct span *s)
{
	for (size_t g = 0; s->at && g < s->granules; g++) {
		const char *p = s->at + g * PG64_GRANULE;

		if (s->fill[g])
			CHECK(p[0] == (char)s->fill[g] && p[PG64_GRANULE - 1] == (char)s->fill[g]);
	}
}

static void take(struct span *s)
{
	size_t align = PG64_GRANULE << test_below(8);

	s->granules = 1 + test_below(test_random() & 1 ? 8 : 160);
	s->at = pg64_span_alloc(s->granules * PG64_GRANULE - test_below(PG64_GRANULE), align);
	if (!s->at)
		return;
	memset(s->fill, 0, sizeof(s->fill));
	CHECK(pg64_is_aligned((uintptr_t)s->at, align));
	for (size_t i = 0; i < SPANS; i++)
		if (&spans[i] != s && spans[i].at)
			CHECK(s->at + s->granules * PG64_GRANULE <= spans[i].at ||
				spans[i].at + spans[i].granules * PG64_GRANULE <= s->at);
}

/* Commit a run; what the span never held before must read as zero. */
static void commit(struct span *s, uint8_t *ever, size_t first, size_t count)
{
	if (pg64_span_commit(s->at + first * PG64_GRANULE, count * PG64_GRANULE) < 0)
		return;
	for (size_t g = first; g < first + count; g++) {
		char *p = s->at + g * PG64_GRANULE;

		CHECK(fake_is_writable(p));
		if (!ever[g])
			CHECK(fake_is_zero(p, PG64_GRANULE));
		ever[g] = 1;
		if (!s->fill[g]) {
			s->fill[g] = (uint8_t)(1 + test_below(255));
			fake_write(p, PG64_GRANULE, s->fill[g]);
		}
	}
}

/* What is added is committed, reads as zero and is no other span's; else nothing has changed. */
static size_t extended, not_extended;

static void extend(struct span *s, uint8_t *ever)
{
	size_t more = 1 + test_below(8);
	char *end = s->at + s->granules * PG64_GRANULE;

	if (s->granules + more > sizeof(s->fill))
		return;
	if (!pg64_span_extend(end, more * PG64_GRANULE - test_below(PG64_GRANULE))) {
		not_extended++;
		return;
	}
	extended++;
	for (size_t i = 0; i < SPANS; i++)
		if (spans[i].at > s->at)
			CHECK(end + more * PG64_GRANULE <= spans[i].at);
	memset(s->fill + s->granules, 0, more);
	memset(ever + s->granules, 0, more);
	s->granules += more;
	for (size_t g = s->granules - more; g < s->granules; g++) {
		char *p = s->at + g * PG64_GRANULE;

		CHECK(fake_is_writable(p) && fake_is_zero(p, PG64_GRANULE));
		ever[g] = 1;
		s->fill[g] = (uint8_t)(1 + test_below(255));
		fake_write(p, PG64_GRANULE, s->fill[g]);
	}
}

static void against_model(unsigned int rounds)
{
	static uint8_t ever[SPANS][160];

	for (unsigned int round = 0; round < rounds; round++) {
		size_t i = test_below(SPANS);
		struct span *s = &spans[i];

		if (!s->at) {
			take(s);
			memset(ever[i], 0, sizeof(ever[i]));
			continue;
		}
		size_t first = test_below(s->granules), count = 1 + test_below(s->granules - first);
		switch (test_below(9)) {
		case 8:
			extend(s, ever[i]);
			break;
		case 0:
			check_span(s);
			pg64_span_free(s->at, s->granules * PG64_GRANULE);
			s->at = NULL;
			break;
		case 1:
		case 2:
			pg64_span_decommit(s->at + first * PG64_GRANULE, count * PG64_GRANULE);
			memset(s->fill + first, 0, count);
			break;
		case 3:
			pg64_span_will_fill(s->at, s->granules * PG64_GRANULE);
			break;
		default:
			commit(s, ever[i], first, test_random() & 1 ? 1 : count);
		}
		check_span(s);
		CHECK_EQ(totals().committed, committed_in_model());
	}
	for (size_t i = 0; i < SPANS; i++)
		if (spans[i].at)
			pg64_span_free(spans[i].at, spans[i].granules * PG64_GRANULE);
	CHECK_EQ(totals().committed, 0);
	CHECK_EQ(totals().collapsed, 0);
	CHECK_EQ(pg64_counted(PG64_C_heap_commit_bytes), pg64_counted(PG64_C_heap_decommit_bytes));
}

static void random_base(void)
{
	arenas(PG64_BACKEND_BASE, 0, 0);
	against_model(1200);
	CHECK(extended > 10 && not_extended > 10);
	CHECK_EQ(totals().advised, 0);
	CHECK_EQ(fake_present(pg64_arenas.table[0].start, 32 * PG64_MIB), 0);
}

static void random_mthp(void)
{
	arenas(PG64_BACKEND_MTHP, 2 * PG64_MIB, 0);
	fake.pmd = true;
	/* Probed again, or the machine's own knobs would decide on fences. */
	pg64_page_reset();
	against_model(1200);
	CHECK_EQ(fake_present(pg64_arenas.table[0].start, 32 * PG64_MIB), 0);
}

static void random_collapse(void)
{
	arenas(PG64_BACKEND_COLLAPSE, PG64_MIB, 4 * PG64_MIB);
	against_model(1200);
	CHECK(pg64_counted(PG64_C_collapse_ok) > 20);
	CHECK_EQ(fake_present(pg64_arenas.table[0].start, 32 * PG64_MIB), 0);
	CHECK_EQ(fake_stranded(pg64_arenas.table[0].start, 32 * PG64_MIB), 0);
}

/* Collapsing fails now and then. */
static void flaky(char *addr)
{
	(void)addr;
	fake.refuse[FAKE_COLLAPSE] = test_below(3) ? 0 : -ENOMEM;
}

static void random_collapse_flaky(void)
{
	arenas(PG64_BACKEND_COLLAPSE, 0, 0);
	fake.in_touch = flaky;
	against_model(1200);
	CHECK(pg64_counted(PG64_C_fail_collapse) > 20);
}

static void random_exact(void)
{
	arenas(PG64_BACKEND_MTHP, 2 * PG64_MIB, 0);
	pg64_arenas.exact = true;
	fake.pmd = true;
	against_model(800);
	/* Nothing is accessible, so nothing is counted by a limit. */
	CHECK_EQ(fake.writable, 0);
}

/* Under a limit on writable memory, commits fail and everything else goes on. */
static void random_limited(void)
{
	arenas(PG64_BACKEND_BASE, 0, 0);
	fake.writable_limit = 20 * PG64_MIB;
	against_model(1200);
	CHECK(pg64_counted(PG64_C_fail_commit) > 0);
	CHECK(pg64_arenas.exact);
	CHECK(fake.writable <= 20 * PG64_MIB);
}

/* mlockall(MCL_FUTURE): what becomes accessible becomes resident, and MADV_DONTNEED is refused. */
static void random_locked(void)
{
	arenas(PG64_BACKEND_BASE, 0, 0);
	fake.locked = true;
	against_model(700);
	CHECK(pg64_arenas.exact);
}

/* A filter refuses to purge: a fresh span must read as zero all the same. */
static void random_no_purge(void)
{
	arenas(PG64_BACKEND_COLLAPSE, 0, 0);
	fake.refuse[MADV_DONTNEED] = -EPERM;
	against_model(700);
	CHECK(pg64_counted(PG64_C_fail_purge) > 0);
	CHECK(!pg64_arenas.exact);
}

static void random_no_purge_at_all(void)
{
	arenas(PG64_BACKEND_COLLAPSE, 0, 0);
	fake.refuse[MADV_DONTNEED] = -EPERM;
	fake.fixed_error = -ENOMEM;
	against_model(700);
}

static void random_exact_no_purge(void)
{
	arenas(PG64_BACKEND_BASE, 0, 0);
	pg64_arenas.exact = true;
	fake.refuse[MADV_DONTNEED] = -EINVAL;
	fake.refuse[FAKE_DONTNEED_LOCKED] = -EINVAL;
	fake.fixed_error = -EAGAIN;
	against_model(700);
}

/* Old data that can neither be purged nor cleared is never handed out as a fresh span. */
static void dirty_is_not_handed_out(void)
{
	arenas(PG64_BACKEND_BASE, 0, 0);
	pg64_arenas.exact = true;
	char *p = pg64_span_alloc(PG64_MIB, PG64_GRANULE);
	REQUIRE(p && pg64_span_commit(p, PG64_MIB / 2) == 0);
	fake_write(p, PG64_MIB / 2, 7);
	fake.refuse[MADV_DONTNEED] = -EPERM;
	fake.fixed_error = -EAGAIN;
	fake.writable_limit = 0;
	pg64_span_free(p, PG64_MIB);
	CHECK_EQ(totals().committed, 0);
	fake.writable_limit = SIZE_MAX;
	char *q = pg64_span_alloc(PG64_MIB, PG64_GRANULE);
	REQUIRE(q && pg64_span_commit(q, PG64_MIB) == 0);
	CHECK(fake_is_zero(q, PG64_MIB));
}

static void bad_requests(void)
{
	arenas(PG64_BACKEND_BASE, 0, 0);
	CHECK(!pg64_span_alloc(0, PG64_GRANULE));
	CHECK(!pg64_span_alloc(SIZE_MAX, PG64_GRANULE));
	CHECK(!pg64_span_alloc(SIZE_MAX / 2 + 1, PG64_GRANULE));
	CHECK(!pg64_span_alloc((size_t)1 << 47, PG64_GRANULE));
	CHECK(!pg64_span_alloc(PG64_GRANULE, (size_t)1 << 62));
	CHECK_EQ(fake.mmaps, 0);
	/* Not of an arena. */
	CHECK_EQ(pg64_span_commit(&spans, PG64_GRANULE), -ENOMEM);
	pg64_span_decommit(&spans, PG64_GRANULE);
	pg64_span_free(&spans, PG64_GRANULE);
	pg64_span_will_fill(&spans, PG64_GIB);
	CHECK(!pg64_span_extend(&spans, PG64_GRANULE));
	char *span = pg64_span_alloc(1, 1);
	REQUIRE(span);
	CHECK(!pg64_span_extend(span + PG64_GRANULE, 0));
	CHECK(!pg64_span_extend(span + PG64_GRANULE, SIZE_MAX));
	/* Up to the end of the arena, and not beyond. */
	size_t rest = (pg64_arenas.table[0].granules - 1) * PG64_GRANULE;
	CHECK(!pg64_span_extend(span + PG64_GRANULE, rest + 1));
	CHECK(pg64_span_extend(span + PG64_GRANULE, rest));
	CHECK(!pg64_span_extend(span + PG64_GRANULE, PG64_GRANULE));
	CHECK(!pg64_span_extend(span + PG64_GRANULE + rest, PG64_GRANULE));
}

/* Only whole granules are given up, whatever the range. */
static void decommit_is_conservative(void)
{
	arenas(PG64_BACKEND_BASE, 0, 0);
	char *p = pg64_span_alloc(4 * PG64_GRANULE, PG64_GRANULE);
	REQUIRE(p && pg64_span_commit(p, 4 * PG64_GRANULE) == 0);
	fake_write(p, 4 * PG64_GRANULE, 3);
	pg64_span_decommit(p + 4096, PG64_GRANULE);
	pg64_span_decommit(p + 4096, PG64_GRANULE - 4096);
	CHECK_EQ(totals().committed, 4 * PG64_GRANULE);
	pg64_span_decommit(p + 4096, 2 * PG64_GRANULE);
	CHECK_EQ(totals().committed, 3 * PG64_GRANULE);
	CHECK(p[PG64_GRANULE - 1] == 3 && p[PG64_GRANULE] == 0 && p[2 * PG64_GRANULE] == 3);
	/* And a commit makes every byte of it accessible. */
	CHECK_EQ(pg64_span_commit(p + 2 * PG64_GRANULE - 1, 2), 0);
	CHECK_EQ(totals().committed, 4 * PG64_GRANULE);
}

static void aligned_spans(void)
{
	arenas(PG64_BACKEND_BASE, 0, 0);
	for (size_t align = PG64_GRANULE; align <= PG64_GIB; align *= 2) {
		char *p = pg64_span_alloc(PG64_GRANULE, align);
		char *q = pg64_span_alloc(5 * PG64_MIB, align);

		CHECK(p && pg64_is_aligned((uintptr_t)p, align));
		CHECK(q && pg64_is_aligned((uintptr_t)q, align));
		CHECK(p != q);
		pg64_span_free(p, PG64_GRANULE);
		pg64_span_free(q, 5 * PG64_MIB);
	}
}

/* A hint that is taken, and one that the kernel heeds. */
static void address_hints(void)
{
	arenas(PG64_BACKEND_BASE, 0, 0);
	pg64_arenas.next_hint = (uintptr_t)fake_space() + 4 * PG64_GIB;
	char *p = pg64_span_alloc(PG64_GIB, PG64_GIB);
	CHECK(p == fake_space() + 4 * PG64_GIB);
	/* Right behind it, in one call each. */
	unsigned int calls = fake.mmaps;
	char *q = pg64_span_alloc(PG64_MIB, PG64_GRANULE);
	CHECK(q == p + PG64_GIB);
	CHECK(fake.mmaps - calls <= 2);
	pg64_arenas.next_hint = (uintptr_t)p;
	char *r = pg64_span_alloc(PG64_GIB, PG64_SEGMENT);
	CHECK(r && (r + PG64_GIB <= p || r >= q + PG64_GIB));
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {CASE(random_base), CASE(random_mthp),
		CASE(random_collapse), CASE(random_collapse_flaky), CASE(random_exact),
		CASE(random_limited), CASE(random_locked), CASE(random_no_purge),
		CASE(random_no_purge_at_all), CASE(random_exact_no_purge),
		CASE(dirty_is_not_handed_out), CASE(bad_requests), CASE(decommit_is_conservative),
		CASE(aligned_spans), CASE(address_hints)};

	return RUN_CASES(cases, argc, argv);
}
