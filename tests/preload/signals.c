/* SPDX-License-Identifier: MIT */
/*
 * System calls may be made in signal handlers, and garbage collectors and JITs do: mmap, munmap,
 * mprotect and madvise in a handler that interrupts the same calls, in two threads, for a number
 * of signals, or for as many as come in 20 seconds: on a busy machine a signal takes a while, as
 * who holds a lock loses the processor to others. A deadlock is one that is not handled at all.
 *
 * usage: signals COUNT
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define SECONDS 20
#define ENOUGH 50 /* in that time, whatever else there is to do */

static char *shared_area;
static atomic_int handled, wanted;
static time_t end;

static void on_signal(int number)
{
	int saved = errno;

	(void)number;
	/* Cuts a granule, so that somebody may want to know what it belongs to. */
	mprotect(shared_area + 4096 * 3, 4096, RW);
	madvise(shared_area + 4096 * 5, 4096, MADV_DONTNEED);
	char *p = mmap(NULL, 300000, RW, ANON, -1, 0);
	if (p != MAP_FAILED) {
		p[70000] = 1;
		munmap(p, 300000);
	}
	handled++;
	errno = saved;
}

static void *work(void *arg)
{
	char *live[64] = {NULL};
	uint32_t random = (uint32_t)(uintptr_t)arg;

	while (handled < wanted && (handled < ENOUGH || time(NULL) < end)) {
		char **slot = &live[next_random(&random) % 64];

		if (*slot)
			CHECK(munmap(*slot, 200000) == 0);
		*slot = mmap(NULL, 200000, RW, ANON, -1, 0);
		CHECK(*slot != MAP_FAILED);
		CHECK(mprotect(*slot + 4096, 4096, PROT_READ) == 0);
		CHECK(madvise(*slot + 8192, 4096, MADV_DONTNEED) == 0);
		*slot = mremap(*slot, 200000, 200000, MREMAP_MAYMOVE);
		CHECK(*slot != MAP_FAILED);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct itimerval often = {{0, 100}, {0, 100}}, never = {{0, 0}, {0, 0}};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	pthread_t id;

	wanted = argc > 1 ? atoi(argv[1]) : 1000;
	end = time(NULL) + SECONDS;
	shared_area = mmap(NULL, MIB, RW, ANON, -1, 0);
	CHECK(shared_area != MAP_FAILED);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	CHECK(pthread_create(&id, NULL, work, (void *)1) == 0);
	work((void *)2);
	pthread_join(id, NULL);
	setitimer(ITIMER_REAL, &never, NULL);
	puts("signals");
	return 0;
}
