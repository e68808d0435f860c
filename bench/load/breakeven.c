/* SPDX-License-Identifier: MIT */
/*
 * breakeven MIB [HOGS]: what it costs to move memory that is in use to 2 MiB pages by
 * MADV_COLLAPSE, and what random reads gain by it. Asks the kernel itself, without pg64. HOGS
 * threads take faults of base pages meanwhile: MADV_COLLAPSE waits for processors with new pages
 * that are not in the lists of the reclaim yet (lru_add_drain_all()), and large ones are at once.
 *
 * Prints lines "name value": microseconds for each 2 MiB, the median of the calls; nanoseconds for
 * each read. The pages that the memory is on before are those that MADV_HUGEPAGE brings:
 * bench/break-even sets the knobs.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#define STRETCH ((size_t)2 << 20)
#define LINE 64
#define ADVICE_COLLAPSE 25
#define RUN_MAX 16
#define HOGS_MAX 64
#define READS_DEPENDENT 300000
#define READS_INDEPENDENT 6000000
#define BIRTHS 64
#define SAMPLES_MAX 4096

struct samples {
	uint64_t ns[SAMPLES_MAX];
	size_t count;
};

static char *memory;
static size_t stretches, failed;
static volatile uint64_t sink;

static void die(const char *what)
{
	fprintf(stderr, "breakeven: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static long minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_minflt;
}

/* @count whole stretches, so far without a page. @advice: MADV_HUGEPAGE or MADV_NOHUGEPAGE. */
static char *map(size_t count, int advice, char **whole)
{
	size_t len = (count + 1) * STRETCH;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	*whole = p;
	p = (char *)(((uintptr_t)p + STRETCH - 1) & ~(STRETCH - 1));
	if (madvise(p, count * STRETCH, advice))
		die("madvise");
	return p;
}

static void *hog(void *unused)
{
	char *whole, *p = map(1, MADV_NOHUGEPAGE, &whole);

	for (;;) {
		for (size_t page = 0; page < STRETCH; page += 4096)
			p[page] = 1;
		if (madvise(p, STRETCH, MADV_DONTNEED))
			die("MADV_DONTNEED");
	}
	return unused;
}

/* The word in line @i: the line that comes next in one cycle through all (see bench/micro). */
static uint64_t next_of(uint64_t i, uint64_t lines)
{
	unsigned int half = ((unsigned int)__builtin_ctzll(lines) + 1) / 2;
	uint64_t x = ((i ^ i >> half) * 0x5851f42d4c957f2d + 0x14057b7ef767814f) & (lines - 1);

	return x ^ x >> half;
}

static uint64_t *line(uint64_t i)
{
	return (uint64_t *)(void *)(memory + i * LINE);
}

static double read_dependent(uint64_t lines)
{
	static uint64_t at;
	uint64_t begin = now_ns();

	for (size_t i = 0; i < READS_DEPENDENT; i++)
		at = *line(at & (lines - 1));
	sink = at;
	return (double)(now_ns() - begin) / READS_DEPENDENT;
}

static double read_independent(uint64_t lines)
{
	static uint64_t x = 88172645463325252;
	uint64_t begin = now_ns(), sum = 0;

	for (size_t i = 0; i < READS_INDEPENDENT; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		sum += *line(x & (lines - 1));
	}
	sink = sum;
	return (double)(now_ns() - begin) / READS_INDEPENDENT;
}

/* The least of five: what disturbs only makes it longer. */
static double least(double (*measure)(uint64_t))
{
	double min = measure(stretches * STRETCH / LINE);

	for (int i = 0; i < 4; i++) {
		double again = measure(stretches * STRETCH / LINE);
		min = again < min ? again : min;
	}
	return min;
}

static void print_reads(const char *when)
{
	printf("independent_%s_ns %.2f\n", when, least(read_independent));
	printf("dependent_%s_ns %.1f\n", when, least(read_dependent));
}

/*
 * A host that took free memory back makes its first use ten times slower than any that follow. So
 * use as much as will be used, in 2 MiB pages: others come from other free lists.
 */
static void prime(void)
{
	size_t count = 2 * stretches + 2 * BIRTHS;
	char *whole, *p = map(count, MADV_HUGEPAGE, &whole);

	for (size_t i = 0; i < count; i++) {
		p[i * STRETCH] = 1;
		if (madvise(p + i * STRETCH, STRETCH, ADVICE_COLLAPSE))
			die("MADV_COLLAPSE");
		memset(p + i * STRETCH, 1, STRETCH);
	}
	munmap(whole, (count + 1) * STRETCH);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* What other programs do to single samples must not be in it. */
static double median_us(struct samples *s)
{
	qsort(s->ns, s->count, sizeof(s->ns[0]), compare);
	return s->count ? (double)s->ns[s->count / 2] / 1000 : 0;
}

/* Call MADV_COLLAPSE; what it took goes to @s. */
static void collapse(char *at, size_t len, struct samples *s)
{
	uint64_t begin = now_ns();

	failed += madvise(at, len, ADVICE_COLLAPSE) != 0;
	if (s->count < SAMPLES_MAX)
		s->ns[s->count++] = now_ns() - begin;
}

/* All of it, by runs of 1, 2, 4, 8 and 16 stretches in turn. */
static void move(void)
{
	static struct samples by_run[RUN_MAX + 1];

	for (size_t at = 0, run = 1; at < stretches; run = run == RUN_MAX ? 1 : 2 * run)
		for (size_t end = at + RUN_MAX; at < end; at += run)
			collapse(memory + at * STRETCH, run * STRETCH, &by_run[run]);
	for (size_t run = 1; run <= RUN_MAX; run *= 2)
		printf("run_%zu_us %.1f\n", run, median_us(&by_run[run]) / (double)run);
}

/* What really is on 2 MiB pages in this process. */
static unsigned long huge_mib(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	unsigned long kib = 0;
	char text[128];

	if (!file)
		die("smaps_rollup");
	while (fgets(text, sizeof(text), file))
		if (sscanf(text, "AnonHugePages: %lu", &kib) == 1)
			break;
	fclose(file);
	return kib / 1024;
}

/* A call for which there is nothing to do but to wait for the lists. */
static void wait_only(void)
{
	static struct samples took;
	char *whole, *p = map(1, MADV_NOHUGEPAGE, &whole);

	for (size_t i = 0; i < BIRTHS; i++) {
		/* A page that is not in the lists yet. */
		p[STRETCH / BIRTHS * i] = 1;
		collapse(memory, STRETCH, &took);
	}
	printf("wait_us %.1f\n", median_us(&took));
	munmap(whole, 2 * STRETCH);
}

/* Memory that nobody has used yet: its page faults, or one touch and MADV_COLLAPSE; in turn. */
static void give_birth(void)
{
	static struct samples by_faults, by_collapse;
	char *whole, *p = map(2 * BIRTHS, MADV_HUGEPAGE, &whole);
	long faults = minor_faults();

	for (size_t i = 0; i < BIRTHS; i++) {
		char *at = p + 2 * i * STRETCH;
		uint64_t begin = now_ns();

		for (size_t page = 0; page < STRETCH; page += 4096)
			at[page] = 1;
		by_faults.ns[by_faults.count++] = now_ns() - begin;
		at += STRETCH;
		*at = 1;
		collapse(at, STRETCH, &by_collapse);
	}
	printf("born_faults %.1f\n", (double)(minor_faults() - faults) / BIRTHS);
	printf("born_by_faults_us %.1f\n", median_us(&by_faults));
	printf("born_by_collapse_us %.1f\n", median_us(&by_collapse));
	munmap(whole, (2 * BIRTHS + 1) * STRETCH);
}

int main(int argc, char **argv)
{
	size_t mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long hogs = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	pthread_t thread;
	char *whole;

	if (mib < 2 * RUN_MAX || (mib & (mib - 1)) || hogs > HOGS_MAX) {
		fprintf(stderr, "usage: breakeven MIB [HOGS]: MIB a power of two, 32 or more\n");
		return 2;
	}
	stretches = (mib << 20) / STRETCH;
	prime();
	for (unsigned long i = 0; i < hogs; i++)
		if (pthread_create(&thread, NULL, hog, NULL))
			die("pthread_create");
	memory = map(stretches, MADV_HUGEPAGE, &whole);
	for (uint64_t i = 0, lines = stretches * STRETCH / LINE; i < lines; i++)
		*line(i) = next_of(i, lines);
	give_birth();
	print_reads("before");
	unsigned long huge_before = huge_mib();
	move();
	wait_only();
	print_reads("after");
	printf("moved_mib %lu\n", huge_mib() - huge_before);
	printf("failed %zu\n", failed);
	return 0;
}
