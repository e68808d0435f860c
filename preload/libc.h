/* SPDX-License-Identifier: MIT */
/*
 * The C library's own malloc family, called when pg64 steps aside (see pg64_libc_find()).
 */
#ifndef PG64_LIBC_H
#define PG64_LIBC_H

#include <malloc.h>
#include <stdio.h>

struct pg64_libc {
	void *(*malloc)(size_t size);
	void *(*calloc)(size_t count, size_t size);
	void *(*realloc)(void *block, size_t size);
	void (*free)(void *block);
	void *(*memalign)(size_t align, size_t size);
	size_t (*malloc_usable_size)(void *block);
	/* The rest may be missing (NULL). */
	struct mallinfo (*mallinfo)(void);
	struct mallinfo2 (*mallinfo2)(void);
	int (*mallopt)(int param, int value);
	int (*malloc_trim)(size_t pad);
	void (*malloc_stats)(void);
	int (*malloc_info)(int options, FILE *stream);
};

extern struct pg64_libc pg64_libc __attribute__((visibility("hidden")));

#endif /* PG64_LIBC_H */
