/* SPDX-License-Identifier: MIT */
/*
 * A mutex for rare, short critical sections: spins with sched_yield(), needs no initialisation,
 * works from zeroed .bss and survives fork: a lock that was held by a thread of the parent when a
 * fork without handlers (vfork, clone, _Fork) copied it is taken over by the child.
 */
#ifndef PG64_LOCK_H
#define PG64_LOCK_H

#include <stdint.h>

struct pg64_lock {
	uint64_t owner; /* process id and thread, in one word; 0: free */
	uint32_t forker; /* the thread that holds it over a fork; 0: nobody */
	uint32_t nested; /* the fork came from a signal handler of the thread that holds it */
};

void pg64_lock(struct pg64_lock *lock);
void pg64_unlock(struct pg64_lock *lock);

/**
 * Hold @lock over a fork: until pg64_unlock_after_fork(), in the parent and in the child, the
 * calling thread may lock and unlock it as if it were free. Fork handlers of other libraries run in
 * between, and they allocate.
 */
void pg64_lock_over_fork(struct pg64_lock *lock);
void pg64_unlock_after_fork(struct pg64_lock *lock);

/** In a forked child, before any lock is used: this process has another id now. */
void pg64_lock_new_process(void);

#endif /* PG64_LOCK_H */
