/* SPDX-License-Identifier: MIT */
/*
 * Growth of the heap, told to one hook (pg64_on_growth() of the public header).
 *
 * A span is committed from the depths of the heap engine, where a hook that allocates would find
 * its lists half changed. So commits are noted for the thread, and the hook is called when the
 * engine has the thread's block ready: by pg64_growth_tell(), still inside the same malloc().
 *
 * Without a hook it all costs one load of pg64_growth_hook a commit, and one each time the engine
 * leaves its fast path.
 */
#ifndef PG64_GROWTH_H
#define PG64_GROWTH_H

#include "base/base.h"

/* Read by the two functions below; set by pg64_growth_set(). */
extern pg64_growth_fn pg64_growth_hook __attribute__((visibility("hidden")));

/** Set the hook (NULL: none). Returns the one before. */
pg64_growth_fn pg64_growth_set(pg64_growth_fn hook);

/** Does anybody want to know? */
static inline bool pg64_growth_watched(void)
{
	return pg64_unlikely(__atomic_load_n(&pg64_growth_hook, __ATOMIC_RELAXED) != NULL);
}

/** [addr, addr + bytes) was committed for the calling thread. Only when watched. */
PG64_COLD void pg64_growth_note(void *addr, size_t bytes);

/** Call the hook with what was noted since the last time. No lock held, the engine at rest. */
PG64_COLD void pg64_growth_tell(void);

/*
 * Has the compiler keep a frame pointer in this function, so that a hook that follows frame
 * pointers gets through it to the program.
 */
#define PG64_KEEP_FRAME() __asm__ volatile("" : : "r"(__builtin_frame_address(0)))

#endif /* PG64_GROWTH_H */
