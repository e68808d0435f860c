/* SPDX-License-Identifier: MIT */
/*
 * A library with fork handlers that allocate, small and large: those of ours must not be in
 * their way.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void work(const char *when)
{
	for (size_t size = 10; size <= ((size_t)80 << 20); size *= 7) {
		char *p = malloc(size);

		if (!p || !strcpy(p, when))
			abort();
		p = realloc(p, size * 2);
		if (!p || strcmp(p, when) != 0)
			abort();
		free(p);
	}
	void *map = mmap(NULL, 1 << 22, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		abort();
	munmap(map, 1 << 22);
}

static void prepare(void)
{
	work("prepare");
}

static void parent(void)
{
	work("parent");
}

static void child(void)
{
	work("child");
}

__attribute__((constructor(101))) static void start(void)
{
	pthread_atfork(prepare, parent, child);
}
