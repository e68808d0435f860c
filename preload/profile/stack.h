/* SPDX-License-Identifier: MIT */
/*
 * The stack of the calling thread: where it is, and the return addresses that its chain of frame
 * pointers leads to. No lock, no allocation: pthread_getattr_np() for one takes a lock of the
 * thread and allocates under it.
 */
#ifndef PG64_PROFILE_STACK_H
#define PG64_PROFILE_STACK_H

#include <stdbool.h>
#include <stdint.h>

struct profile_stack {
	uintptr_t low, high; /* readable; both 0: not a stack that we know, of a coroutine say */
};

/** To be called once, by the main thread. */
void profile_stack_setup(void);

/**
 * The stack that @frame, an address in a frame of the caller's, is on: the part from there up is
 * found readable, and may be read as long as the frame is there. Cached for each thread.
 */
struct profile_stack profile_stack_of(const void *frame);

/**
 * Follow frame pointers from @frame (__builtin_frame_address(0) of the caller) to the end of
 * @stack. Reads nothing outside of it. Returns how many of @max addresses were found.
 */
unsigned int profile_walk_frames(
	const void *frame, struct profile_stack stack, uintptr_t *pc, unsigned int max);

#endif /* PG64_PROFILE_STACK_H */
