/* SPDX-License-Identifier: MIT */
/*
 * The linkable interface: what pg64.h promises of arenas, statistics, advice and errors. Linked
 * with the shared and with the static library.
 *
 * usage: api [without-malloc]
 */
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define UNTOUCHED 4711

static uint64_t committed(void)
{
	struct pg64_stats stats = {.size = sizeof(stats)};

	CHECK(pg64_stats_get(&stats) == 0);
	return stats.heap_committed_bytes;
}

static void fill(struct pg64_arena *arena, char **blocks, int count, size_t size, int mark)
{
	for (int i = 0; i < count; i++) {
		CHECK(blocks[i] = pg64_arena_alloc(arena, size, 0));
		memset(blocks[i], mark, size);
	}
}

static void expect(char **blocks, int count, size_t size, int mark)
{
	for (int i = 0; i < count; i++)
		for (size_t at = 0; at < size; at++)
			CHECK(blocks[i][at] == mark);
}

static void blocks(void)
{
	struct pg64_arena *arena = pg64_arena_create();

	CHECK(arena);
	for (size_t align = 0; align <= 4 * MIB; align = align ? align * 2 : 1) {
		for (size_t size = 0; size <= 4 * MIB; size = size ? size * 4 : 1) {
			char *p = pg64_arena_alloc(arena, size, align);

			CHECK(p && (uintptr_t)p % (align ? align : size > 8 ? 16 : 8) == 0);
			CHECK(pg64_arena_usable_size(arena, p) >= size);
			memset(p, 1, size);
			errno = UNTOUCHED;
			/* Half of them stay, so that no address is had twice. */
			if (size % 3 == 0 || size > MIB)
				pg64_arena_free(arena, p);
			CHECK(errno == UNTOUCHED);
		}
	}
	CHECK(pg64_arena_usable_size(arena, NULL) == 0);
	pg64_arena_free(arena, NULL);
	errno = 0;
	CHECK(!pg64_arena_alloc(arena, 10, 3) && errno == EINVAL);
	errno = 0;
	CHECK(!pg64_arena_alloc(NULL, 10, 0) && errno == EINVAL);
	errno = 0;
	CHECK(!pg64_arena_alloc(arena, SIZE_MAX / 2 + 2, 0) && errno == ENOMEM);
	errno = 0;
	CHECK(!pg64_arena_alloc(arena, (size_t)1 << 46, 4096) && errno == ENOMEM);
	CHECK(pg64_arena_reset(NULL) == -EINVAL && pg64_arena_destroy(NULL) == 0);
	CHECK(pg64_arena_destroy(arena) == 0);
}

/* Reset and destroy take the blocks of one arena, and none of another or of malloc(). */
static void privacy(void)
{
	enum { COUNT = 500, SIZE = 3000 };
	static char *kept[COUNT], *own[COUNT], *gone[COUNT];
	struct pg64_arena *one = pg64_arena_create(), *two = pg64_arena_create();

	CHECK(one && two && one != two);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < COUNT; i++) {
			CHECK(own[i] = malloc(SIZE));
			memset(own[i], 1, SIZE);
		}
		fill(one, kept, COUNT, SIZE, 2);
		fill(two, gone, COUNT, SIZE, 3);
		CHECK(pg64_arena_reset(two) == 0);
		fill(two, gone, COUNT, SIZE, 4);
		if (round == 4)
			CHECK(pg64_arena_destroy(two) == 0);
		expect(own, COUNT, SIZE, 1);
		expect(kept, COUNT, SIZE, 2);
		for (int i = 0; i < COUNT; i++) {
			free(own[i]);
			pg64_arena_free(one, kept[i]);
		}
	}
	CHECK(pg64_arena_destroy(one) == 0);
}

/* What reset and destroy free is used again. */
static void footprint(void)
{
	enum { COUNT = 64, ROUNDS = 40 };
	static char *p[COUNT];
	uint64_t high = 0;

	for (int round = 0; round < ROUNDS; round++) {
		struct pg64_arena *arena = pg64_arena_create();

		CHECK(arena);
		for (int again = 0; again < 3; again++) {
			fill(arena, p, COUNT, MIB / 4, round);
			expect(p, COUNT, MIB / 4, round);
			CHECK(pg64_arena_reset(arena) == 0);
		}
		CHECK(pg64_arena_destroy(arena) == 0);
		if (round == 4)
			high = committed();
	}
	CHECK(committed() <= high + 8 * MIB);
}

struct job {
	struct pg64_arena *arena;
	char **blocks;
	int count;
};

static void *stranger(void *arg)
{
	struct job *job = arg;

	errno = 0;
	CHECK(!pg64_arena_alloc(job->arena, 100, 0) && errno == EPERM);
	errno = UNTOUCHED;
	CHECK(pg64_arena_reset(job->arena) == -EPERM);
	CHECK(pg64_arena_destroy(job->arena) == -EPERM);
	CHECK(errno == UNTOUCHED);
	for (int i = 0; i < job->count; i += 2)
		pg64_arena_free(job->arena, job->blocks[i]);
	return NULL;
}

/* Other threads may free, and nothing else; their frees and a reset do not meet. */
static void threads(void)
{
	enum { COUNT = 2000, SIZE = 200 };
	static char *p[COUNT];
	struct pg64_arena *arena = pg64_arena_create();
	struct job job = {arena, p, COUNT};

	CHECK(arena);
	for (int round = 0; round < 20; round++) {
		pthread_t thread;

		fill(arena, p, COUNT, SIZE, round);
		CHECK(pthread_create(&thread, NULL, stranger, &job) == 0);
		CHECK(pthread_join(thread, NULL) == 0);
		for (int i = 1; i < COUNT; i += 2)
			expect(p + i, 1, SIZE, round);
		if (round % 2)
			CHECK(pg64_arena_reset(arena) == 0);
	}
	CHECK(pg64_arena_destroy(arena) == 0);
}

static struct pg64_arena *left_behind;
static pthread_t maker_id;
static pthread_barrier_t turns;

static void *maker(void *arg)
{
	left_behind = pg64_arena_create();
	CHECK(left_behind && pg64_arena_alloc(left_behind, 100, 0));
	pthread_barrier_wait(&turns);
	pthread_barrier_wait(&turns);
	CHECK(pg64_arena_destroy(left_behind) == 0);
	return arg;
}

static void *namesake(void *arg)
{
	struct job nothing = {left_behind, NULL, 0};

	CHECK(pthread_equal(pthread_self(), maker_id));
	CHECK(malloc(100));
	stranger(&nothing);
	return arg;
}

/* A thread of a child has the stack, and so the address, of one that stayed in the parent. */
static void forked_beside(void)
{
	pthread_t thread;
	int status = -1;

	CHECK(pthread_barrier_init(&turns, NULL, 2) == 0);
	CHECK(pthread_create(&maker_id, NULL, maker, NULL) == 0);
	pthread_barrier_wait(&turns);
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		CHECK(pthread_create(&thread, NULL, namesake, NULL) == 0);
		CHECK(pthread_join(thread, NULL) == 0);
		_exit(0);
	}
	CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
	pthread_barrier_wait(&turns);
	CHECK(pthread_join(maker_id, NULL) == 0);
}

static void forked(void)
{
	enum { COUNT = 100, SIZE = 5000 };
	static char *p[COUNT];
	struct pg64_arena *arena = pg64_arena_create();
	int status = -1;

	CHECK(arena);
	fill(arena, p, COUNT, SIZE, 7);
	fflush(NULL);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		expect(p, COUNT, SIZE, 7);
		CHECK(pg64_arena_reset(arena) == 0);
		fill(arena, p, COUNT, SIZE, 8);
		CHECK(pg64_arena_destroy(arena) == 0);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	expect(p, COUNT, SIZE, 7);
	CHECK(pg64_arena_destroy(arena) == 0);
}

static void statistics(void)
{
	struct {
		struct pg64_stats stats;
		char behind[64];
	} later;
	struct pg64_stats small = {.size = sizeof(small) - 1};

	errno = UNTOUCHED;
	CHECK(pg64_stats_get(NULL) == -EINVAL && pg64_stats_get(&small) == -EINVAL);
	memset(&later, 0x5a, sizeof(later));
	later.stats.size = sizeof(later);
	CHECK(pg64_stats_get(&later.stats) == 0);
	CHECK(later.stats.size == sizeof(struct pg64_stats) && later.stats.version == 1);
	for (size_t i = 0; i < sizeof(later.behind); i++)
		CHECK(later.behind[i] == 0x5a);
	CHECK(later.stats.active == 1 && later.stats.minor_faults > 0);
	unsigned int count = 0;
	while (pg64_counter_name(count))
		CHECK(pg64_counter_help(count++));
	CHECK(count > 30 && !pg64_counter_help(count) && pg64_counter_value(count) == 0);
	CHECK(errno == UNTOUCHED);
}

static void questions(void)
{
	struct pg64_probe probe = {.size = sizeof(probe)};
	struct pg64_option option = {.size = sizeof(option)};
	struct pg64_coverage coverage = {.size = sizeof(coverage)};
	char text[200], byte = 0;
	unsigned int count = 0;

	errno = UNTOUCHED;
	CHECK(pg64_probe(PG64_BACKENDS, PG64_MEM_HEAP, &probe) == -EINVAL);
	CHECK(pg64_probe(PG64_BACKEND_BASE, PG64_MEM_KINDS, &probe) == -EINVAL);
	CHECK(pg64_probe(PG64_BACKEND_BASE, PG64_MEM_HEAP, NULL) == -EINVAL);
	for (int backend = 0; backend < PG64_BACKENDS; backend++)
		for (int kind = 0; kind < PG64_MEM_KINDS; kind++) {
			CHECK(pg64_probe((enum pg64_backend)backend, (enum pg64_mem)kind, &probe) ==
				0);
			CHECK(probe.reason[0] && probe.version == 1);
		}
	while (pg64_option_get(count, &option) == 0)
		count++;
	CHECK(count >= 13 && pg64_option_get(count, &option) == -ENOENT);
	CHECK(pg64_option_get(0, NULL) == -EINVAL);
	CHECK(pg64_option_check("mmap_min", "64K", text, sizeof(text)) == 0 && !text[0]);
	CHECK(pg64_option_check("mmap_min", "1K", text, sizeof(text)) == -EINVAL && text[0]);
	CHECK(pg64_option_check("mmap_mim", "64K", NULL, 0) == -EINVAL);
	CHECK(pg64_coverage(0, (uintptr_t)&byte, 1, NULL) == -EINVAL);
	CHECK(pg64_coverage(0x7ffffff0, (uintptr_t)&byte, 1, &coverage) == -ESRCH);
	CHECK(pg64_coverage(0, (uintptr_t)&byte, 1, &coverage) == 0 && coverage.resident_bytes > 0);
	CHECK(errno == UNTOUCHED);
}

static void advice(void)
{
	struct pg64_stats stats = {.size = sizeof(stats)};
	char *p = mmap(NULL, 8 * MIB, RW, ANON, -1, 0);

	CHECK(p != MAP_FAILED);
	memset(p, 3, 8 * MIB);
	errno = UNTOUCHED;
	int ret = pg64_advise(p, 8 * MIB, PG64_MEM_ANON);
	CHECK(pg64_stats_get(&stats) == 0);
	enum pg64_backend backend = stats.backend[PG64_MEM_ANON];
	bool offered = backend == PG64_BACKEND_MTHP || backend == PG64_BACKEND_PATCHED;
	CHECK(ret == (offered ? 0 : -EOPNOTSUPP));
	CHECK(pg64_advise(p, 8 * MIB, PG64_MEM_KINDS) == -EINVAL);
	CHECK(pg64_advise(p + 4096, 65536, PG64_MEM_ANON) == -EINVAL);
	CHECK(pg64_advise(p, 0, PG64_MEM_ANON) == -EINVAL);
	CHECK(pg64_advise(p, SIZE_MAX - 100, PG64_MEM_ANON) == -EINVAL);
	CHECK(errno == UNTOUCHED);
	for (size_t at = 0; at < 8 * MIB; at++)
		CHECK(p[at] == 3);
	CHECK(munmap(p + 4 * MIB, MIB) == 0);
	CHECK(pg64_advise(p, 8 * MIB, PG64_MEM_ANON) == (offered ? -ENOMEM : -EOPNOTSUPP));
	CHECK(munmap(p, 4 * MIB) == 0 && munmap(p + 5 * MIB, 3 * MIB) == 0);
}

static uint64_t counted(const char *wanted)
{
	const char *name;

	for (unsigned int i = 0; (name = pg64_counter_name(i)); i++)
		if (strcmp(name, wanted) == 0)
			return pg64_counter_value(i);
	CHECK(!"a counter of that name");
	return 0;
}

/* Is it known that pg64 has advised this memory? Then a granule that is cut is counted. */
static int is_known(char *p, size_t len)
{
	uint64_t before = counted("demote_madvise");

	CHECK(madvise(p + len / 2 + 4096, 4096, MADV_DONTNEED) == 0);
	return counted("demote_madvise") != before;
}

static char *closed(size_t len)
{
	char *p = mmap(NULL, len, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

/* What is unmapped or mapped over is forgotten, and the program's own advice is seen. */
static void forgotten(void)
{
	char *p = closed(8 * MIB);

	if (pg64_advise(p, 8 * MIB, PG64_MEM_ANON) == 0) {
		uint64_t before = counted("skip_user_advice");

		CHECK(is_known(p, 8 * MIB) && munmap(p, 8 * MIB) == 0);
		CHECK(mmap(p, 8 * MIB, PROT_NONE, ANON | MAP_FIXED_NOREPLACE, -1, 0) == p);
		CHECK(!is_known(p, 8 * MIB));
		CHECK(pg64_advise(p, 8 * MIB, PG64_MEM_ANON) == 0 && is_known(p, 8 * MIB));
		CHECK(mmap(p, 8 * MIB, PROT_NONE, ANON | MAP_FIXED, -1, 0) == p);
		/* Inside a region pg64's mmap() advises again. */
		CHECK(pg64_advise(p, 8 * MIB, PG64_MEM_ANON) == 0);
		CHECK(madvise(p, 8 * MIB, MADV_NOHUGEPAGE) == 0);
		CHECK(counted("skip_user_advice") == before + 1);
	}
	CHECK(munmap(p, 8 * MIB) == 0);
}

/* Without room to remember it, memory gets no fences: mremap() would not know what they are. */
static void advised_without_room(void)
{
	const size_t many = 5000, step = 256 << 10, big = 16 * MIB;
	char *small = closed(many * step);

	for (size_t i = 0; i < many; i++)
		pg64_advise(small + i * step, 128 << 10, PG64_MEM_ANON);
	/* Too late to be remembered as reserved, which would be room for it. */
	char *p = closed(big);
	uint64_t fences = counted("fence_ok");
	int ret = pg64_advise(p, big, PG64_MEM_ANON);
	CHECK(ret != 0 || counted("skip_regions_full") > 0);
	CHECK(counted("fence_ok") == fences);
	CHECK(munmap(small, many * step) == 0 && munmap(p, big) == 0);
	p = closed(big);
	if (pg64_advise(p, big, PG64_MEM_ANON) == 0)
		CHECK(is_known(p, big));
	CHECK(munmap(p, big) == 0);
}

/* What was advised can still be resized and moved as one. */
static void advised_and_moved(size_t len, size_t from, size_t part)
{
	char *p = mmap(NULL, len, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);

	CHECK(p != MAP_FAILED && mprotect(p, len, RW) == 0);
	pg64_advise(p + from, part, PG64_MEM_ANON);
	memset(p, 6, len);
	/* Nowhere to grow but by moving. */
	char *q = mremap(p, len, 8 * len, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED);
	for (size_t at = 0; at < len; at += 64)
		CHECK(q[at] == 6);
	memset(q + len, 7, 7 * len);
	p = mremap(q, 8 * len, 64 * len, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED && p[0] == 6 && p[len - 1] == 6 && p[len] == 7);
	CHECK(munmap(p, 64 * len) == 0);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "without-malloc") == 0) {
		errno = 0;
		CHECK(!pg64_arena_create() && errno == ENOTSUP);
		puts("done");
		return 0;
	}
	blocks();
	privacy();
	footprint();
	threads();
	forked_beside();
	forked();
	statistics();
	questions();
	advice();
	forgotten();
	advised_without_room();
	advised_and_moved(16 * MIB, 0, 16 * MIB);
	advised_and_moved(16 * MIB + 4096, 0, 16 * MIB + 4096);
	advised_and_moved(16 * MIB, MIB, 8 * MIB);
	puts("done");
	return 0;
}
