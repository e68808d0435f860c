/* SPDX-License-Identifier: MIT */
/*
 * A heap-bound program: THREADS threads fill TOTAL bytes in blocks of BLOCK bytes, write every
 * byte, verify them, and print what it cost as "name value" lines: minor faults, resident memory,
 * VMAs, memory in PMD-size pages.
 *
 * usage: heapload BLOCK TOTAL THREADS [free|idle|timed|wait]
 * With `free` all blocks are freed before the figures of resident memory are taken a second time.
 * With `idle` each thread frees its blocks before it ends, and nothing more is done. None ends
 * before all have begun: threads that come after others have ended may get what those had.
 * With `timed` the coverage, which takes time to measure, is left out.
 * With `wait` mappings are printed again when standard input has ended: things happen to memory.
 * With libpg64.so in the process its exact coverage is printed too, where privilege allows.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "pg64.h"

extern __typeof__(pg64_coverage) pg64_coverage __attribute__((weak));

struct work {
	pthread_t thread;
	size_t block, count;
	unsigned char seed;
	bool drop; /* before the thread ends */
	void **blocks;
};

static pthread_barrier_t begun;

static void drop(struct work *w)
{
	for (size_t j = 0; j < w->count; j++)
		free(w->blocks[j]);
	free(w->blocks);
}

static void *fill(void *arg)
{
	struct work *w = arg;

	w->blocks = malloc(w->count * sizeof(*w->blocks));
	if (w->drop)
		pthread_barrier_wait(&begun);
	for (size_t i = 0; i < w->count; i++) {
		w->blocks[i] = malloc(w->block);
		if (!w->blocks[i])
			abort();
		memset(w->blocks[i], (unsigned char)(w->seed + i), w->block);
	}
	for (size_t i = 0; i < w->count; i++) {
		unsigned char *b = w->blocks[i], want = (unsigned char)(w->seed + i);

		if (b[0] != want || b[w->block / 2] != want || b[w->block - 1] != want)
			abort();
	}
	if (w->drop)
		drop(w);
	return NULL;
}

static void print_memory(const char *when)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f)) {
		long kib;
		if (sscanf(line, "RssAnon: %ld", &kib) == 1)
			printf("rss_anon_%s %ld\n", when, kib * 1024);
	}
	if (f)
		fclose(f);
}

static void print_mappings(void)
{
	char line[512];
	long kib, huge = 0, vmas = 0;
	FILE *f = fopen("/proc/self/smaps", "r");

	while (f && fgets(line, sizeof(line), f)) {
		vmas += strncmp(line, "Size:", 5) == 0;
		if (sscanf(line, "AnonHugePages: %ld", &kib) == 1)
			huge += kib * 1024;
	}
	if (f)
		fclose(f);
	printf("vmas %ld\nanon_huge %ld\n", vmas, huge);
}

/* Sum pg64_coverage() over the anonymous mappings of this process. */
static void print_coverage(void)
{
	uint64_t resident = 0, backed = 0;
	int exact = 1;
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");

	while (f && fgets(line, sizeof(line), f)) {
		unsigned long start, end, inode;
		int n = 0;

		if (sscanf(line, "%lx-%lx %*s %*s %*s %lu%n", &start, &end, &inode, &n) < 3 ||
			inode || strstr(line, "[v") || strstr(line, "[stack"))
			continue;
		struct pg64_coverage c = {.size = sizeof(c)};
		if (pg64_coverage(0, start, end - start, &c) < 0 ||
			c.source != PG64_COVERAGE_KPAGEFLAGS)
			exact = 0;
		resident += c.resident_bytes;
		backed += c.backed_bytes;
	}
	if (f)
		fclose(f);
	if (exact && resident)
		printf("coverage_ppm %llu\n", (unsigned long long)(backed * 1000000 / resident));
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: heapload BLOCK TOTAL THREADS [free|idle|timed|wait]\n");
		return 2;
	}
	size_t block = strtoull(argv[1], NULL, 0), total = strtoull(argv[2], NULL, 0);
	int threads = atoi(argv[3]);
	struct work *w = calloc((size_t)threads, sizeof(*w));
	struct rusage usage;

	pthread_barrier_init(&begun, NULL, (unsigned int)threads);
	for (int i = 0; i < threads; i++) {
		w[i] = (struct work){.block = block,
			.count = total / block / (size_t)threads,
			.seed = (unsigned char)(i * 7),
			.drop = argc > 4 && strcmp(argv[4], "idle") == 0};
		if (threads == 1)
			fill(&w[i]);
		else if (pthread_create(&w[i].thread, NULL, fill, &w[i]))
			abort();
	}
	for (int i = 0; threads > 1 && i < threads; i++)
		pthread_join(w[i].thread, NULL);
	getrusage(RUSAGE_SELF, &usage);
	printf("minor_faults %ld\n", usage.ru_minflt);
	print_memory("full");
	print_mappings();
	if (pg64_coverage && !(argc > 4 && strcmp(argv[4], "timed") == 0))
		print_coverage();
	if (argc > 4 && strcmp(argv[4], "free") == 0) {
		for (int i = 0; i < threads; i++)
			drop(&w[i]);
		usleep(100 * 1000);
		malloc_trim(0);
		print_memory("freed");
	}
	if (argc > 4 && strcmp(argv[4], "wait") == 0) {
		fflush(stdout);
		while (getchar() != EOF)
			;
		print_mappings();
	}
	return 0;
}
