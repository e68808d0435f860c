/* SPDX-License-Identifier: MIT */
/*
 * Free segments of threads that have ended, kept for the threads that come next.
 *
 * Part of engine_pinned.c, after waiting.h; not for anybody else.
 *
 * A segment whose last page is freed goes back to the arenas, and its memory to the kernel: nothing
 * may happen any more in a process that has gone idle. But in a program whose threads come and go
 * each new thread then has all of its memory faulted in and cleared anew. mimalloc has a cache for
 * that (src/segment-cache.c), without a bound for what is in it, and full whether or not threads
 * come. Here free segments are kept, with what is in them, where it was seen to be of use. All
 * times are KEPT_DELAYS purge delays: by mimalloc 2.0.9's defaults a free segment stays (500 ms) 20
 * times as long as a free slice (25 ms).
 *  - The room for it is zero at first. When a new thread has its first segment mapped, and not long
 *    before one went back for want of room, that one would have been of use, and the room grows by
 *    what such a segment had, up to KEPT_BYTES. It is zero again when no thread took what is kept
 *    for so long.
 *  - What is kept goes back after that time, and takes its room with it. The clock is looked at
 *    when a thread ends or frees a segment, and now and then when one allocates. A process that
 *    goes idle as a whole holds what is kept.
 *  - malloc_trim() and a failed allocation give everything back, and the room is zero again.
 *  - There is no room with a purge delay of zero, nor where a limit counts what is accessible, nor
 *    where RLIMIT_AS is set at the start: what is kept holds address space, too.
 *
 * The next segment that any thread wants is the one kept last. All of it is free memory of that
 * thread then. mimalloc purges such after the purge delay, but each page that comes into use puts
 * that off, and after the last one nothing ends it. So the thread purges what it never came to use
 * of it: when it allocates after the time that a segment is kept, takes another, or ends and leaves
 * a segment to others. Until then that is lent, and what is kept and what is lent have the room
 * together: threads that take a segment and go idle hold no more than it.
 *
 * Bytes are those that the engine has committed. Parts of a PMD-size page that could not be given
 * back alone (see arena/stretch.c) may be resident beyond them.
 *
 * Errors: none. Thread safety: all functions; the lock is held for bookkeeping only. A child made
 * without fork handlers may find it held: each change of a slot is done by one store. What was lent
 * to threads that such a child does not have counts on there, so that it keeps less.
 */
#ifndef PG64_HEAP_KEPT_H
#define PG64_HEAP_KEPT_H

#define KEPT_SEGMENTS 16
#define KEPT_BYTES (64 * PG64_MIB)
#define KEPT_DELAYS 20

struct kept {
	void *start; /* NULL: the slot is empty */
	size_t memid; /* mimalloc's word for where it came from */
	size_t bytes; /* committed */
	mi_msecs_t end; /* as all times here on mimalloc's clock */
	mi_commit_mask_t committed;
};

static struct {
	struct pg64_lock lock;
	struct kept slots[KEPT_SEGMENTS];
	size_t count; /* slots in use; read without the lock, too */
	size_t lent; /* bytes; atomic */
	size_t pending; /* slots in use, and threads to which something is lent; atomic */
	size_t room; /* bytes, until ... */
	mi_msecs_t room_end;
	size_t missed, missed_bytes; /* segments that went back for want of room, until ... */
	mi_msecs_t missed_end;
	mi_msecs_t delay; /* 0: keep nothing. Set once. */
	bool threads_end; /* one has */
} kept;

/* This thread: may its next segment be one that was kept, and was its last one? */
static __thread bool kept_fits;
static __thread mi_segment_t *kept_taken;

/* This thread has taken a segment before, kept or not. */
static __thread bool kept_begun;

/*
 * A segment of which a part is lent to this thread (NULL: none): what the thread never came to use
 * of it, and until when.
 */
static __thread mi_segment_t *kept_rest;
static __thread mi_commit_mask_t kept_unused;
static __thread mi_msecs_t kept_rest_end;

/* Set the purge delay in milliseconds, before the first allocation. @limited: address space is. */
static void kept_init(unsigned int purge_delay_ms, bool limited)
{
	if (!limited)
		kept.delay = (mi_msecs_t)purge_delay_ms * KEPT_DELAYS;
}

static bool kept_any(void)
{
	return __atomic_load_n(&kept.count, __ATOMIC_RELAXED) != 0;
}

/* Count what is there anew, and return its bytes. Lock held. */
static size_t kept_recount(void)
{
	size_t bytes = 0, count = 0;

	for (size_t i = 0; i < KEPT_SEGMENTS; i++) {
		if (kept.slots[i].start) {
			bytes += kept.slots[i].bytes;
			count++;
		}
	}
	__atomic_store_n(&kept.count, count, __ATOMIC_RELAXED);
	return bytes;
}

/* The slot kept first, or @last, or NULL. Lock held. */
static struct kept *kept_find(bool last)
{
	struct kept *found = NULL;

	for (struct kept *slot = kept.slots; slot < kept.slots + KEPT_SEGMENTS; slot++)
		if (slot->start &&
			(!found || (last ? slot->end > found->end : slot->end < found->end)))
			found = slot;
	return found;
}

static void kept_pend(size_t change)
{
	__atomic_fetch_add(&kept.pending, change, __ATOMIC_RELAXED);
}

/* Take what is in a slot out. Lock held. */
static struct kept kept_empty(struct kept *slot)
{
	struct kept entry = *slot;

	__atomic_store_n(&slot->start, NULL, __ATOMIC_RELEASE);
	kept_pend((size_t)-1);
	kept_recount();
	return entry;
}

/* Give back the oldest if its time is over, or if @all. Was there one? */
static bool kept_release_one(bool all)
{
	mi_msecs_t now = _mi_clock_now();
	struct kept entry = {.start = NULL};

	pg64_lock(&kept.lock);
	struct kept *slot = kept_find(false);
	if (slot && (all || now >= slot->end)) {
		entry = kept_empty(slot);
		kept.room -= kept.room < entry.bytes ? kept.room : entry.bytes;
	}
	if (all)
		kept.room = kept.missed = kept.missed_bytes = 0;
	pg64_unlock(&kept.lock);
	if (!entry.start)
		return false;
	_mi_stat_decrease(&_mi_stats_main.committed, entry.bytes);
	_mi_abandoned_await_readers();
	_mi_arena_free(entry.start, MI_SEGMENT_SIZE, MI_SEGMENT_ALIGN, 0, entry.memid, false,
		&_mi_stats_main);
	return true;
}

/* Give back what has been kept for long enough, or @all. Was there anything? */
static bool kept_release(bool all)
{
	bool any = false;

	if (!all && !kept_any())
		return false;
	while (kept_release_one(all || pg64_arena_is_exact()))
		any = true;
	return any;
}

/* Bytes. */
static size_t kept_mask_size(const mi_commit_mask_t *mask)
{
	return _mi_commit_mask_committed_size(mask, MI_SEGMENT_SIZE);
}

/* What has come into use since, or is purged, is not lent any more. */
static PG64_COLD void kept_see_use(void)
{
	mi_commit_mask_t now;

	mi_commit_mask_create_intersect(&kept_unused, &kept_rest->decommit_mask, &now);
	if (memcmp(&now, &kept_unused, sizeof(now)) == 0)
		return;
	size_t less = kept_mask_size(&kept_unused) - kept_mask_size(&now);

	kept_unused = now;
	__atomic_fetch_sub(&kept.lent, less, __ATOMIC_RELAXED);
}

/* Nothing is lent to this thread any more: it is purged, or the segment is not this thread's. */
static void kept_end_loan(bool purge)
{
	if (!kept_rest)
		return;
	kept_see_use();
	if (purge)
		waiting_purge(kept_rest, &kept_unused);
	__atomic_fetch_sub(&kept.lent, kept_mask_size(&kept_unused), __ATOMIC_RELAXED);
	kept_rest = NULL;
	kept_pend((size_t)-1);
}

static PG64_COLD void kept_look(void)
{
	kept_release(false);
	if (kept_rest && _mi_clock_now() >= kept_rest_end)
		kept_end_loan(true);
}

/* To be called often, when the engine is at rest. */
static inline void kept_step(void)
{
	static __thread uint8_t calls;

	if (pg64_unlikely(__atomic_load_n(&kept.pending, __ATOMIC_RELAXED)) && calls++ % 64 == 0)
		kept_look();
}

static void kept_thread_ends(void)
{
	__atomic_store_n(&kept.threads_end, true, __ATOMIC_RELAXED);
}

/* As a rule it has freed each segment or left it to others; the main thread's heap stays. */
static void kept_thread_ended(void)
{
	kept_end_loan(true);
}

/*
 * In place of mi_option_is_enabled() in segment.c, which asks for this option when a thread leaves
 * a segment to others: is all to be purged that waits for it? What is lent is.
 */
static bool kept_option(mi_option_t option)
{
	if (option == mi_option_abandoned_page_decommit)
		kept_end_loan(true);
	return mi_option_is_enabled(option);
}

/* A segment is free: is there room for it? Lock held. */
static bool kept_has_room(size_t bytes, mi_msecs_t now)
{
	size_t held = kept_recount() + __atomic_load_n(&kept.lent, __ATOMIC_RELAXED);

	if (now >= kept.room_end)
		kept.room = 0;
	if (held + bytes <= kept.room)
		return kept.count < KEPT_SEGMENTS;
	if (now >= kept.missed_end)
		kept.missed = kept.missed_bytes = 0;
	kept.missed++;
	kept.missed_bytes += bytes;
	kept.missed_end = now + kept.delay;
	return false;
}

/* The lock is held, and there is an empty slot. */
static void kept_put(const struct kept *entry)
{
	struct kept *slot = kept.slots;

	while (slot->start)
		slot++;
	slot->memid = entry->memid;
	slot->bytes = entry->bytes;
	slot->end = entry->end;
	slot->committed = entry->committed;
	__atomic_store_n(&slot->start, entry->start, __ATOMIC_RELEASE);
	kept_pend(1);
	kept_recount();
}

/* In place of _mi_segment_cache_push(): a segment without a page in use. False: it is not kept. */
static bool kept_push(void *start, size_t size, size_t memid, const mi_commit_mask_t *committed,
	const mi_commit_mask_t *decommit, bool is_large, bool is_pinned, mi_os_tld_t *tld)
{
	struct kept entry = {.start = start, .memid = memid, .committed = *committed};

	(void)size; /* MI_SEGMENT_SIZE */
	(void)decommit;
	(void)tld;
	if (kept_rest == start)
		kept_end_loan(false);
	kept_release(false);
	if (!__atomic_load_n(&kept.threads_end, __ATOMIC_RELAXED) || kept.delay == 0 || is_large ||
		is_pinned || pg64_arena_is_exact())
		return false;
	mi_msecs_t now = _mi_clock_now();
	entry.bytes = kept_mask_size(committed);
	entry.end = now + kept.delay;
	pg64_lock(&kept.lock);
	bool room = kept_has_room(entry.bytes, now);
	if (room)
		kept_put(&entry);
	pg64_unlock(&kept.lock);
	if (room)
		pg64_count(PG64_C_heap_segments_kept);
	return room;
}

/* A new thread has its first segment mapped. Would one be kept for it with more room? */
static void kept_learn(void)
{
	mi_msecs_t now = _mi_clock_now();

	pg64_lock(&kept.lock);
	if (now >= kept.room_end)
		kept.room = 0;
	if (kept.missed > 0 && now < kept.missed_end) {
		size_t one = kept.missed_bytes / kept.missed;

		kept.room = kept.room + one < KEPT_BYTES ? kept.room + one : KEPT_BYTES;
		kept.room_end = now + kept.delay;
		kept.missed_bytes -= one;
		kept.missed--;
	}
	pg64_unlock(&kept.lock);
}

/* Take the segment that was kept last, as a loan. A start of NULL: there is none. */
static struct kept kept_take(void)
{
	mi_msecs_t now = _mi_clock_now();
	struct kept entry = {.start = NULL};

	pg64_lock(&kept.lock);
	struct kept *slot = kept_find(true);
	if (slot) {
		__atomic_fetch_add(&kept.lent, slot->bytes, __ATOMIC_RELAXED);
		entry = kept_empty(slot);
		kept.room_end = now + kept.delay;
	}
	pg64_unlock(&kept.lock);
	return entry;
}

/* The segment just taken is set up: what is not its first page is free memory of this thread. */
static PG64_COLD void kept_settle(void)
{
	mi_segment_t *segment = kept_taken;
	const mi_slice_t *end = mi_segment_slices_end(segment);

	kept_taken = NULL;
	for (mi_slice_t *slice = segment->slices; slice < end; slice += slice->slice_count)
		if (slice->xblock_size == 0)
			mi_segment_perhaps_decommit(segment, mi_slice_start(slice),
				slice->slice_count * MI_SEGMENT_SLICE_SIZE, &_mi_stats_main);
	kept_rest = segment;
	kept_pend(1);
	kept_rest_end = _mi_clock_now() + kept.delay;
	kept_see_use();
}

/* To be called when a page of this thread's came into use. */
static inline void kept_page_taken(void)
{
	if (pg64_unlikely(kept_taken))
		kept_settle();
	else if (pg64_unlikely(kept_rest))
		kept_see_use();
}

/*
 * In place of _mi_segment_cache_pop(). What is committed of it is not said to be waiting for its
 * purge: mimalloc would find that wait over at once. kept_settle() says it later.
 */
static void *kept_pop(size_t size, mi_commit_mask_t *committed, mi_commit_mask_t *decommit,
	bool *large, bool *is_pinned, bool *is_zero, mi_arena_id_t arena, size_t *memid,
	mi_os_tld_t *tld)
{
	struct kept entry = {.start = NULL};

	(void)arena;
	(void)tld;
	if (!kept_fits || size != MI_SEGMENT_SIZE)
		return NULL;
	/* For want of memory its first page was not to be had. Another would be no better. */
	if (kept_taken) {
		kept_settle();
		return NULL;
	}
	if (kept_any())
		entry = kept_take();
	if (!entry.start) {
		if (!kept_begun && __atomic_load_n(&kept.threads_end, __ATOMIC_RELAXED))
			kept_learn();
		kept_begun = true;
		return NULL;
	}
	kept_begun = true;
	kept_end_loan(true);
	kept_taken = entry.start;
	kept_unused = entry.committed;
	*committed = entry.committed;
	mi_commit_mask_create_empty(decommit);
	*large = *is_pinned = *is_zero = false;
	*memid = entry.memid;
	pg64_count(PG64_C_heap_segments_reused);
	return entry.start;
}

/* In place of _mi_segment_cache_collect(): a thread ends, or @force. */
static void kept_collect(bool force, mi_os_tld_t *tld)
{
	(void)tld;
	kept_release(force);
}

/* Fork. */
static void kept_before_fork(void)
{
	pg64_lock_over_fork(&kept.lock);
}

static void kept_after_fork(bool child)
{
	if (child) {
		kept.lent = kept_rest || kept_taken ? kept_mask_size(&kept_unused) : 0;
		kept.pending = kept.count + (kept_rest != NULL);
	}
	pg64_unlock_after_fork(&kept.lock);
}

#endif /* PG64_HEAP_KEPT_H */
