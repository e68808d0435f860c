/* SPDX-License-Identifier: MIT */
/*
 * Freed memory that waits for its purge in segments that are still in use.
 *
 * Part of engine_pinned.c, after mimalloc's segment.c; not for anybody else.
 *
 * mimalloc 2.0.9 purges free slices after the purge delay, but looks at the clock for a segment
 * only when a page of that segment is taken or freed, and each page that comes out of what waits
 * begins the delay of all that waits there anew. So a thread that frees a heap but for a few blocks
 * and goes on with little would hold most of it for good. Here it looks at all of its segments
 * every now and then, when it allocates. WAITING_DELAYS purge delays after it was freed
 *  - what waits in a segment from which no page came into use meanwhile goes back;
 *  - where pages did, what has waited all along goes back. That takes a note of what waits, which
 *    stands where the first slice of a segment has room behind mimalloc's tables.
 * What a program frees and uses again within that time it has faulted in once, as before.
 *
 * A look goes over all free spans: the more there are, the fewer looks. It gives back
 * WAITING_BYTES and a segment at most, and leaves the rest to the next one, soon. Nobody looks for
 * a thread that makes no call; malloc_trim() in that thread gives all back.
 *
 * Errors: none. Thread safety: all of it works on segments of the calling thread.
 */
#ifndef PG64_HEAP_WAITING_H
#define PG64_HEAP_WAITING_H

#include <time.h>

#define WAITING_DELAYS 20
#define WAITING_LOOKS 5 /* in that time */
#define WAITING_SPANS 1024 /* more than this put the next look off */
#define WAITING_BYTES (32 * PG64_MIB)
#define WAITING_SOON 25 /* in that time, when a look has given back so much */

struct waiting {
	/* Whose note it is: what else is found there is none. */
	const mi_segment_t *segment;
	mi_threadid_t thread;
	unsigned int look; /* at which the segment was last seen */
	mi_msecs_t since; /* as all times here on mimalloc's clock */
	mi_commit_mask_t all_along; /* has waited ever since */
};

_Static_assert(sizeof(mi_segment_t) + sizeof(struct waiting) <= MI_SEGMENT_SLICE_SIZE,
	"there is no room for a note");

static mi_msecs_t waiting_delay; /* WAITING_DELAYS delays; 0: nothing ever waits. Set once. */

/* This thread: may anything wait, is it looking, which look is it, and when is the next. */
static __thread bool waiting_any, waiting_busy;
static __thread unsigned int waiting_look_no;
static __thread mi_msecs_t waiting_next;

/* Set the purge delay in milliseconds, before the first allocation. */
static void waiting_init(unsigned int purge_delay_ms)
{
	waiting_delay = (mi_msecs_t)purge_delay_ms * WAITING_DELAYS;
}

/* To be called when a page was freed, or came with a segment that another thread left. */
static inline void waiting_begins(void)
{
	waiting_any = waiting_delay != 0;
}

static inline struct waiting *waiting_note(mi_segment_t *segment)
{
	return (struct waiting *)(void *)(segment + 1);
}

static inline bool waiting_is_note(const struct waiting *w, const mi_segment_t *segment)
{
	return w->segment == segment && w->thread == _mi_thread_id();
}

/* To be called when a page of this thread's came into use. */
static inline void waiting_page_taken(const mi_page_t *page)
{
	if (pg64_likely(!waiting_any) || !page)
		return;
	mi_segment_t *segment = _mi_page_segment(page);
	struct waiting *w = waiting_note(segment);
	if (waiting_is_note(w, segment))
		mi_commit_mask_create_intersect(
			&w->all_along, &segment->decommit_mask, &w->all_along);
}

/* Purge those parts of a segment that are in @mask, none of them in use. Returns bytes. */
static size_t waiting_purge(mi_segment_t *segment, const mi_commit_mask_t *mask)
{
	size_t idx, count, bytes = _mi_commit_mask_committed_size(mask, MI_SEGMENT_SIZE);

	mi_commit_mask_foreach(mask, idx, count)
	{
		mi_segment_commitx(segment, false, (uint8_t *)segment + idx * MI_COMMIT_SIZE,
			count * MI_COMMIT_SIZE, &_mi_stats_main);
	}
	mi_commit_mask_foreach_end();
	if (mi_commit_mask_is_empty(&segment->decommit_mask))
		segment->decommit_expire = 0;
	return bytes;
}

/* Pages come and go in this segment: what of it does not? Returns bytes that were given back. */
static size_t waiting_see(mi_segment_t *segment, mi_msecs_t now)
{
	struct waiting *w = waiting_note(segment);
	bool known = waiting_is_note(w, segment) && waiting_look_no - w->look <= 1;
	size_t bytes = 0;

	if (known) {
		if (w->look == waiting_look_no)
			return 0;
		w->look = waiting_look_no;
		mi_commit_mask_create_intersect(
			&w->all_along, &segment->decommit_mask, &w->all_along);
		if (now - w->since < waiting_delay)
			return 0;
		bytes = waiting_purge(segment, &w->all_along);
	}
	*w = (struct waiting){.segment = segment,
		.thread = _mi_thread_id(),
		.look = waiting_look_no,
		.since = now,
		.all_along = segment->decommit_mask};
	return bytes;
}

/* Of one segment. Returns bytes that were given back. */
static size_t waiting_look_at(mi_segment_t *segment, mi_msecs_t now)
{
	mi_msecs_t calm = waiting_delay - waiting_delay / WAITING_DELAYS;
	mi_commit_mask_t all = segment->decommit_mask;

	/* It is over a delay after a page of what waits last came into use. */
	return now - segment->decommit_expire >= calm ? waiting_purge(segment, &all)
						      : waiting_see(segment, now);
}

static PG64_COLD void waiting_look(mi_segments_tld_t *tld, mi_msecs_t now)
{
	size_t spans = 0, bytes = 0;
	bool any = false;

	for (size_t bin = 0; bin <= MI_SEGMENT_BIN_MAX; bin++) {
		for (mi_slice_t *slice = tld->spans[bin].first; slice; slice = slice->next) {
			mi_segment_t *segment = _mi_ptr_segment(slice);

			spans++;
			if (mi_commit_mask_is_empty(&segment->decommit_mask))
				continue;
			bytes += waiting_look_at(segment, now);
			any |= !mi_commit_mask_is_empty(&segment->decommit_mask);
			if (bytes >= WAITING_BYTES) {
				/* The same look goes on then. */
				waiting_next = now + waiting_delay / WAITING_SOON;
				return;
			}
		}
	}
	waiting_look_no++;
	waiting_any = any;
	waiting_next =
		now + waiting_delay / WAITING_LOOKS * (mi_msecs_t)(1 + spans / WAITING_SPANS);
}

/* By the coarse clock, which is cheaper, and up to a tick of the kernel's behind. */
static PG64_COLD void waiting_look_in_time(mi_heap_t *heap)
{
	struct timespec t = {0};

	/*
	 * A thread that has ended may allocate once more, in destructors. And a clock_gettime() of
	 * the program's own may come here.
	 */
	if (!mi_heap_is_initialized(heap) || waiting_busy)
		return;
	waiting_busy = true;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	waiting_busy = false;
	mi_msecs_t now = (mi_msecs_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
	if (pg64_unlikely(now >= waiting_next))
		waiting_look(&heap->tld->segments, now);
}

/*
 * To be called where an allocation of @size bytes leaves the fast path, the engine being at rest.
 * Larger blocks come here each time, small ones once a few KiB. Nothing of it is on the caller's
 * stack: its last call must be able to take the place of its frame.
 */
static inline void waiting_step(mi_heap_t *heap, size_t size)
{
	static __thread uint8_t larger;

	if (pg64_unlikely(waiting_any) && (size <= MI_SMALL_SIZE_MAX || ++larger % 16 == 0))
		waiting_look_in_time(heap);
}

#endif /* PG64_HEAP_WAITING_H */
