/* SPDX-License-Identifier: MIT */
/*
 * The engine in a forked child: what other threads had, of which none is there any more.
 *
 * Part of engine_pinned.c; not for anybody else. Called by the fork handlers, before and after.
 *
 * mimalloc 2.0.9 is lock-free, but for two waits on other threads: for readers of the abandoned
 * list, and for a delayed free that is under way. Both are brought to rest.
 *
 * It knows a thread by the address of its thread control block, and a segment by the thread that
 * owns it. glibc gives the stacks of the threads that are gone to new threads of the child, and
 * with a stack goes that address. Such a thread must not take for its own what the other one had,
 * perhaps in the middle of a change: freeing a block there follows pointers that are not set (the
 * heap of a page that was just being abandoned). So those segments get an owner that no thread is:
 * blocks of them are handed back from outside, to where nobody collects them. The heaps of
 * the threads that are gone are lost to the child, as they are with any allocator.
 *
 * With the stack may come the thread-specific values of the one that is gone, the heap among them:
 * glibc 2.36 clears them only for a thread that was not at its destructors. The variables are new,
 * so a thread ends the heap that its variable names, and no other.
 *
 * A child made without handlers (_Fork, clone) gets none of this, and from glibc no such stacks. A
 * program that itself gives a new thread the stack of one that is gone is not covered there.
 */
#ifndef PG64_HEAP_FORKED_H
#define PG64_HEAP_FORKED_H

#include <sys/single_threaded.h>

/* No thread's identity, which is an address. Nor 0, which says that a segment is to be had. */
#define THREAD_GONE ((mi_threadid_t)1)

static bool had_threads; /* now or ever: glibc 2.36 never takes it back */

void pg64_heap_before_fork(void)
{
	had_threads = !__libc_single_threaded;
	kept_before_fork();
}

void pg64_heap_after_fork_parent(void)
{
	kept_after_fork(false);
}

/* Another thread may have been copied in the middle of handing a block to this page's owner. */
static void end_delayed_freeing(mi_page_t *page)
{
	mi_thread_free_t old = mi_atomic_load_relaxed(&page->xthread_free);

	if (mi_tf_delayed(old) == MI_DELAYED_FREEING)
		mi_atomic_store_release(
			&page->xthread_free, mi_tf_set_delayed(old, MI_USE_DELAYED_FREE));
}

/* By segments, not by heaps: a thread at its end has none any more, and may fork in a handler. */
static void keep(mi_segment_t *segment)
{
	const mi_slice_t *end = mi_segment_slices_end(segment);

	for (mi_slice_t *slice = segment->slices; slice < end && slice->slice_count > 0;
		slice += slice->slice_count)
		if (slice->xblock_size > 0)
			end_delayed_freeing(mi_slice_to_page(slice));
}

static void keep_or_disown(void *start)
{
	mi_segment_t *segment = start;
	mi_threadid_t owner = mi_atomic_load_relaxed(&segment->thread_id);

	/* Written to only if need be: a page is copied. */
	if (owner == _mi_thread_id())
		keep(segment);
	else if (owner != 0 && owner != THREAD_GONE)
		mi_atomic_store_release(&segment->thread_id, THREAD_GONE);
}

void pg64_heap_after_fork_child(void)
{
	kept_after_fork(true);
	if (!had_threads)
		return;
	mi_atomic_store_release(&abandoned_readers, (size_t)0);
	pg64_owner_each(keep_or_disown);
}

static void end_own_heap(void *heap)
{
	if (heap != mi_get_default_heap())
		return;
	kept_thread_ends();
	mi_pthread_done(heap);
	kept_thread_ended();
}

#endif /* PG64_HEAP_FORKED_H */
