/* SPDX-License-Identifier: MIT */
/*
 * Promotion: PMD-size pages (2 MiB) where they cost nothing.
 *
 * 64 KiB pages save faults and kernel work, PMD-size pages save TLB misses as well, but waste
 * memory where they are given on a guess. The arenas do not guess: they know which stretches are
 * committed, since when, and that a heap is growing. MADV_COLLAPSE (Linux >= 6.1, no privilege,
 * independent of the sysfs settings) makes a PMD-size page of just these.
 *
 * Not done where it would cost memory after all: of stretches that are not resident, of pages that
 * a forked process shares (a collapse copies them), and near a memory limit.
 */
#include <errno.h>
#include <stdatomic.h>

#include "base/counters.h"
#include "base/fmt.h"
#include "page/probe.h"

/* Room that is left alone before a limit. A collapse needs a PMD-size page for a moment. */
#define RESERVE_BYTES (64 * PG64_MIB)

/* What a look at the limits is good for: so many bytes, and so long. */
#define ROOM_STEP_BYTES (64 * PG64_MIB)
#define ROOM_NS 100000000

/* Consecutive failures after which it is not tried any more. */
#define FAILURES_MAX 64

/* A stretch is dense if no more than one page in so many is absent: it will become resident. */
#define ABSENT_ONE_IN 16

static struct {
	_Atomic bool on; /* the policy asks for it, and it has not failed for good */
	_Atomic uint32_t failures; /* since the last success */
	_Atomic uint64_t room_until_ns;
	_Atomic int64_t room; /* bytes that may still be taken before the limits are looked at */
	_Atomic bool tight; /* there was less than a step: wait before looking again */
} promotion;

void pg64_promotion_init(bool wanted)
{
	promotion.on = wanted;
	promotion.failures = 0;
	promotion.room_until_ns = 0;
	promotion.room = 0;
}

bool pg64_promotion_on(void)
{
	return promotion.on;
}

/* Threads that come together may both look, or take a stretch more than was seen: no harm. */
static bool has_room(size_t len)
{
	const struct pg64_page_os *os = pg64_page_os();
	uint64_t now = os->now_ns();

	if (now >= promotion.room_until_ns || (promotion.room < (int64_t)len && !promotion.tight)) {
		uint64_t room = os->room();

		room = room > RESERVE_BYTES ? room - RESERVE_BYTES : 0;
		promotion.tight = room < ROOM_STEP_BYTES;
		promotion.room = (int64_t)(promotion.tight ? room : ROOM_STEP_BYTES);
		promotion.room_until_ns = now + ROOM_NS;
	}
	if (promotion.room < (int64_t)len) {
		pg64_count(PG64_C_skip_promote_room);
		return false;
	}
	promotion.room -= (int64_t)len;
	return true;
}

static bool failed(int error)
{
	pg64_count(PG64_C_fail_promote);
	if (++promotion.failures >= FAILURES_MAX && promotion.on) {
		promotion.on = false;
		pg64_count(PG64_C_gate_promote_closed);
		pg64_verbose(1, "PMD-size pages are not made any more: error %d", -error);
	}
	return false;
}

static bool is_present(char *page)
{
	unsigned char seen = 0;

	return pg64_page_os()->mincore(page, pg64_page_bytes(), &seen) == 0 && (seen & 1);
}

/* The stretch is whole in one VMA only without its fence. */
static bool collapse(char *stretch, size_t len)
{
	bool fenced = pg64_page_needs_fence(PG64_MEM_HEAP);

	if (fenced)
		pg64_page_unfence(stretch, len);
	int ret = pg64_page_os()->madvise(stretch, len, PG64_MADV_COLLAPSE);
	if (ret == 0) {
		promotion.failures = 0;
		return true;
	}
	if (fenced)
		pg64_page_fence(stretch, len);
	return failed(ret);
}

/*
 * Only if the stretch is empty, and by one fault: what is there already is for promotion, and
 * MADV_COLLAPSE would be slower than the faults that it saves.
 */
bool pg64_promotion_populate(char *stretch, size_t len)
{
	char *last = stretch + len - pg64_page_bytes();

	if (is_present(stretch) || is_present(last) || !has_room(len))
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

bool pg64_page_promote(void *stretch)
{
	const struct pg64_page_os *os = pg64_page_os();
	size_t len = pg64_pmd_bytes();
	struct pg64_page_seen seen;

	if (!promotion.on || os->look(stretch, len, &seen) < 0)
		return false;
	if (seen.present < len - len / ABSENT_ONE_IN) {
		pg64_count(PG64_C_skip_promote_sparse);
		return false;
	}
	if (seen.shared || !seen.shared_known) {
		pg64_count(PG64_C_skip_promote_shared);
		return false;
	}
	if (!has_room(len) || !collapse(stretch, len))
		return false;
	pg64_count(PG64_C_promote_ok);
	return true;
}
