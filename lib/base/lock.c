/* SPDX-License-Identifier: MIT */
/*
 * A spinning mutex that survives fork: see lock.h.
 *
 * The owner is a process and a thread of it. The process tells a lock that a thread of ours will
 * release from one whose owner stayed behind in the parent; the thread tells a signal handler that
 * the lock is its own. Both change in one store: a handler that forks may come in after any
 * instruction, and must never find a lock that is taken but nobody's.
 */
#include "lock.h"

#include "base.h"
#include "sys.h"

#define SPINS 64

/*
 * A lock with the process id of another is a copy that nobody will release - or this process is a
 * vfork() child, which shares its parent's memory, and another thread of the parent holds it and
 * will release it. So the lock is taken over only after more patience than a holder needs.
 */
#define PATIENCE_YIELDS 2000

static inline void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/*
 * Asked of the kernel once, and again where a lock is contended: a child made without fork handlers
 * starts with its parent's. Two threads of such a child can then hold a lock under the parent's
 * id, and patience is what keeps the one from taking it off the other.
 */
static uint32_t known_pid;

static uint32_t ask_pid(void)
{
	uint32_t pid = (uint32_t)pg64_sys_getpid();

	__atomic_store_n(&known_pid, pid, __ATOMIC_RELAXED);
	return pid;
}

static uint32_t my_pid(void)
{
	uint32_t pid = __atomic_load_n(&known_pid, __ATOMIC_RELAXED);

	return pid ? pid : ask_pid();
}

/* This thread, by a number that its copy in a forked child has too. Never 0. */
static uint32_t self(void)
{
	static uint32_t last;
	static __thread uint32_t number;

	if (pg64_unlikely(number == 0))
		number = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
	return number;
}

static uint64_t owner_of(uint32_t pid, uint32_t thread)
{
	return (uint64_t)pid << 32 | thread;
}

static uint32_t pid_of(uint64_t owner)
{
	return (uint32_t)(owner >> 32);
}

static uint32_t thread_of(uint64_t owner)
{
	return (uint32_t)owner;
}

static bool try_take(struct pg64_lock *lock, uint64_t from, uint32_t pid)
{
	return __atomic_compare_exchange_n(&lock->owner, &from, owner_of(pid, self()), false,
		__ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static bool is_forking(const struct pg64_lock *lock)
{
	uint32_t forker = __atomic_load_n(&lock->forker, __ATOMIC_RELAXED);

	return forker && forker == self();
}

void pg64_lock(struct pg64_lock *lock)
{
	uint32_t pid = my_pid();
	uint64_t stranger = 0;
	unsigned int patience = 0;
	unsigned int spins = 0;

	while (!try_take(lock, 0, pid)) {
		if (is_forking(lock))
			return;
		uint64_t owner = __atomic_load_n(&lock->owner, __ATOMIC_RELAXED);

		if (spins++ < SPINS) {
			relax();
			continue;
		}
		if (spins == SPINS + 1)
			pid = ask_pid();
		if (owner == 0 || pid_of(owner) == pid || owner != stranger) {
			stranger = pid_of(owner) == pid ? 0 : owner;
			patience = 0;
		} else if (++patience > PATIENCE_YIELDS && try_take(lock, owner, pid)) {
			return;
		}
		pg64_sys_yield();
	}
}

void pg64_unlock(struct pg64_lock *lock)
{
	if (!is_forking(lock))
		__atomic_store_n(&lock->owner, 0, __ATOMIC_RELEASE);
}

void pg64_lock_over_fork(struct pg64_lock *lock)
{
	/*
	 * Ours already: a signal handler forks that has interrupted this thread in between. It will
	 * go on there and release the lock itself, in the parent and in the child.
	 */
	lock->nested = thread_of(__atomic_load_n(&lock->owner, __ATOMIC_RELAXED)) == self();
	if (!lock->nested)
		pg64_lock(lock);
	__atomic_store_n(&lock->forker, self(), __ATOMIC_RELAXED);
}

void pg64_unlock_after_fork(struct pg64_lock *lock)
{
	bool nested = lock->nested;

	lock->nested = 0;
	__atomic_store_n(&lock->forker, 0, __ATOMIC_RELAXED);
	if (!nested)
		pg64_unlock(lock);
}

void pg64_lock_new_process(void)
{
	__atomic_store_n(&known_pid, 0, __ATOMIC_RELAXED);
}
