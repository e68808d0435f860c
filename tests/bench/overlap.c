/* SPDX-License-Identifier: MIT */
/*
 * A malloc to preload that is broken on purpose: each PERIODth malloc hands out a block that
 * somebody still has, if one is known that is large enough. The programs of the benchmark set
 * have to notice. It never reuses what is freed, so that this one fault is all that goes wrong,
 * and leaves calloc alone, for the C library starts threads with that.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define EXPORT __attribute__((visibility("default")))
#define RESERVE_BYTES (16ull << 30)
#define PERIOD 997
#define KNOWN 64

struct header {
	uint64_t size, unused;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char *next, *end;
static void *known[KNOWN]; /* blocks that are in use, the newest last */
static unsigned known_count, calls;

static struct header *header_of(void *block)
{
	return (struct header *)block - 1;
}

static void *carve(size_t align, size_t size)
{
	uintptr_t at;

	if (!next) {
		next = mmap(NULL, RESERVE_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (next == MAP_FAILED)
			return NULL;
		end = next + RESERVE_BYTES;
	}
	at = ((uintptr_t)next + sizeof(struct header) + align - 1) & ~(uintptr_t)(align - 1);
	if (size > RESERVE_BYTES || at + size > (uintptr_t)end) {
		errno = ENOMEM;
		return NULL;
	}
	next = (char *)at + size;
	header_of((void *)at)->size = size;
	return (void *)at;
}

static void forget(unsigned i)
{
	memmove(&known[i], &known[i + 1], (known_count - i - 1) * sizeof(known[0]));
	known_count--;
}

static void *get(size_t size)
{
	void *block;

	if (++calls % PERIOD == 0) {
		for (unsigned i = known_count; i-- > 0;) {
			if (header_of(known[i])->size >= size)
				return known[i];
		}
	}
	block = carve(16, size);
	if (known_count == KNOWN)
		forget(1); /* the oldest may be one that lives as long as the program: it stays */
	known[known_count++] = block;
	return block;
}

EXPORT void *malloc(size_t size)
{
	void *block;

	pthread_mutex_lock(&mutex);
	block = get(size);
	pthread_mutex_unlock(&mutex);
	return block;
}

EXPORT void free(void *block)
{
	pthread_mutex_lock(&mutex);
	for (unsigned i = 0; i < known_count; i++) {
		if (known[i] == block) {
			forget(i);
			break;
		}
	}
	pthread_mutex_unlock(&mutex);
}

EXPORT void *memalign(size_t align, size_t size)
{
	void *block;

	pthread_mutex_lock(&mutex);
	block = carve(align < 16 ? 16 : align, size);
	pthread_mutex_unlock(&mutex);
	return block;
}

EXPORT void *calloc(size_t count, size_t size)
{
	return memalign(16, count * size); /* always fresh, so always zero */
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

EXPORT int posix_memalign(void **place, size_t align, size_t size)
{
	*place = memalign(align, size);
	return *place ? 0 : ENOMEM;
}

EXPORT void *realloc(void *old, size_t size)
{
	void *block = malloc(size);

	if (old && block) {
		size_t had = header_of(old)->size;

		memmove(block, old, had < size ? had : size);
		free(old);
	}
	return block;
}
