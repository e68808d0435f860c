/* SPDX-License-Identifier: MIT */
/*
 * Counts and times what one kind of memory costs, and prints "name value" lines. Where it prints
 * "range FIRST END" it waits for a line on standard input, so that the memory can be looked at.
 *
 *   measure snapshot 4k|mthp|64k MIB PERMILLE SEED
 *       fill MIB, fork a child that keeps what it got, write PERMILLE of the pages in random order,
 *       let the child verify its copy and end, write all pages again
 *   measure touch 4k|mthp|64k MIB PAGES
 *       write every PAGES-th page of MIB, in order
 *
 * Times are in nanoseconds; the charge is that of the memory cgroup it runs in. What was written is
 * verified at each step; the first word that is wrong ends the program with status 1.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES 4096ul
#define GRANULE_BYTES 65536ul
#define GRANULE_PAGES (GRANULE_BYTES / PAGE_BYTES)
#define LINE_WORDS 8ul /* a word of each 64 bytes is written */
#define PAGE_WORDS (PAGE_BYTES / sizeof(uint64_t))
#define PMD_BYTES (2ul << 20)
#define MADV_PAGESIZE_64K 164

static char *memory;
static size_t pages;
static uint64_t random_state;

static void die(const char *what)
{
	fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static unsigned long minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (unsigned long)usage.ru_minflt;
}

static void say(const char *name, uint64_t value)
{
	printf("%s %llu\n", name, (unsigned long long)value);
}

static uint64_t draw(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 8) % below;
}

/* Shared and present, so that writing to it after a fork is no fault. */
static void *table(size_t bytes)
{
	void *found = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (found == MAP_FAILED)
		die("mmap of a table");
	return found;
}

static void get_memory(const char *kind, size_t bytes)
{
	int advice = MADV_NOHUGEPAGE;
	uintptr_t base;

	base = (uintptr_t)mmap(NULL, bytes + PMD_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if ((void *)base == MAP_FAILED)
		die("mmap");
	memory = (char *)((base + PMD_BYTES - 1) & ~(PMD_BYTES - 1));
	pages = bytes / PAGE_BYTES;
	if (!strcmp(kind, "64k"))
		advice = MADV_PAGESIZE_64K;
	else if (!strcmp(kind, "mthp"))
		advice = MADV_HUGEPAGE;
	else if (strcmp(kind, "4k"))
		exit(2);
	if (madvise(memory, bytes, advice))
		die("madvise");
}

/* The charge of the cgroup we are in, or 0. */
static uint64_t charged_bytes(void)
{
	static char path[256];
	unsigned long long value = 0;
	FILE *file;

	if (!path[0]) {
		char group[128] = "";

		file = fopen("/proc/self/cgroup", "re");
		if (!file || fscanf(file, "0::%127s", group) != 1)
			die("/proc/self/cgroup");
		fclose(file);
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.current", group);
	}
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%llu", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

static uint64_t *page_at(size_t page)
{
	return (uint64_t *)(memory + page * PAGE_BYTES);
}

static uint64_t value_of(size_t page, unsigned version)
{
	return ((uint64_t)page << 8) + version + 1;
}

static void write_page(size_t page, unsigned version)
{
	volatile uint64_t *words = page_at(page);

	for (size_t i = 0; i < PAGE_WORDS; i += LINE_WORDS)
		words[i] = value_of(page, version) + (i << 40);
}

static void verify_page(size_t page, unsigned version, const char *who)
{
	const uint64_t *words = page_at(page);

	for (size_t i = 0; i < PAGE_WORDS; i += LINE_WORDS) {
		uint64_t wanted = value_of(page, version) + (i << 40);

		if (words[i] == wanted)
			continue;
		fprintf(stderr, "measure: %s: page %zu, word %zu: %llx instead of %llx\n", who,
			page, i, (unsigned long long)words[i], (unsigned long long)wanted);
		exit(1);
	}
}

static int by_value(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static void say_times(const char *what, uint64_t *ns, size_t count)
{
	static const struct {
		const char *name;
		unsigned permille;
	} points[] = {{"p50", 500}, {"p99", 990}, {"p999", 999}, {"max", 1000}};
	uint64_t sum = 0;
	char name[64];

	qsort(ns, count, sizeof(*ns), by_value);
	for (size_t i = 0; i < count; i++)
		sum += ns[i];
	for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
		size_t at = count * points[i].permille / 1000;

		snprintf(name, sizeof(name), "%s_%s_ns", what, points[i].name);
		say(name, ns[at < count ? at : count - 1]);
	}
	snprintf(name, sizeof(name), "%s_sum_ns", what);
	say(name, sum);
}

static void wait_to_be_seen(void)
{
	printf("range %lx %lx\n", (unsigned long)memory,
		(unsigned long)(memory + pages * PAGE_BYTES));
	fflush(stdout);
	while (getchar() != '\n' && !feof(stdin))
		;
}

/* All pages in random order; the first of them are those to write. */
static uint32_t *random_order(void)
{
	uint32_t *order = table(pages * sizeof(*order));

	for (size_t i = 0; i < pages; i++)
		order[i] = (uint32_t)i;
	for (size_t i = pages - 1; i > 0; i--) {
		size_t other = draw(i + 1);
		uint32_t page = order[i];

		order[i] = order[other];
		order[other] = page;
	}
	return order;
}

static void say_granules(const uint32_t *order, size_t count)
{
	char *seen = calloc(pages / GRANULE_PAGES, 1);
	size_t granules = 0;

	if (!seen)
		die("calloc");
	for (size_t i = 0; i < count; i++) {
		granules += !seen[order[i] / GRANULE_PAGES];
		seen[order[i] / GRANULE_PAGES] = 1;
	}
	free(seen);
	say("pages_written", count);
	say("granules_written", granules);
}

static void fill(void)
{
	unsigned long faults = minor_faults();
	uint64_t started = now_ns();

	for (size_t page = 0; page < pages; page++)
		write_page(page, 0);
	say("fill_ns", now_ns() - started);
	say("fill_faults", minor_faults() - faults);
}

/* The child keeps the memory until its end of the pipe has an end of file. */
static pid_t fork_holder(int *hold_fd)
{
	uint64_t started;
	pid_t child;
	int ends[2];

	if (pipe(ends))
		die("pipe");
	fflush(stdout);
	started = now_ns();
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		char byte;

		close(ends[1]);
		if (read(ends[0], &byte, 1))
			die("read");
		for (size_t page = 0; page < pages; page++)
			verify_page(page, 0, "child");
		_exit(0);
	}
	say("fork_ns", now_ns() - started);
	close(ends[0]);
	*hold_fd = ends[1];
	return child;
}

static void write_under_snapshot(const uint32_t *order, size_t count)
{
	uint64_t *ns = table(count * sizeof(*ns));
	unsigned long faults = minor_faults();

	for (size_t i = 0; i < count; i++) {
		uint64_t started = now_ns();

		*(volatile uint64_t *)page_at(order[i]) = value_of(order[i], 1);
		ns[i] = now_ns() - started;
	}
	say("write_faults", minor_faults() - faults);
	for (size_t i = 0; i < count; i++)
		write_page(order[i], 1);
	say_times("write", ns, count);
	munmap(ns, count * sizeof(*ns));
}

static void end_holder(pid_t child, int hold_fd)
{
	int status;

	close(hold_fd);
	if (waitpid(child, &status, 0) != child)
		die("waitpid");
	if (status) {
		fprintf(stderr, "measure: the child ended with %x\n", (unsigned)status);
		exit(1);
	}
}

static void rewrite_all(void)
{
	unsigned long faults = minor_faults();

	for (size_t page = 0; page < pages; page++)
		write_page(page, 2);
	say("rewrite_faults", minor_faults() - faults);
	for (size_t page = 0; page < pages; page++)
		verify_page(page, 2, "parent, at the end");
}

static void snapshot(unsigned permille)
{
	size_t count = pages * permille / 1000;
	uint32_t *order = random_order();
	uint64_t before;
	pid_t child;
	int hold_fd;

	say_granules(order, count);
	fill();
	before = charged_bytes();
	say("charged_filled", before);
	child = fork_holder(&hold_fd);
	write_under_snapshot(order, count);
	say("charged_snapshot", charged_bytes());
	end_holder(child, hold_fd);
	say("charged_after", charged_bytes());
	for (size_t i = 0; i < pages; i++)
		verify_page(order[i], i < count, "parent");
	wait_to_be_seen();
	say("charged_reclaimed", charged_bytes());
	rewrite_all();
	say("charged_rewritten", charged_bytes());
	wait_to_be_seen();
}

/* What is written is there, and the page after it as it was. */
static void verify_touched(size_t step)
{
	for (size_t page = 0; page < pages; page += step) {
		const uint64_t *words = page_at(page);

		if (words[0] != value_of(page, 0) || words[PAGE_WORDS - 1] ||
			(step > 1 && words[PAGE_WORDS])) {
			fprintf(stderr, "measure: page %zu: %llx %llx\n", page,
				(unsigned long long)words[0],
				(unsigned long long)words[PAGE_WORDS - 1]);
			exit(1);
		}
	}
}

/* `first` of a granule is what a program waits for at once, `granule` until it has 64 KiB. */
static void touch(size_t step)
{
	size_t granules = pages / GRANULE_PAGES, span = step > GRANULE_PAGES ? step : GRANULE_PAGES;
	uint64_t *first = table(granules * sizeof(*first)), *all = table(granules * sizeof(*all));
	unsigned long faults = minor_faults();
	size_t count = 0;

	for (size_t page = 0; page + span <= pages; page += span) {
		uint64_t started = now_ns();

		*(volatile uint64_t *)page_at(page) = value_of(page, 0);
		first[count] = now_ns() - started;
		for (size_t i = step; i < span; i += step)
			*(volatile uint64_t *)page_at(page + i) = value_of(page + i, 0);
		all[count++] = now_ns() - started;
	}
	say("touch_faults", minor_faults() - faults);
	say("charged_touched", charged_bytes());
	say_times("first", first, count);
	say_times("granule", all, count);
	verify_touched(step);
	wait_to_be_seen();
}

int main(int argc, char **argv)
{
	if (argc < 5)
		return 2;
	get_memory(argv[2], strtoul(argv[3], NULL, 10) << 20);
	if (!strcmp(argv[1], "snapshot") && argc == 6) {
		random_state = strtoul(argv[5], NULL, 10) * 0x9e3779b97f4a7c15ul | 1;
		snapshot((unsigned)strtoul(argv[4], NULL, 10));
	} else if (!strcmp(argv[1], "touch")) {
		touch(strtoul(argv[4], NULL, 10));
	} else {
		return 2;
	}
	return 0;
}
