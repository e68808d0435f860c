/* SPDX-License-Identifier: MIT */
/*
 * A preload that wraps malloc and free, as leak finders do; it asks for the next ones by
 * dlsym().
 */
#include <dlfcn.h>
#include <stdlib.h>

unsigned long wrapper_calls(void);

static unsigned long calls;

void *malloc(size_t size)
{
	static void *(*next)(size_t);

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "malloc");
	calls++;
	return next(size);
}

void free(void *block)
{
	static void (*next)(void *);

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "free");
	next(block);
}

unsigned long wrapper_calls(void)
{
	return calls;
}
