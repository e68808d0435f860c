/* SPDX-License-Identifier: MIT */
/*
 * pg64_on_growth(): what a hook is told, that it may allocate, and that it can be taken away.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "../check.h"

#define THREADS 4

static _Atomic uint64_t told_bytes, told_count;
static __thread int depth;
static bool hook_allocates;

static void first(void *addr, size_t bytes)
{
	(void)addr;
	CHECK(bytes > 0);
}

/* Changes errno, and when it allocates, does it in every size. */
static void hook(void *addr, size_t bytes)
{
	CHECK(depth++ == 0);
	CHECK(addr && (uintptr_t)addr % PG64_GRANULE == 0);
	CHECK(bytes && bytes % PG64_GRANULE == 0);
	told_bytes += bytes;
	told_count++;
	for (size_t size = 8; hook_allocates && size <= 4 * MIB; size *= 2) {
		char *block = malloc(size);

		CHECK(block);
		memset(block, 0x5a, size < 4096 ? size : 4096);
		hide(block);
		free(block);
	}
	errno = EDOM;
	depth--;
}

static void *churn(void *seed)
{
	uint32_t state = (uint32_t)(uintptr_t)seed;
	char *blocks[512] = {NULL};

	for (int i = 0; i < 40000; i++) {
		size_t slot = next_random(&state) % 512;
		size_t size = (size_t)1 << (next_random(&state) % 18);

		free(blocks[slot]);
		errno = 0;
		blocks[slot] = malloc(size + slot);
		CHECK(blocks[slot] && errno == 0);
		memset(blocks[slot], (int)slot, 64 < size ? 64 : size);
	}
	for (int i = 0; i < 512; i++)
		free(blocks[i]);
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS];
	uint64_t before, count;

	/* Nothing is served where a sanitizer is in the process. */
	if (!(pg64_live.active & 1))
		return 77;
	CHECK(pg64_on_growth(first) == NULL);
	CHECK(pg64_on_growth(hook) == first);

	/* What it is told is what was committed. */
	before = counter("heap_commit_bytes");
	churn((void *)1);
	CHECK(told_bytes == counter("heap_commit_bytes") - before);

	hook_allocates = true;
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, churn, (void *)(i + 2)) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK(told_bytes <= counter("heap_commit_bytes") - before);

	CHECK(pg64_on_growth(NULL) == hook);
	count = told_count;
	churn((void *)7);
	CHECK(told_count == count && count > 0);
	return 0;
}
