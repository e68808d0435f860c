/* SPDX-License-Identifier: MIT */
/*
 * Threads with the smallest stack that there is allocate blocks of all sizes, free and realloc
 * them; the first of them is where the backend is chosen and where the heap passes its
 * thresholds. Then the same on a painted stack, and how much of it was written.
 *
 * usage: stacks
 */
#include <limits.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../check.h"

#define PAINTED (256 * KIB)
#define PAINT 0xa5

static void sizes_up_and_down(void)
{
	void *kept[40];
	unsigned int n = 0;

	for (size_t size = 1; size <= 64 * MIB && n < 40; size = size * 2 + 1) {
		char *p = malloc(size);

		CHECK(p);
		p[0] = p[size - 1] = 1;
		p = realloc(p, size + size / 2);
		CHECK(p);
		kept[n++] = p;
	}
	void *aligned = NULL;
	CHECK(posix_memalign(&aligned, 64 * KIB, 3 * MIB) == 0);
	free(aligned);
	aligned = calloc(1000, 1000);
	CHECK(aligned);
	free(aligned);
	for (int i = 0; i < 20000; i++) {
		void *p = malloc(4096);

		CHECK(p);
		*(void **)p = aligned;
		aligned = i ? p : (*(void **)p = NULL, p);
	}
	while (aligned) {
		void *next = *(void **)aligned;

		free(aligned);
		aligned = next;
	}
	char *map = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(map != MAP_FAILED);
	map = mremap(map, 4 * MIB, 6 * MIB, MREMAP_MAYMOVE);
	CHECK(map != MAP_FAILED);
	CHECK(munmap(map, 6 * MIB) == 0);
	while (n)
		free(kept[--n]);
}

static void *thread(void *arg)
{
	sizes_up_and_down();
	return arg;
}

static void run_thread(pthread_attr_t *attr)
{
	pthread_t id;

	CHECK(pthread_create(&id, attr, thread, NULL) == 0);
	CHECK(pthread_join(id, NULL) == 0);
}

static size_t depth(void)
{
	pthread_attr_t attr;
	size_t i = 0;
	unsigned char *stack = mmap(NULL, PAINTED, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	CHECK(stack != MAP_FAILED);
	memset(stack, PAINT, PAINTED);
	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setstack(&attr, stack, PAINTED) == 0);
	run_thread(&attr);
	while (i < PAINTED && stack[i] == PAINT)
		i++;
	return PAINTED - i;
}

int main(int argc, char **argv)
{
	pthread_attr_t attr;

	if (argc > 1 && strcmp(argv[1], "depth") == 0) {
		printf("depth %zu\n", depth());
		return 0;
	}
	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setstacksize(&attr, (size_t)sysconf(_SC_THREAD_STACK_MIN)) == 0);
	for (int i = 0; i < 3; i++)
		run_thread(&attr);
	printf("stack %ld\n", sysconf(_SC_THREAD_STACK_MIN));
	return 0;
}
