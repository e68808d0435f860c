/* SPDX-License-Identifier: MIT */
/*
 * Promotion: PMD-size pages (2 MiB) where they cost nothing.
 *
 * 64 KiB pages save faults and kernel work, PMD-size pages save TLB misses as well, but waste
 * memory where they are given on a guess. The arenas do not guess: they know which stretches are
 * committed, since when, and that a heap is growing. MADV_COLLAPSE (Linux >= 6.1, no privilege,
 * independent of the sysfs settings) makes a PMD-size page of just these.
 *
 * Not done where it would cost memory after all: of stretches that are not resident, and near a
 * memory limit. What a forked process shares, which a collapse would copy, the arenas keep out.
 *
 * Files are read when the process starts and never after: it may have a seccomp filter by then that
 * kills whoever opens one, and a descriptor kept open may be closed, and be another file, by then.
 * What is called later is what the heap calls anyway: madvise(), mincore(), prctl() for fences.
 */
#include <errno.h>
#include <stdatomic.h>

#include "base/counters.h"
#include "base/fmt.h"
#include "page/probe.h"

/* Room that is left alone before a limit. A collapse needs a PMD-size page for a moment. */
#define RESERVE_BYTES (64 * PG64_MIB)

/*
 * Others use memory too, so a limit may be met before. The kernel reclaims some, and refuses; it
 * kills nobody for a page of that size (MADV_COLLAPSE: GFP_TRANSHUGE). Then not for so long.
 */
#define LIMIT_NS 10000000000

/* Consecutive failures after which it is not tried any more. */
#define FAILURES_MAX 64

/*
 * MADV_COLLAPSE waits once a call for CPUs with pages on their way to the lists of the reclaim
 * (lru_add_drain_all() in madvise_collapse(), mm/khugepaged.c): a microsecond or milliseconds,
 * depending on what they do. Where that is more than one part in WAIT_ONE_IN of a call, neighbours
 * are moved by one call; but it may take only so much longer than one of a single stretch does.
 */
#define WAIT_ONE_IN 8
#define RUN_NS 2000000

/* A stretch is dense if no more than one page in so many is absent: it will become resident. */
#define ABSENT_ONE_IN 16

/* Pages that one mincore() looks at. */
#define LOOK_PAGES 512

static struct {
	_Atomic bool on; /* the policy asks for it, and it has not failed for good */
	_Atomic uint32_t failures; /* since the last success */
	uint64_t room; /* bytes that this process could use when it started */
	_Atomic uint64_t limited_until_ns;
} promotion;

/* Of calls that succeeded. One thread at a time promotes. */
static struct {
	size_t run; /* stretches that the next call may take */
	uint64_t first_ns; /* what a call of one stretch takes */
	uint64_t further_ns; /* what each further one adds; 0: not known */
} pace;

void pg64_promotion_init(bool wanted)
{
	promotion.on = wanted;
	promotion.failures = 0;
	promotion.room = wanted ? pg64_page_os()->room() : 0;
	promotion.limited_until_ns = 0;
	pace.run = 1;
	pace.first_ns = pace.further_ns = 0;
}

bool pg64_promotion_on(void)
{
	return promotion.on;
}

bool pg64_page_promotion_room(uint64_t used)
{
	if (promotion.room >= RESERVE_BYTES && used <= promotion.room - RESERVE_BYTES)
		return true;
	pg64_count(PG64_C_skip_promote_room);
	return false;
}

static bool is_limit(int error)
{
	return error == -ENOMEM || error == -EBUSY;
}

static void failed(int error)
{
	if (is_limit(error)) {
		pg64_count(PG64_C_skip_promote_room);
		promotion.limited_until_ns = pg64_page_os()->now_ns() + LIMIT_NS;
		return;
	}
	pg64_count(PG64_C_fail_promote);
	if (++promotion.failures >= FAILURES_MAX && promotion.on) {
		promotion.on = false;
		pg64_count(PG64_C_gate_promote_closed);
		pg64_verbose(1, "PMD-size pages are not made any more: error %d", -error);
	}
}

static bool is_present(char *page)
{
	unsigned char seen = 0;

	return pg64_page_os()->mincore(page, pg64_page_bytes(), &seen) == 0 && (seen & 1);
}

static void learn(size_t count, uint64_t ns)
{
	if (count == 1 || ns < pace.first_ns)
		pace.first_ns = ns;
	/* What was too slow is forgotten after some calls: the machine may be idle by now. */
	pace.further_ns = count > 1 ? (ns - pace.first_ns) / (count - 1)
				    : pace.further_ns - pace.further_ns / 8;
	size_t next = pace.run > 2 * count ? pace.run : 2 * count;
	uint64_t each = pace.further_ns;
	if (each) {
		uint64_t wait = pace.first_ns > each ? pace.first_ns - each : 0;
		uint64_t pays = WAIT_ONE_IN * wait / each, fits = 1 + RUN_NS / each;

		next = next < fits ? next : fits;
		next = next < pays ? next : pays;
	}
	pace.run = !next ? 1 : next < PG64_PROMOTE_RUN_MAX ? next : PG64_PROMOTE_RUN_MAX;
}

static int call(char *run, size_t count)
{
	const struct pg64_page_os *os = pg64_page_os();
	uint64_t begin = os->now_ns();
	int ret = os->madvise(run, count * pg64_pmd_bytes(), PG64_MADV_COLLAPSE);

	pg64_count(PG64_C_promote_calls);
	if (ret < 0)
		return ret;
	promotion.failures = 0;
	learn(count, os->now_ns() - begin);
	return 0;
}

/*
 * Bit mask of the stretches that were moved. They are whole in one VMA only without their fences.
 * A call that fails has moved any of them: it stops at some errors, goes on at others, and says
 * the last one. Asked one by one, those that were moved say so at once, and the others why not.
 */
static uint32_t collapse(char *run, size_t count)
{
	bool fenced = pg64_page_needs_fence(PG64_MEM_HEAP);
	size_t len = pg64_pmd_bytes();
	bool limited = false;
	uint32_t done = 0;

	if (fenced)
		pg64_page_unfence(run, count * len);
	int ret = call(run, count);
	if (ret == 0)
		return ((uint32_t)1 << count) - 1;
	if (count > 1)
		pace.run = 1;
	for (size_t i = 0; i < count; i++) {
		/* At a limit each try would have the kernel reclaim some memory more. */
		if (count > 1 && !limited)
			ret = call(run + i * len, 1);
		if (ret == 0) {
			done |= (uint32_t)1 << i;
			continue;
		}
		if (fenced)
			pg64_page_fence(run + i * len, len);
		failed(ret);
		limited = is_limit(ret);
	}
	return done;
}

/* Only if the stretch is empty, and by one fault: what is there already is for promotion. */
bool pg64_promotion_populate(char *stretch, size_t len)
{
	char *last = stretch + len - pg64_page_bytes();

	if (is_present(stretch) || is_present(last))
		return false;
	pg64_page_unfence(stretch, len);
	pg64_page_os()->touch(stretch);
	if (!is_present(last)) {
		pg64_page_fence(stretch, len);
		return false;
	}
	pg64_count(PG64_C_promote_born);
	return true;
}

size_t pg64_page_promotion_run(uint64_t now_ns)
{
	return now_ns < promotion.limited_until_ns ? 0 : pace.run;
}

static bool is_dense(char *stretch, size_t len)
{
	size_t page = pg64_page_bytes(), absent = 0;
	unsigned char there[LOOK_PAGES];

	for (size_t at = 0; at < len; at += LOOK_PAGES * page) {
		size_t n = len - at < LOOK_PAGES * page ? len - at : LOOK_PAGES * page;

		if (pg64_page_os()->mincore(stretch + at, n, there) < 0)
			return false;
		for (size_t i = 0; i < n / page; i++)
			absent += there[i] & 1 ? 0 : page;
	}
	if (absent <= len / ABSENT_ONE_IN)
		return true;
	pg64_count(PG64_C_skip_promote_sparse);
	return false;
}

uint32_t pg64_page_promote(void *run, size_t count)
{
	size_t len = pg64_pmd_bytes(), first = 0;
	uint32_t done = 0;

	for (size_t i = 0; i <= count; i++) {
		if (i < count && promotion.on && is_dense((char *)run + i * len, len))
			continue;
		/* Those before it are neighbours. */
		if (i > first)
			done |= collapse((char *)run + first * len, i - first) << first;
		first = i + 1;
	}
	pg64_count_add(PG64_C_promote_ok, (uint64_t)__builtin_popcount(done));
	return done;
}
