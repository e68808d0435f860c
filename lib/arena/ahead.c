/* SPDX-License-Identifier: MIT */
/*
 * Large blocks on the backend that fills memory at once.
 *
 * Whether a program will fill a block of many megabytes is not known when it asks for it, and a
 * sparse table made resident whole would be a disaster. So large blocks start on base pages and
 * are watched, as read-ahead watches a file: when the first stretch of a block is found filled,
 * the block is taken to be filled in order, and each further stretch is collapsed when its first
 * page has been touched, as long as nothing beyond it has. The allocator's own commits are the
 * moments to look; looking costs one mincore(2) of a page.
 *
 * At most one stretch a block is resident ahead of its use.
 */
#include "arena/internal.h"
#include "page/page.h"

#define WATCHED_MAX 8

/* The engine rounds blocks of so many bytes up, by less than this. */
#define ROUNDED_MIN (32 * PG64_MIB)
#define ROUNDED_UP (4 * PG64_MIB)

static struct watched {
	char *next; /* the stretch to be entered next; NULL: this slot is free */
	char *end; /* end of the last whole stretch */
	char *tail; /* from here on it may be room to spare */
	bool in_order; /* the first stretch was filled */
} watched[WATCHED_MAX];

static struct pg64_lock lock;
static _Atomic uint32_t count;
static size_t next_victim;

/* Pages present in [addr, addr + len), at most a stretch; -1: cannot be told. */
static long present(char *addr, size_t len)
{
	unsigned char pages[2048];
	size_t n = len / pg64_page_bytes();
	long sum = 0;

	if (n > sizeof(pages) || pg64_page_os()->mincore(addr, len, pages) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		sum += pages[i] & 1;
	return sum;
}

void pg64_ahead_watch(char *start, size_t len)
{
	size_t pmd = pg64_pmd_bytes();
	char *first = (char *)pg64_align_up((uintptr_t)start, pmd);
	char *end = (char *)pg64_align_down((uintptr_t)start + len, pmd);

	if (first + 2 * pmd > end)
		return;
	pg64_lock(&lock);
	size_t i = 0;
	while (i < WATCHED_MAX && watched[i].next)
		i++;
	/* Blocks that nobody fills must not keep later ones out. */
	if (i == WATCHED_MAX)
		i = next_victim++ % WATCHED_MAX;
	else
		count++;
	char *tail = len >= ROUNDED_MIN ? end - ROUNDED_UP : end;
	watched[i] = (struct watched){.next = first, .end = end, .tail = tail};
	pg64_unlock(&lock);
}

/* What to do with block @w: collapse [*from, *from + a stretch), or nothing (false). Lock held. */
static bool judge(struct watched *w, char **from)
{
	size_t page = pg64_page_bytes(), pmd = pg64_pmd_bytes();

	if (!w->in_order) {
		/* Its last page is the cheap test; then the stretch must really be dense. */
		if (present(w->next + pmd - page, page) <= 0)
			return false;
		/*
		 * Not all of it: the engine's header of the block is sparse, and gaps are no
		 * harm.
		 */
		w->in_order = present(w->next, pmd) >= (long)(pmd / page - pmd / page / 8);
		w->next += pmd;
		if (!w->in_order) {
			w->next = NULL;
			count--;
			return false;
		}
	}
	/* In the tail a granule in use is only the end of a block of a round size. */
	size_t sign = w->next >= w->tail ? 2 * PG64_GRANULE : 0;
	if (present(w->next + sign, page) <= 0)
		return false;
	*from = w->next;
	w->next += pmd;
	if (w->next >= w->end || present(w->next, page) > 0) {
		/* Done, or touched out of order: not the pattern that this is for. */
		w->next = NULL;
		count--;
	}
	return true;
}

bool pg64_ahead_is_filled(const char *start, const char *end)
{
	size_t page = pg64_page_bytes(), pmd = pg64_pmd_bytes();
	char *from = (char *)pg64_align_down((uintptr_t)end - ROUNDED_UP, pmd) - pmd;
	const uint64_t *last = (const uint64_t *)(const void *)(from + pmd - page);

	if (from < start || present(from, pmd) < (long)(pmd / page - pmd / page / 8))
		return false;
	/* It may have been made resident ahead of its use. */
	for (size_t i = 0; i < page / sizeof(*last); i++)
		if (last[i])
			return true;
	return false;
}

void pg64_ahead_step(void)
{
	char *from;

	if (count == 0)
		return;
	for (size_t i = 0; i < WATCHED_MAX; i++) {
		pg64_lock(&lock);
		bool found = watched[i].next && judge(&watched[i], &from);
		pg64_unlock(&lock);
		if (found)
			pg64_arena_collapse(from, from + pg64_pmd_bytes());
	}
}

void pg64_ahead_forget(const char *start, size_t len)
{
	if (count == 0)
		return;
	pg64_lock(&lock);
	for (size_t i = 0; i < WATCHED_MAX; i++) {
		struct watched *w = &watched[i];

		if (w->next && start < w->end && start + len > w->next) {
			w->next = NULL;
			count--;
		}
	}
	pg64_unlock(&lock);
}

void pg64_ahead_before_fork(void)
{
	pg64_lock_over_fork(&lock);
}

void pg64_ahead_after_fork(void)
{
	pg64_unlock_after_fork(&lock);
}
