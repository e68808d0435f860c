/* SPDX-License-Identifier: MIT */
/*
 * Blocks and threads: freed by another thread, left behind by a thread that ends, allocated in
 * destructors of thread-specific data, in threads with the smallest stack that there is; and
 * many short threads.
 */
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#include "check.h"

#define BLOCKS 3000

static void *blocks[BLOCKS];
static pthread_key_t key;

static size_t size_of(size_t i)
{
	return i % 100 == 0 ? 3 * MIB : i % 10 == 0 ? 70000 + i : 16 + i;
}

static void *produce(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < BLOCKS; i++) {
		blocks[i] = malloc(size_of(i));
		CHECK(blocks[i]);
		memset(blocks[i], (int)i, size_of(i) > 70000 ? 100 : size_of(i));
	}
	return NULL;
}

static void *consume(void *arg)
{
	size_t odd = (size_t)(uintptr_t)arg;

	for (size_t i = odd; i < BLOCKS; i += 2) {
		CHECK(*(unsigned char *)blocks[i] == (unsigned char)i);
		if (i % 3 == 0) {
			blocks[i] = realloc(blocks[i], size_of(i) + 1000);
			CHECK(*(unsigned char *)blocks[i] == (unsigned char)i);
		}
		free(blocks[i]);
	}
	return NULL;
}

static void run_two(void *(*function)(void *))
{
	pthread_t a, b;

	CHECK(!pthread_create(&a, NULL, function, (void *)0));
	CHECK(!pthread_create(&b, NULL, function, (void *)1));
	pthread_join(a, NULL);
	pthread_join(b, NULL);
}

/* Runs after the thread's own heap may have been given up. */
static void late(void *value)
{
	static __thread int round;
	void *p = malloc(1000), *big = malloc(3 * MIB);

	CHECK(p && big);
	memset(p, 1, 1000);
	memset(big, 1, 100);
	free(big);
	free(value);
	if (++round < 2)
		pthread_setspecific(key, p);
	else
		free(p);
}

static void *brief(void *arg)
{
	size_t n = (size_t)(uintptr_t)arg;
	void *mine[40], *left = malloc(100 + n);

	CHECK(left);
	memset(left, (int)n, 100 + n);
	pthread_setspecific(key, malloc(n + 1));
	for (size_t i = 0; i < 40; i++) {
		mine[i] = malloc(1 + i * i * i);
		CHECK(mine[i]);
		memset(mine[i], (int)i, 1 + i * i * i);
	}
	for (size_t i = 0; i < 40; i++)
		free(mine[i]);
	return left; /* outlives the thread */
}

static void short_threads(int count)
{
	for (int i = 0; i < count; i += 4) {
		pthread_t ids[4];

		for (int j = 0; j < 4; j++)
			CHECK(!pthread_create(&ids[j], NULL, brief, (void *)(uintptr_t)(i + j)));
		for (int j = 0; j < 4; j++) {
			unsigned char *left;

			pthread_join(ids[j], (void **)&left);
			CHECK(left[0] == (unsigned char)(i + j) &&
				left[99] == (unsigned char)(i + j));
			free(left);
		}
	}
}

/*
 * The first growth of the heap past its threshold, with all that it sets in motion, on a small
 * stack.
 */
static void *on_small_stack(void *arg)
{
	void *all[600];

	(void)arg;
	for (int i = 0; i < 600; i++) {
		all[i] = malloc(60000);
		CHECK(all[i]);
		memset(all[i], i, 60000);
	}
	for (int i = 0; i < 600; i++)
		free(all[i]);
	return NULL;
}

static void small_stacks(void)
{
	pthread_attr_t attr;
	pthread_t ids[8];

	pthread_attr_init(&attr);
	CHECK(!pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN));
	for (int i = 0; i < 8; i++)
		CHECK(!pthread_create(&ids[i], &attr, on_small_stack, NULL));
	for (int i = 0; i < 8; i++)
		pthread_join(ids[i], NULL);
	pthread_attr_destroy(&attr);
}

static void *wait_and_allocate(void *arg)
{
	(void)arg;
	for (;;) {
		free(malloc(500));
		pthread_testcancel();
	}
	return NULL;
}

static void cancelled(void)
{
	for (int i = 0; i < 20; i++) {
		pthread_t id;

		CHECK(!pthread_create(&id, NULL, wait_and_allocate, NULL));
		usleep(200);
		pthread_cancel(id);
		pthread_join(id, NULL);
	}
}

int main(void)
{
	pthread_t id;

	pthread_key_create(&key, late);
	small_stacks();
	CHECK(!pthread_create(&id, NULL, produce, NULL));
	pthread_join(id, NULL); /* its blocks live on without it */
	run_two(consume);
	produce(NULL);
	run_two(consume);
	short_threads(200);
	cancelled();
	puts("threads");
	/* Ends from a thread, with live blocks everywhere. */
	pthread_create(&id, NULL, produce, NULL);
	pthread_exit(NULL);
}
