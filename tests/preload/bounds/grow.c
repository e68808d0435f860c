/* SPDX-License-Identifier: MIT */
/*
 * Blocks that realloc() makes grow step by step. Each step writes what is new; where a block
 * moved, and at the end, all of it is verified. Prints as "name value" lines how often blocks
 * moved, how many bytes had to move, the minor faults, and resident memory when all have grown and
 * when all is freed again.
 *
 * usage: grow TO STEP COUNT [MODE]
 * COUNT blocks grow to TO bytes side by side, by STEP bytes a time. MODE is one of
 *   heap     a block of 200 KiB is allocated behind each at every eighth step, and all are freed
 *   double   each step doubles the size, from STEP on, with such a block behind each
 *   thread   each step is another thread's
 *   shrink   then they shrink by as many steps again, to less than a step
 *   sparse   only the first byte of each step is written
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BLOCKS_MAX 8
#define OBSTACLE ((size_t)200 << 10)
#define OBSTACLES_MAX 4096

static size_t step_bytes;
static bool sparse, by_thread;
static unsigned long moves, moved_bytes;
static void *obstacles[OBSTACLES_MAX];

struct grown {
	unsigned char *block;
	size_t size, wanted;
	unsigned char seed;
};

static unsigned char value(const struct grown *g, size_t at)
{
	return (unsigned char)(g->seed + at / step_bytes * 7);
}

static void verify(const struct grown *g)
{
	for (size_t at = 0; at < g->size; at += step_bytes) {
		size_t len = g->size - at < step_bytes ? g->size - at : step_bytes;

		if (g->block[at] != value(g, at) ||
			(!sparse && memcmp(g->block + at, g->block + at + 1, len - 1) != 0)) {
			fprintf(stderr, "%zu bytes: wrong at %zu\n", g->size, at);
			exit(1);
		}
	}
}

static void *resize(void *arg)
{
	struct grown *g = arg;
	size_t was = g->size;
	unsigned char *block = realloc(g->block, g->wanted);

	if (!block) {
		perror("realloc");
		exit(1);
	}
	bool moved = block != g->block && was > 0;
	g->block = block;
	g->size = g->wanted < was ? g->wanted : was;
	if (moved) {
		moves++;
		moved_bytes += was;
		verify(g);
	}
	for (size_t at = was; at < g->wanted; at += step_bytes)
		memset(block + at, value(g, at), sparse ? 1 : step_bytes);
	g->size = g->wanted;
	return NULL;
}

static void step(struct grown *g, size_t wanted)
{
	pthread_t id;

	g->wanted = wanted;
	if (!by_thread)
		resize(g);
	else if (pthread_create(&id, NULL, resize, g) != 0 || pthread_join(id, NULL) != 0)
		exit(1);
}

static long resident(void)
{
	long size, pages;
	FILE *file = fopen("/proc/self/statm", "r");

	if (!file || fscanf(file, "%ld %ld", &size, &pages) != 2)
		exit(1);
	fclose(file);
	return pages * sysconf(_SC_PAGESIZE);
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

int main(int argc, char **argv)
{
	static struct grown all[BLOCKS_MAX];
	const char *mode = argc > 4 ? argv[4] : "";
	size_t to, count, in_way = 0;

	if (argc < 4)
		return 2;
	to = strtoul(argv[1], NULL, 10);
	step_bytes = strtoul(argv[2], NULL, 10);
	count = strtoul(argv[3], NULL, 10);
	if (count > BLOCKS_MAX)
		return 2;
	sparse = strcmp(mode, "sparse") == 0;
	by_thread = strcmp(mode, "thread") == 0;
	bool doubles = strcmp(mode, "double") == 0;
	bool every_eighth = strcmp(mode, "heap") == 0;
	free(malloc(100));
	long first = faults();
	for (size_t size = step_bytes; size <= to; size += doubles ? size : step_bytes) {
		for (size_t i = 0; i < count; i++) {
			all[i].seed = (unsigned char)(31 * i);
			step(&all[i], size);
			if ((doubles || (every_eighth && size / step_bytes % 8 == 0)) &&
				in_way < OBSTACLES_MAX)
				obstacles[in_way++] = malloc(OBSTACLE);
		}
	}
	printf("faults %ld\nrss_grown %ld\n", faults() - first, resident());
	for (size_t i = 0; i < count; i++) {
		verify(&all[i]);
		while (strcmp(mode, "shrink") == 0 && all[i].size > step_bytes)
			step(&all[i], all[i].size - step_bytes);
		verify(&all[i]);
		free(all[i].block);
	}
	while (in_way > 0)
		free(obstacles[--in_way]);
	printf("moves %lu\nmoved_bytes %lu\nrss_freed %ld\n", moves, moved_bytes, resident());
	return 0;
}
