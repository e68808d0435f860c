/* SPDX-License-Identifier: MIT */
/*
 * Arenas on the kernel that is there, used by threads that free each other's spans, while another
 * reads statistics and forks.
 *
 * With the argument "promote" nothing is collapsed when it is first committed, and all threads
 * promote what is old, by a clock that runs a thousand times as fast.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "arena/arena.h"
#include "arena/internal.h"
#include "arena/owner.h"
#include "arena/regions.h"
#include "base/counters.h"
#include "layers.h"
#include "page/page.h"

#define THREADS 3
#define ROUNDS 100
#define SLOTS 8

/*
 * Collapsing writes the first byte of a stretch without changing it, which thread sanitizers see.
 */
#define HEAD 64

/* Spans on their way from one thread to another; what is known of them is in their first bytes. */
static char *_Atomic handed[SLOTS];
static _Atomic bool done;
static bool promote;
static _Atomic unsigned int bad;

static size_t below(uint64_t *x, size_t limit)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return (size_t)(*x % limit);
}

static char *fresh(uint64_t *x)
{
	size_t len = PG64_GRANULE * (1 + below(x, below(x, 8) ? 16 : 256));
	bool segment = promote || below(x, 4) == 0;

	if (promote)
		len += pg64_pmd_bytes();
	char *p = pg64_span_alloc(len, segment ? PG64_SEGMENT : PG64_GRANULE);

	if (!p)
		return NULL;
	for (size_t at = 0; at < len;) {
		size_t step = segment ? PG64_GRANULE : len;

		if (pg64_span_commit(p + at, step) < 0) {
			pg64_span_free(p, len);
			return NULL;
		}
		at += step;
	}
	if (below(x, 4) == 0)
		pg64_span_will_fill(p, len);
	for (size_t at = 0; at < len; at += PG64_GRANULE) {
		bad += p[at + HEAD] != 0 || p[at + PG64_GRANULE - 1] != 0;
		if (promote)
			memset(p + at, (char)(at / PG64_GRANULE + 1), PG64_GRANULE);
		p[at + HEAD] = p[at + PG64_GRANULE - 1] = (char)(at / PG64_GRANULE + 1);
	}
	memcpy(p + 2 * HEAD, &len, sizeof(len));
	return p;
}

static void retire(char *p, uint64_t *x)
{
	size_t len;

	memcpy(&len, p + 2 * HEAD, sizeof(len));
	for (size_t at = 0; at < len; at += PG64_GRANULE)
		bad += p[at + HEAD] != (char)(at / PG64_GRANULE + 1) ||
		       p[at + PG64_GRANULE - 1] != (char)(at / PG64_GRANULE + 1);
	if (len > PG64_GRANULE && below(x, 2))
		pg64_span_decommit(p + PG64_GRANULE, len - PG64_GRANULE);
	pg64_span_free(p, len);
}

static void *work(void *arg)
{
	uint64_t x = (uintptr_t)arg * 0x9e3779b97f4a7c15;

	for (int round = 0; round < ROUNDS; round++) {
		char *p = fresh(&x);

		pg64_promote_step();
		char *old = atomic_exchange(&handed[below(&x, SLOTS)], p);

		if (old)
			retire(old, &x);
	}
	return NULL;
}

static void visit(void *context, uintptr_t start, size_t len)
{
	(void)context;
	bad += start == 0 || len == 0;
}

static void *watch(void *arg)
{
	uint64_t reserved, committed, advised, collapsed;

	(void)arg;
	while (!done) {
		pg64_arena_totals(&reserved, &committed, &advised, &collapsed);
		bad += reserved > (uint64_t)1 << 46 || collapsed > (uint64_t)1 << 46;
		pg64_arena_each(visit, NULL);
		struct pg64_region region;
		pg64_regions_find(0x10000, 1, &region);
		sched_yield();
	}
	return NULL;
}

/* In the child the locks are free and everything works. */
static void fork_and_allocate(void)
{
	int status = 1;

	pg64_regions_before_fork();
	pg64_arena_before_fork();
	pid_t pid = fork();
	pg64_arena_after_fork(pid == 0);
	pg64_regions_after_fork();
	if (pid == 0) {
		uint64_t x = 12345;
		bad = 0;
		for (int i = 0; i < 5; i++) {
			char *p = fresh(&x);
			if (p)
				retire(p, &x);
		}
		_exit(bad != 0);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}

/* What is promoted later depends on who comes when; that it works at all does not. */
static void promote_one(void)
{
	uint64_t x = 77;
	char *p = fresh(&x);

	REQUIRE(p);
	for (int i = 0; i < 1000000 && !pg64_counted(PG64_C_promote_ok); i++)
		pg64_promote_step();
	if (pg64_page_backend_known(PG64_MEM_HEAP) != PG64_BACKEND_BASE)
		CHECK(pg64_counted(PG64_C_promote_ok) > 0);
	retire(p, &x);
}

static uint64_t fast_clock(void)
{
	return pg64_page_os_kernel.now_ns() * 1000;
}

int main(int argc, char **argv)
{
	struct pg64_page_os os = pg64_page_os_kernel;
	struct pg64_config config;
	pthread_t threads[THREADS], watcher;
	uint64_t x = 1;

	promote = argc > 1 && strcmp(argv[1], "promote") == 0;
	pg64_config_defaults(&config);
	config.arena_size = 64 * PG64_MIB;
	config.heap_min = 0;
	config.collapse_min = promote ? SIZE_MAX : 0;
	config.pmd_min = 0;
	if (promote) {
		/* Whatever the knobs are, which other tests set: nothing comes large by itself. */
		config.backend = PG64_BACKEND_COLLAPSE;
		config.pmd = PG64_PMD_AUTO;
	}
	os.now_ns = fast_clock;
	pg64_page_set_os(&os);
	pg64_page_init(&config);
	pg64_arena_init(&config);
	if (promote)
		promote_one();
	REQUIRE(pthread_create(&watcher, NULL, watch, NULL) == 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, work, (void *)(i + 1)) == 0);
	for (int i = 0; i < 5; i++)
		fork_and_allocate();
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	done = true;
	pthread_join(watcher, NULL);
	for (size_t i = 0; i < SLOTS; i++)
		if (handed[i])
			retire(handed[i], &x);
	CHECK_EQ(bad, 0);
	CHECK_EQ(pg64_arenas.committed_bytes, 0);
	CHECK_EQ(pg64_arenas.collapsed_stretches, 0);
	printf("backend %s, %llu collapsed, %llu promoted, %llu split\n",
		pg64_backend_name(pg64_page_backend_known(PG64_MEM_HEAP)),
		(unsigned long long)pg64_counted(PG64_C_collapse_ok),
		(unsigned long long)pg64_counted(PG64_C_promote_ok),
		(unsigned long long)pg64_counted(PG64_C_collapse_split));
	return test_result();
}
