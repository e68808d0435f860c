/* SPDX-License-Identifier: MIT */
/*
 * What libpg64-profile.so asks of libpg64-unwind.so.
 */
#ifndef PG64_PROFILE_UNWIND_H
#define PG64_PROFILE_UNWIND_H

#include "stack.h"

/**
 * The return addresses of the calling thread, the innermost first, by unwind tables. @stack is
 * where its frames are, if known. Takes no lock of the dynamic linker. Returns how many of @max.
 */
typedef unsigned int (*pg64_unwind_fn)(struct profile_stack stack, uintptr_t *pc, unsigned int max);

unsigned int pg64_unwind(struct profile_stack stack, uintptr_t *pc, unsigned int max);

#endif /* PG64_PROFILE_UNWIND_H */
