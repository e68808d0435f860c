/* SPDX-License-Identifier: MIT */
/*
 * Threads that come and go: in each of COUNT generations THREADS threads start, each fills BYTES in
 * blocks of 4 KiB, verifies and frees them, and ends. No thread begins to fill before all have a
 * block, and none frees before all are full, so that each generation needs the same memory.
 * Prints as "name value" lines the minor faults of the second half of the generations, and
 * resident memory at points that are named after what was done before.
 *
 * usage: generations THREADS BYTES COUNT [MILLISECONDS|MODE]
 * MILLISECONDS: idle for that long, then allocate a little. Or else one of
 *   small   threads that need little allocate a little more 2.5 seconds after their start
 *   idle    eight times two more generations and threads that need little and go idle
 *   leave   threads that need little, and end without freeing it
 *   two     a thread fills blocks of 9, 9 and 15 MiB, and allocates a little 2.5 seconds later
 *   late    2.5 seconds later one of another generation fills and frees four times as much
 *   trim    a thread that has no heap calls malloc_trim(); and one of a later generation
 *   blocks  take away what address space is left, and print how many blocks of 30 MiB are to be had
 *   fork    eight times fork while a generation runs; the child has one of its own
 */
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK 4096
#define THREADS_MAX 64
#define HUGE_BLOCK ((size_t)30 << 20)

static size_t bytes;
static void (*when_full)(void); /* done by one of a generation's threads */
static pthread_barrier_t have_one, are_full, go_on;

static void fill_and_free(unsigned char **blocks, size_t count, unsigned char seed, bool others)
{
	for (size_t i = 0; i < count; i++) {
		blocks[i] = malloc(BLOCK);
		if (!blocks[i])
			abort();
		memset(blocks[i], (unsigned char)(seed + i), BLOCK);
	}
	if (others) {
		if (pthread_barrier_wait(&are_full) == PTHREAD_BARRIER_SERIAL_THREAD && when_full)
			when_full();
		pthread_barrier_wait(&go_on);
	}
	for (size_t i = 0; i < count; i++) {
		if (blocks[i][0] != (unsigned char)(seed + i) ||
			memcmp(blocks[i], blocks[i] + 1, BLOCK - 1) != 0)
			abort();
		free(blocks[i]);
	}
}

static void *fill(void *arg)
{
	size_t count = bytes / BLOCK;
	unsigned char **blocks = malloc(count * sizeof(*blocks));

	pthread_barrier_wait(&have_one);
	fill_and_free(blocks, count, (unsigned char)(uintptr_t)arg, true);
	free(blocks);
	return NULL;
}

static void init_barriers(size_t threads)
{
	pthread_barrier_init(&have_one, NULL, (unsigned int)threads);
	pthread_barrier_init(&are_full, NULL, (unsigned int)threads);
	pthread_barrier_init(&go_on, NULL, (unsigned int)threads);
}

static void generation(size_t threads)
{
	pthread_t ids[THREADS_MAX];

	for (size_t i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, fill, (void *)(uintptr_t)(i * 7)))
			abort();
	for (size_t i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
}

static long minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/* A value of /proc/self/status in bytes. */
static size_t status(const char *name)
{
	char line[256];
	size_t kib = 0, len = strlen(name);
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, name, len) == 0)
			kib = strtoull(line + len, NULL, 10);
	if (f)
		fclose(f);
	return kib * 1024;
}

static void print_memory(const char *when)
{
	printf("rss_%s %zu\n", when, status("RssAnon:"));
}

/* Enough calls that not each finds a block ready for it. */
static void allocate_a_little(void)
{
	void *blocks[200];

	for (size_t i = 0; i < 200; i++)
		blocks[i] = malloc(2000);
	for (size_t i = 0; i < 200; i++)
		free(blocks[i]);
}

static const char *mode;

static bool is(const char *name)
{
	return strcmp(mode, name) == 0;
}

static void *need_little(void *arg)
{
	void *block = malloc(BLOCK);

	(void)arg;
	if (is("leave"))
		return block;
	pthread_barrier_wait(&have_one);
	if (is("small")) {
		usleep(2500 * 1000);
		allocate_a_little();
	}
	pthread_barrier_wait(&are_full);
	pthread_barrier_wait(&go_on);
	pause();
	return block;
}

static void start_small(size_t threads)
{
	pthread_t id;

	for (size_t i = 0; i < threads; i++)
		if (pthread_create(&id, NULL, need_little, NULL) || pthread_detach(id))
			abort();
}

/* One thread less than in a generation: this one waits for them. */
static void print_small(size_t threads)
{
	for (int i = 0; i < (is("idle") ? 8 : 1); i++) {
		for (int j = 0; is("idle") && j < 2; j++)
			generation(threads);
		start_small(threads - 1);
		pthread_barrier_wait(&have_one);
		pthread_barrier_wait(&are_full);
		pthread_barrier_wait(&go_on);
	}
	print_memory(mode);
}

static void trim_now(void)
{
	malloc_trim(0);
}

static void *trim(void *arg)
{
	trim_now();
	return arg;
}

static void *fill_two(void *arg)
{
	const size_t sizes[] = {9 << 20, 9 << 20, 15 << 20};
	void *blocks[3];

	for (size_t i = 0; i < 3; i++) {
		blocks[i] = malloc(sizes[i]);
		memset(blocks[i], 1, sizes[i]);
	}
	usleep(2500 * 1000);
	allocate_a_little();
	print_memory(mode);
	for (size_t i = 0; i < 3; i++)
		free(blocks[i]);
	return arg;
}

static void in_threads(size_t threads, void *(*function)(void *))
{
	pthread_t ids[THREADS_MAX];

	for (size_t i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, function, NULL))
			abort();
	for (size_t i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
}

static void print_trim(size_t threads)
{
	in_threads(1, trim);
	print_memory("trim");
	for (int i = 0; i < 3; i++)
		generation(threads);
	when_full = trim_now;
	generation(threads);
	print_memory("trimmed_full");
}

static void be_late(void)
{
	size_t count = 4 * bytes / BLOCK;
	unsigned char **blocks = malloc(count * sizeof(*blocks));

	usleep(2500 * 1000);
	fill_and_free(blocks, count, 1, false);
	free(blocks);
	print_memory("late");
}

static void print_blocks(void)
{
	size_t now = status("VmSize:");
	size_t count = 0;

	if (setrlimit(RLIMIT_AS, &(struct rlimit){now, now}))
		abort();
	while (count < 10000 && malloc(HUGE_BLOCK))
		count++;
	printf("blocks %zu\n", count);
}

static void *run_generations(void *arg)
{
	for (int i = 0; i < 4; i++)
		generation((size_t)(uintptr_t)arg);
	return arg;
}

static void print_child(size_t threads)
{
	int how = 0, all = 0;

	fflush(stdout);
	for (int i = 0; i < 8; i++) {
		pthread_t id;

		if (pthread_create(&id, NULL, run_generations, (void *)(uintptr_t)threads))
			abort();
		usleep(3000 * (useconds_t)(i + 1));
		pid_t child = fork();
		if (child == 0) {
			init_barriers(threads); /* others may be waiting at the parent's */
			generation(threads);
			_exit(malloc_trim(0) < 0);
		}
		pthread_join(id, NULL);
		if (child < 0 || waitpid(child, &how, 0) != child)
			abort();
		all |= how;
	}
	printf("child %d\n", all);
}

static void then(size_t threads)
{
	if (is("small") || is("idle")) {
		print_small(threads);
	} else if (is("leave")) {
		in_threads(threads, need_little);
		usleep(2500 * 1000);
		allocate_a_little();
		print_memory(mode);
	} else if (is("two")) {
		in_threads(1, fill_two);
	} else if (is("late")) {
		when_full = be_late;
		generation(threads);
	} else if (is("trim")) {
		print_trim(threads);
	} else if (is("blocks")) {
		print_blocks();
	} else if (is("fork")) {
		print_child(threads);
	} else if (*mode) {
		usleep((useconds_t)strtoul(mode, NULL, 10) * 1000);
		print_memory("waited");
		allocate_a_little();
		print_memory("allocated");
	}
}

int main(int argc, char **argv)
{
	size_t threads = argc > 3 ? strtoull(argv[1], NULL, 0) : 0;
	size_t count = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
	long before = 0;

	mode = argc > 4 ? argv[4] : "";
	if (threads == 0 || threads > THREADS_MAX || argc > 5) {
		fprintf(stderr, "usage: generations THREADS BYTES COUNT [MILLISECONDS|MODE]\n");
		return 2;
	}
	bytes = strtoull(argv[2], NULL, 0);
	init_barriers(threads);
	for (size_t i = 0; i < count; i++) {
		if (i == count / 2)
			before = minor_faults();
		generation(threads);
	}
	printf("faults %ld\n", minor_faults() - before);
	print_memory("idle");
	then(threads);
	return 0;
}
