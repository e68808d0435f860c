/* SPDX-License-Identifier: MIT */
/*
 * A frame on x86-64 and AArch64 starts with the caller's frame pointer and the return address. Code
 * built without frame pointers uses the register for something else: what does not look like
 * the next frame up on the same stack ends the walk.
 */
#include "stack.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGES_AT_ONCE 32
/* What lies further from the end of the thread's stack is not on it. */
#define STACK_MAX ((uintptr_t)64 << 20)

/* From ld.so: a little below the environment, above every frame of the main thread. */
extern void *__libc_stack_end __attribute__((weak));

struct frame {
	const struct frame *caller;
	uintptr_t pc;
};

static pthread_t main_thread;
static uintptr_t page_bytes;
static __thread struct profile_stack own;

void profile_stack_setup(void)
{
	main_thread = pthread_self();
	page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
}

/* Can one byte of each page from @low to @high be read? */
static bool are_readable(uintptr_t low, uintptr_t high)
{
	struct iovec there[PAGES_AT_ONCE];
	char bytes[PAGES_AT_ONCE];

	while (low < high) {
		struct iovec here = {.iov_base = bytes};

		while (low < high && here.iov_len < PAGES_AT_ONCE) {
			there[here.iov_len].iov_base = (void *)low;
			there[here.iov_len++].iov_len = 1;
			low = (low & ~(page_bytes - 1)) + page_bytes;
		}
		if (process_vm_readv(getpid(), &here, 1, there, here.iov_len, 0) !=
			(ssize_t)here.iov_len)
			return false;
	}
	return true;
}

/*
 * The C library puts the descriptor of a thread, whose address pthread_self() is, at the end of its
 * stack. A frame is on that stack if there is no hole from it up to there.
 */
struct profile_stack profile_stack_of(const void *frame)
{
	static const struct profile_stack unknown;
	uintptr_t at = (uintptr_t)frame, end;

	if (at >= own.low && at < own.high)
		return own;
	if (!pthread_equal(pthread_self(), main_thread))
		end = (uintptr_t)pthread_self();
	else
		end = &__libc_stack_end ? (uintptr_t)__libc_stack_end : 0;
	if (at >= end || end - at > STACK_MAX || !are_readable(at, own.high ? own.low : end))
		return unknown;
	own = (struct profile_stack){at, end};
	return own;
}

unsigned int profile_walk_frames(
	const void *frame, struct profile_stack stack, uintptr_t *pc, unsigned int max)
{
	const struct frame *f = frame;
	unsigned int n = 0;

	while (n < max) {
		uintptr_t at = (uintptr_t)f;

		if (at < stack.low || at % sizeof(f) || at + sizeof(*f) > stack.high || !f->pc)
			break;
		pc[n++] = f->pc;
		if (f->caller <= f)
			break;
		f = f->caller;
	}
	return n;
}
