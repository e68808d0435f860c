/* SPDX-License-Identifier: MIT */
/*
 * A thread that has freed most of its heap and goes on: BYTES in blocks of BLOCK bytes are filled,
 * all of them but one in 64 are freed (in their order, so that whole pages become free between
 * pages in use), and for MILLISECONDS the thread goes on in one of these ways:
 *   small   a small block is allocated and freed each millisecond
 *   churn   blocks of 48 KiB come and go, each taking a page out of what was freed
 *   again   what was freed is allocated, filled and freed again, five times a second
 * Prints as "name value" lines resident memory and the minor faults of that time.
 *
 * usage: waiting BLOCK BYTES MILLISECONDS small|churn|again
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

/* Keeps runs of blocks, so that whole pages of small ones become free, too. */
static void free_most(void **blocks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (i / (count / KEEP_ONE_IN / 4 + 1) % KEEP_ONE_IN == 0)
			continue;
		free(blocks[i]);
		blocks[i] = NULL;
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
			free_most(blocks, count);
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
	free_most(blocks, count);
	tell("rss_freed", rss());
	long before = faults();
	go_on(argv[4], blocks, count, size, now_ms() + strtoul(argv[3], NULL, 10));
	tell("faults", faults() - before);
	tell("rss", rss());
	return 0;
}
