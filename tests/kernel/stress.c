/* SPDX-License-Identifier: MIT */
/*
 * stress SECONDS THREADS MIB SEED
 *
 * Each thread does everything that can happen to memory, at random 4 KiB offsets of a region of
 * its own, every other one in shared memory. A shadow copy says what each page must hold: the value
 * from which its words were made, 0 for a page that was never written. The first page that holds
 * anything else ends the program with status 1. One more thread compacts, reclaims and reads /proc
 * meanwhile. Whether the kernel knows MADV_PAGESIZE_64K is no matter; "advised" in the output
 * counts it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES 4096ul
#define PAGE_WORDS (PAGE_BYTES / sizeof(uint64_t))
#define GRANULE_PAGES 16ul
#define PMD_PAGES 512ul
#define MAX_RANGE_PAGES 70ul
#define MADV_PAGESIZE_64K 164
#define MADV_PAGESIZE_DEFAULT 165
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define RW (PROT_READ | PROT_WRITE)

struct range {
	size_t first, count; /* pages */
};

struct region {
	char *base, *aside; /* aside: address space to move to */
	uint64_t *shadow;
	size_t pages;
	uint64_t random, next_value;
	int fd; /* of shared memory, or -1 */
	unsigned long done[16];
	unsigned long refused;
};

static atomic_bool stop;
/* Holes that are made by intent must not be filled by a mapping of our own start. */
static pthread_barrier_t started;
static atomic_ulong advised;

static void fail(const char *what)
{
	dprintf(2, "stress: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static uint64_t draw(struct region *r, uint64_t below)
{
	r->random ^= r->random << 13;
	r->random ^= r->random >> 7;
	r->random ^= r->random << 17;
	return (r->random >> 8) % below;
}

static struct range draw_range(struct region *r)
{
	size_t count = 1 + draw(r, MAX_RANGE_PAGES);

	return (struct range){.first = draw(r, r->pages - count), .count = count};
}

static char *at(const struct region *r, size_t page)
{
	return r->base + page * PAGE_BYTES;
}

static void verify_at(const struct region *r, size_t page, const char *where)
{
	const uint64_t *words = (const uint64_t *)where;
	uint64_t value = r->shadow[page];

	for (size_t i = 0; i < PAGE_WORDS; i++) {
		if (words[i] == (value ? value + i : 0))
			continue;
		dprintf(2, "stress: page %zu of %s memory, word %zu: %llx instead of %llx\n", page,
			r->fd < 0 ? "private" : "shared", i, (unsigned long long)words[i],
			(unsigned long long)(value ? value + i : 0));
		_exit(1);
	}
}

static void verify(const struct region *r, struct range what)
{
	for (size_t i = 0; i < what.count; i++)
		verify_at(r, what.first + i, at(r, what.first + i));
}

static void write_page(struct region *r, size_t page)
{
	uint64_t *words = (uint64_t *)at(r, page);

	r->next_value += PAGE_WORDS;
	for (size_t i = 0; i < PAGE_WORDS; i++)
		words[i] = r->next_value + i;
	r->shadow[page] = r->next_value;
}

static void write_range(struct region *r, struct range what)
{
	for (size_t i = 0; i < what.count; i++)
		write_page(r, what.first + i);
}

static void forget(struct region *r, struct range what)
{
	memset(r->shadow + what.first, 0, what.count * sizeof(*r->shadow));
}

/* Advice may be refused (memory that is locked, nothing to collapse): the data must hold anyway. */
static int advise(struct region *r, struct range what, int advice)
{
	int ret = madvise(at(r, what.first), what.count * PAGE_BYTES, advice);

	if (ret)
		r->refused++;
	return ret;
}

static void advise_granules(struct region *r, int advice)
{
	size_t first = draw(r, r->pages / GRANULE_PAGES);
	size_t count = 1 + draw(r, r->pages / GRANULE_PAGES - first);
	struct range what = {.first = first * GRANULE_PAGES, .count = count * GRANULE_PAGES};

	if (!advise(r, what, advice))
		advised++;
}

static void drop(struct region *r)
{
	struct range what = draw_range(r);

	if (!advise(r, what, MADV_DONTNEED) && r->fd < 0)
		forget(r, what);
}

static void free_lazily(struct region *r)
{
	struct range what = draw_range(r);

	if (r->fd < 0) { /* old or zero from here on, so new values are written at once */
		advise(r, what, MADV_FREE);
		write_range(r, what);
	} else if (!advise(r, what, MADV_REMOVE)) {
		forget(r, what);
	}
}

static void protect(struct region *r)
{
	struct range what = draw_range(r);
	int protection = draw(r, 2) ? PROT_READ : PROT_NONE;

	if (mprotect(at(r, what.first), what.count * PAGE_BYTES, protection))
		fail("mprotect");
	if (protection == PROT_READ)
		verify(r, what);
	if (mprotect(at(r, what.first), what.count * PAGE_BYTES, RW))
		fail("mprotect back");
	write_range(r, (struct range){what.first, 1 + what.count / 8});
}

static void reserve(char *where, size_t len)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;

	if (mmap(where, len, PROT_NONE, flags, -1, 0) != where)
		fail("mmap aside");
}

static void move(struct region *r)
{
	struct range what = draw_range(r);
	size_t len = what.count * PAGE_BYTES;
	char *there = r->aside + draw(r, MAX_RANGE_PAGES) * PAGE_BYTES;
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED;

	if (mremap(at(r, what.first), len, len, flags, there) == there) {
		for (size_t i = 0; i < what.count; i++)
			verify_at(r, what.first + i, there + i * PAGE_BYTES);
		if (mremap(there, len, len, flags, at(r, what.first)) != at(r, what.first))
			fail("mremap back");
	} else if (errno == EFAULT) { /* more than one mapping: not to be moved at once */
		r->refused++;
	} else {
		fail("mremap");
	}
	reserve(there, len);
	verify(r, what);
}

static void unmap(struct region *r)
{
	struct range what = draw_range(r);
	size_t len = what.count * PAGE_BYTES;
	int flags = r->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	off_t offset = r->fd < 0 ? 0 : (off_t)(what.first * PAGE_BYTES);

	if (munmap(at(r, what.first), len))
		fail("munmap");
	if (mmap(at(r, what.first), len, RW, flags | MAP_FIXED_NOREPLACE, r->fd, offset) !=
		at(r, what.first))
		fail("mmap");
	if (r->fd < 0)
		forget(r, what);
	else
		verify(r, what);
}

static void lock(struct region *r)
{
	struct range what = draw_range(r);

	if (mlock(at(r, what.first), what.count * PAGE_BYTES))
		r->refused++;
	verify(r, what);
	munlock(at(r, what.first), what.count * PAGE_BYTES);
}

static void collapse(struct region *r)
{
	uintptr_t base = ((uintptr_t)r->base + PMD_PAGES * PAGE_BYTES - 1) &
			 ~(uintptr_t)(PMD_PAGES * PAGE_BYTES - 1);
	size_t first = (base - (uintptr_t)r->base) / PAGE_BYTES;

	if (first + PMD_PAGES <= r->pages)
		advise(r, (struct range){first, PMD_PAGES}, MADV_COLLAPSE);
}

/* In a child of a process with threads: only system calls and memory that is ours. */
static void in_child(struct region *r, uint64_t seed)
{
	r->random = seed | 1;
	for (int i = 0; i < 8; i++) {
		struct range what = draw_range(r);

		verify(r, what);
		if (r->fd < 0)
			write_range(r, (struct range){what.first, 1 + what.count / 4});
		verify(r, what);
	}
	if (draw(r, 4) == 0)
		verify(r, (struct range){0, r->pages});
	_exit(0);
}

static void fork_and_write(struct region *r)
{
	uint64_t seed = draw(r, 1ul << 40);
	pid_t child = fork();
	int status;

	if (child < 0) {
		r->refused++;
		return;
	}
	if (!child)
		in_child(r, seed);
	/* Shared memory must stay as it is while the child looks at it. */
	for (int i = 0; r->fd < 0 && i < 4; i++)
		write_range(r, draw_range(r));
	if (waitpid(child, &status, 0) != child)
		fail("waitpid");
	if (status) {
		dprintf(2, "stress: a child ended with %x\n", (unsigned)status);
		_exit(1);
	}
}

static void step(struct region *r)
{
	unsigned what = (unsigned)draw(r, 16);

	r->done[what]++;
	switch (what) {
	case 0:
		drop(r);
		break;
	case 1:
		free_lazily(r);
		break;
	case 2:
		advise(r, draw_range(r), MADV_PAGEOUT);
		break;
	case 3:
		advise(r, draw_range(r), MADV_COLD);
		break;
	case 4:
		protect(r);
		break;
	case 5:
		move(r);
		break;
	case 6:
		unmap(r);
		break;
	case 7:
		advise_granules(r, MADV_PAGESIZE_64K);
		break;
	case 8:
		if (draw(r, 4) == 0)
			advise_granules(r, MADV_PAGESIZE_DEFAULT);
		break;
	case 9:
		lock(r);
		break;
	case 10:
		if (draw(r, 8) == 0)
			collapse(r);
		break;
	case 11:
		fork_and_write(r);
		break;
	case 12:
		verify(r, draw_range(r));
		break;
	default:
		write_range(r, draw_range(r));
		break;
	}
}

static void *work(void *arg)
{
	struct region *r = arg;

	pthread_barrier_wait(&started);
	while (!stop)
		step(r);
	verify(r, (struct range){0, r->pages});
	return NULL;
}

static void poke(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0 && errno != EAGAIN && errno != EINTR)
		dprintf(2, "stress: note: %s: %s\n", path, strerror(errno));
	close(fd);
}

static void read_through(const char *path)
{
	static char buffer[1 << 16];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && read(fd, buffer, sizeof(buffer)) > 0)
		;
	if (fd >= 0)
		close(fd);
}

/* Reclaim and compaction from outside, and readers of the page tables. STRESS_CGROUP names the
 * memory cgroup we are in. */
static void *disturb(void *arg)
{
	const char *group = getenv("STRESS_CGROUP");
	char reclaim[256];

	(void)arg;
	pthread_barrier_wait(&started);
	snprintf(reclaim, sizeof(reclaim), "%s/memory.reclaim", group ? group : "/nowhere");
	for (unsigned round = 0; !stop; round++) {
		poke("/proc/sys/vm/compact_memory", "1");
		poke(reclaim, "8M");
		read_through("/proc/self/smaps");
		read_through("/proc/self/numa_maps");
		if (round % 16 == 0)
			poke("/proc/sys/vm/drop_caches", "3");
		if (round % 4 == 0)
			poke("/proc/self/clear_refs", round % 8 ? "1" : "4");
		usleep(100000);
	}
	return NULL;
}

static void prepare(struct region *r, size_t bytes, unsigned number, uint64_t seed)
{
	size_t aside = 2 * MAX_RANGE_PAGES * PAGE_BYTES;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;

	r->pages = bytes / PAGE_BYTES;
	r->random = (seed + number) * 0x9e3779b97f4a7c15ull | 1;
	r->next_value = ((uint64_t)number + 1) << 48;
	r->fd = -1;
	if (number % 2) {
		flags = MAP_SHARED;
		r->fd = memfd_create("stress", MFD_CLOEXEC);
		if (r->fd < 0 || ftruncate(r->fd, (off_t)bytes))
			fail("memfd");
	}
	/* From a granule's start, so that the advice can reach each granule. */
	r->base = mmap(NULL, bytes + 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	r->base = (char *)(((uintptr_t)r->base + 65535) & ~(uintptr_t)65535);
	r->base = mmap(r->base, bytes, RW, flags | MAP_FIXED, r->fd, 0);
	r->aside = mmap(NULL, aside, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	r->shadow =
		mmap(NULL, r->pages * sizeof(*r->shadow), RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (r->base == MAP_FAILED || r->aside == MAP_FAILED || r->shadow == MAP_FAILED)
		fail("mmap");
	if (!madvise(r->base, bytes, MADV_PAGESIZE_64K))
		advised++;
}

int main(int argc, char **argv)
{
	unsigned long steps = 0, refused = 0;
	unsigned threads, seconds;
	pthread_t ids[64], other;
	struct region *regions;

	if (argc != 5)
		return 2;
	seconds = (unsigned)strtoul(argv[1], NULL, 10);
	threads = (unsigned)strtoul(argv[2], NULL, 10);
	if (threads < 1 || threads > 64)
		return 2;
	regions = calloc(threads, sizeof(*regions));
	if (!regions)
		fail("calloc");
	if (pthread_barrier_init(&started, NULL, threads + 2))
		fail("pthread_barrier_init");
	for (unsigned i = 0; i < threads; i++) {
		prepare(&regions[i], (strtoul(argv[3], NULL, 10) << 20) / threads & ~65535ul, i,
			strtoul(argv[4], NULL, 10));
		if (pthread_create(&ids[i], NULL, work, &regions[i]))
			fail("pthread_create");
	}
	if (pthread_create(&other, NULL, disturb, NULL))
		fail("pthread_create");
	pthread_barrier_wait(&started);
	sleep(seconds);
	stop = true;
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(ids[i], NULL);
		for (unsigned what = 0; what < 16; what++)
			steps += regions[i].done[what];
		refused += regions[i].refused;
	}
	pthread_join(other, NULL);
	printf("steps %lu\nrefused %lu\nadvised %lu\n", steps, refused, (unsigned long)advised);
	return 0;
}
