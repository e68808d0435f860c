/* SPDX-License-Identifier: MIT */
/*
 * calloc() is zero, whatever the memory was used for before: blocks of many sizes are dirtied,
 * freed, and asked for again, in THREADS threads; some of what is freed is freed by another
 * thread.
 *
 * Before that: memory of a large calloc() that is not used is not there.
 *
 * usage: zero THREADS [ROUNDS]
 */
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

#include "check.h"

static const size_t sizes[] = {1, 8, 16, 24, 33, 64, 100, 128, 500, 1000, 1024, 4000, 4096, 8192,
	10000, 16384, 32768, 50000, 65536, 65537, 100000, 131072, 200000, 500000, 1 << 20,
	(1 << 20) + 1, 3 << 20, 8 << 20, 17 << 20, 33 << 20, 100 << 20};

#define SIZES (sizeof(sizes) / sizeof(*sizes))
#define LIVE 64

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void *passed[LIVE]; /* to be freed by whoever comes next */
static int rounds = 2;

static int is_zero(const unsigned char *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static void pass_on(void *block, uint32_t where)
{
	pthread_mutex_lock(&mutex);
	void *old = passed[where % LIVE];
	passed[where % LIVE] = block;
	pthread_mutex_unlock(&mutex);
	free(old);
}

static void one_size(size_t size, uint32_t *random)
{
	void *blocks[LIVE];
	size_t n = size > 4 * MIB ? 2 : size > 64 * KIB ? 6 : LIVE;

	for (size_t i = 0; i < n; i++) {
		blocks[i] = next_random(random) % 4 == 0 ? memalign(64, size) : malloc(size);
		CHECK(blocks[i]);
		memset(blocks[i], 0xa5, size);
	}
	for (size_t i = 0; i < n; i++) {
		if (size < 300000 && next_random(random) % 3 == 0)
			pass_on(blocks[i], next_random(random));
		else
			free(blocks[i]);
	}
	if (next_random(random) % 8 == 0)
		malloc_trim(0);
	for (size_t i = 0; i < n; i++) {
		blocks[i] = next_random(random) % 2 ? calloc(1, size) : calloc(size, 1);
		CHECK(blocks[i] && is_zero(blocks[i], size));
		memset(blocks[i], 0x5a, size);
	}
	for (size_t i = 0; i < n; i++)
		free(blocks[i]);
}

static void *work(void *arg)
{
	uint32_t random = (uint32_t)(uintptr_t)arg;

	for (int round = 0; round < rounds; round++) {
		for (size_t i = 0; i < SIZES; i++)
			one_size(sizes[i], &random);
		for (size_t i = 0; i < 3 * SIZES; i++)
			one_size(sizes[next_random(&random) % (SIZES - 3)], &random);
		/* Longer than the delay after which freed memory goes back to the kernel. */
		usleep(60 * 1000);
	}
	return NULL;
}

static long resident_bytes(void)
{
	long pages = 0;
	FILE *statm = fopen("/proc/self/statm", "r");

	CHECK(statm && fscanf(statm, "%*d %ld", &pages) == 1);
	fclose(statm);
	return pages * sysconf(_SC_PAGESIZE);
}

static void untouched(void)
{
	static const size_t large[] = {8 << 20, 15 << 20, 17 << 20, 64 << 20, 256 << 20};

	enum { LARGE = sizeof(large) / sizeof(*large) };
	unsigned char *blocks[LARGE];

	/* What reading a file takes is there from now on. */
	resident_bytes();
	for (size_t i = 0; i < LARGE; i++) {
		long before = resident_bytes();

		blocks[i] = calloc(1, large[i]);
		CHECK(blocks[i]);
		/* Beside what a page of 2 MiB at its start or its end may take. */
		CHECK(resident_bytes() - before < 4 << 20);
	}
	for (size_t i = 0; i < LARGE; i++) {
		CHECK(is_zero(blocks[i], large[i]));
		free(blocks[i]);
	}
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 1;
	pthread_t ids[16];

	if (argc > 2)
		rounds = atoi(argv[2]);
	untouched();
	for (int i = 0; i < threads; i++)
		CHECK(!pthread_create(&ids[i], NULL, work, (void *)(uintptr_t)(i + 1)));
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	puts("zero");
	return 0;
}
