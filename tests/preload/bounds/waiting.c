/* SPDX-License-Identifier: MIT */
/*
 * A thread that has freed most of its heap and goes on: BYTES in blocks of BLOCK bytes are filled,
 * all of them but one in 64 are freed (in their order, so that whole pages become free between
 * pages in use), and for MILLISECONDS the thread goes on in one of these ways:
 *   small   a small block is allocated and freed each millisecond
 *   churn   blocks of 48 KiB come and go, each taking a page out of what was freed
 *   again   what was freed is allocated, filled and freed again, five times a second
 *   holes   in each 32 MiB one block (of 512 KiB, say) comes and goes 50 times a second
 *   once    nothing at first; then as small. What the first call gave back is rss_once
 * Prints as "name value" lines resident memory and the minor faults of that time.
 *
 * usage: waiting BLOCK BYTES MILLISECONDS small|churn|again|holes|once
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define KEEP_ONE_IN 64
#define PAGE_BLOCK ((size_t)48 << 10)
#define PAGES 64
#define RUN ((size_t)128 << 10)

static void tell(const char *name, long value)
{
	/* Into a buffer of its own: stdio's comes from malloc. */
	char line[64];
	int len = snprintf(line, sizeof(line), "%s %ld\n", name, value);

	if (write(STDOUT_FILENO, line, (size_t)len) != len)
		abort();
}

static long rss(void)
{
	static char buffer[4096];
	FILE *file = fopen("/proc/self/statm", "r");
	long size, resident;

	if (!file)
		abort();
	setvbuf(file, buffer, _IOFBF, sizeof(buffer));
	if (fscanf(file, "%ld %ld", &size, &resident) != 2)
		abort();
	fclose(file);
	return resident * sysconf(_SC_PAGESIZE);
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void *filled(size_t size)
{
	void *block = malloc(size);

	if (!block)
		abort();
	return memset(block, 1, size);
}

static void fill(void **blocks, size_t count, size_t size)
{
	for (size_t i = 0; i < count; i++)
		if (!blocks[i])
			blocks[i] = filled(size);
}

/* Keeps runs of 128 KiB, so that whole pages of small blocks become free, but no segment does. */
static void free_most(void **blocks, size_t count, size_t size)
{
	for (size_t i = 0; i < count; i++) {
		if (i / (RUN / size) % KEEP_ONE_IN == 0)
			continue;
		free(blocks[i]);
		blocks[i] = NULL;
	}
}

static size_t segment_of(const void *block)
{
	return (uintptr_t)block >> 25;
}

/* In each segment two blocks stay and one comes and goes: by mallocs in turn, last freed first. */
static size_t make_holes(void **blocks, size_t count, void **holes)
{
	size_t segment = 0, at = 0, found = 0;

	for (size_t i = 0; i < count; i++) {
		at = segment_of(blocks[i]) == segment ? at + 1 : 0;
		segment = segment_of(blocks[i]);
		if (at == 10 || at == 12)
			continue;
		if (at == 11 && found < PAGES)
			holes[found++] = blocks[i];
		else
			free(blocks[i]);
	}
	return found;
}

static void use_holes(void **holes, size_t found, size_t size, uint64_t end)
{
	while (now_ms() < end) {
		for (size_t i = 0; i < found; i++)
			free(holes[i]);
		for (size_t i = found; i-- > 0;)
			holes[i] = filled(size);
		usleep(20000);
	}
}

static void go_on(const char *how, void **blocks, size_t count, size_t size, uint64_t end)
{
	static void *pages[PAGES];

	for (size_t i = 0; now_ms() < end; i++) {
		if (strcmp(how, "small") == 0) {
			free(filled(100));
			usleep(1000);
		} else if (strcmp(how, "churn") == 0) {
			free(pages[i % PAGES]);
			pages[i % PAGES] = filled(PAGE_BLOCK);
			usleep(1000);
		} else {
			fill(blocks, count, size);
			free_most(blocks, count, size);
			usleep(200000);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	size_t size = strtoul(argv[1], NULL, 10), count = strtoul(argv[2], NULL, 10) / size;
	void **blocks = calloc(count, sizeof(*blocks));

	if (!blocks)
		return 1;
	fill(blocks, count, size);
	tell("rss_full", rss());
	const char *how = argv[4];
	uint64_t time = strtoul(argv[3], NULL, 10);
	long before = faults();
	if (strcmp(how, "holes") == 0) {
		static void *holes[PAGES];
		size_t found = make_holes(blocks, count, holes);

		tell("segments", (long)found);
		tell("rss_freed", rss());
		use_holes(holes, found, size, now_ms() + time);
	} else {
		free_most(blocks, count, size);
		tell("rss_freed", rss());
		before = faults();
		if (strcmp(how, "once") == 0) {
			/* Sixteen calls are one look. */
			usleep(1000000);
			for (int i = 0; i < 16; i++)
				free(filled(100000));
			tell("rss_once", rss());
			how = "small";
		}
		go_on(how, blocks, count, size, now_ms() + time);
	}
	tell("faults", faults() - before);
	tell("rss", rss());
	return 0;
}
