/* SPDX-License-Identifier: MIT */
/*
 * A heap at a limit of the kernel. Prints "name value" lines; what must hold everywhere is checked
 * here.
 *
 * usage: limits fill TOTAL            allocate TOTAL bytes in blocks of each size, freed in between
 *        limits exhaust               allocate until there is no more, free, go on working
 *        limits late as|data LIMIT    the same as fill for half of a limit set at run time
 *        limits commit TOTAL          fill, and what of the address space counts as committed
 *        limits lock FLAGS BEFORE TOTAL
 *                                     fill BEFORE, mlockall(FLAGS), fill TOTAL more, free, repeat
 */
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../check.h"

/* Most limits are on address space, not on what is resident: each granule is touched. */
#define TOUCH (64 * KIB)

static const size_t sizes[] = {100, 4096, 70 * KIB, 3 * MIB};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

struct block {
	struct block *next;
};

/* Allocate up to @total bytes in blocks of @size, and write to them. What was to be had. */
static size_t fill(struct block **list, size_t size, size_t total)
{
	size_t sum = 0;

	while (sum + size <= total) {
		errno = 0;
		struct block *b = malloc(size);
		if (!b) {
			CHECK(errno == ENOMEM);
			break;
		}
		for (size_t i = 0; i < size; i += TOUCH)
			((volatile char *)b)[i] = 1;
		b->next = *list;
		*list = b;
		sum += size;
	}
	return sum;
}

static void drop(struct block **list)
{
	while (*list) {
		struct block *next = (*list)->next;

		free(*list);
		*list = next;
	}
}

static void fill_each(size_t total)
{
	for (size_t i = 0; i < SIZES; i++) {
		struct block *list = NULL;
		size_t got = fill(&list, sizes[i], total);

		if (got + sizes[i] <= total)
			fprintf(stderr, "%zu of %zu in blocks of %zu\n", got, total, sizes[i]);
		CHECK(got + sizes[i] > total);
		drop(&list);
	}
}

/* Nothing of the family may do anything but fail as documented; most often there is nothing. */
static void beyond(void)
{
	const size_t huge = (size_t)1 << 46;
	void *volatile p = NULL;
	void *block = malloc(100);

	errno = 0;
	p = malloc(huge);
	CHECK(!p && errno == ENOMEM);
	errno = 0;
	p = calloc(huge / 8, 8);
	CHECK(!p && errno == ENOMEM);
	errno = 0;
	CHECK(!aligned_alloc(4096, huge) && errno == ENOMEM);
	CHECK(posix_memalign((void **)&p, 64 * KIB, huge) == ENOMEM);
	if (block) {
		char *volatile kept = memset(block, 7, 100);

		errno = 0;
		p = realloc(block, huge);
		CHECK(!p && errno == ENOMEM);
		CHECK(kept[99] == 7);
		free(kept);
	}
	errno = 0;
	CHECK(mmap(NULL, huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			MAP_FAILED &&
		errno == ENOMEM);
}

static void exhaust(void)
{
	for (size_t i = 0; i < SIZES; i++) {
		size_t reached[2];

		for (int round = 0; round < 2; round++) {
			struct block *list = NULL;

			reached[round] = fill(&list, sizes[i], SIZE_MAX / 2);
			beyond();
			/* Half of it back: that much must be to be had again. */
			size_t freed = 0;
			while (list && freed < reached[round] / 2) {
				struct block *next = list->next;
				free(list);
				list = next;
				freed += sizes[i];
			}
			CHECK(fill(&list, sizes[i], freed / 2) + sizes[i] > freed / 2);
			drop(&list);
		}
		printf("first_%zu %zu\nlast_%zu %zu\n", sizes[i], reached[0], sizes[i], reached[1]);
	}
	char *p = malloc(1000);
	CHECK(p);
	memset(p, 1, 1000);
	free(p);
}

static void *nothing(void *arg)
{
	return arg;
}

/* Address space that the heap holds and does not use is not there for the rest of the program. */
static void other_maps(void)
{
	pthread_t thread;
	void *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/proc/self/exe", O_RDONLY);
	void *q = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	CHECK(p != MAP_FAILED && fd >= 0 && q != MAP_FAILED);
	CHECK(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
	CHECK(munmap(p, MIB) == 0 && munmap(q, 4096) == 0 && close(fd) == 0);
}

static void late(const char *what, size_t limit)
{
	struct rlimit rl = {.rlim_cur = limit, .rlim_max = limit};
	struct block *list = NULL;

	CHECK(fill(&list, 4096, 4 * MIB) == 4 * MIB);
	CHECK(setrlimit(strcmp(what, "as") == 0 ? RLIMIT_AS : RLIMIT_DATA, &rl) == 0);
	other_maps();
	fill_each(limit / 5 * 2);
	beyond();
	drop(&list);
	fill_each(limit / 5 * 2);
}

/* Bytes of mappings that count for overcommit_memory=2. */
static size_t accounted(void)
{
	char line[512];
	size_t kib = 0, sum = 0;
	FILE *f = fopen("/proc/self/smaps", "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Size: %zu", &kib) == 1)
			continue;
		if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " ac"))
			sum += kib * KIB;
	}
	fclose(f);
	return sum;
}

static void commit(size_t total)
{
	fill_each(total);
	for (size_t i = 0; i < SIZES; i++) {
		struct block *list = NULL;

		CHECK(fill(&list, sizes[i], total) + sizes[i] > total);
		printf("accounted_%zu %zu\n", sizes[i], accounted());
		drop(&list);
	}
	beyond();
	fill_each(total);
}

static size_t status(const char *name)
{
	char line[256];
	size_t kib = 0, len = strlen(name);
	FILE *f = fopen("/proc/self/status", "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, name, len) == 0 && line[len] == ':')
			kib = strtoull(line + len + 1, NULL, 10);
	fclose(f);
	return kib * KIB;
}

static void lock(int flags, size_t before, size_t total)
{
	struct block *first = NULL;

	fill(&first, 4096, before);
	CHECK(mlockall(flags) == 0);
	printf("rss_locked %zu\n", status("VmRSS"));
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < SIZES; i++) {
			struct block *list = NULL;

			CHECK(fill(&list, sizes[i], total) + sizes[i] > total);
			printf("rss_%d_%zu %zu\n", round, sizes[i], status("VmRSS"));
			drop(&list);
		}
	}
	drop(&first);
	malloc_trim(0);
	printf("rss_freed %zu\n", status("VmRSS"));
}

int main(int argc, char **argv)
{
	CHECK(argc >= 2);
	setvbuf(stdout, NULL, _IOLBF, 4096);
	if (strcmp(argv[1], "fill") == 0 && argc == 3)
		fill_each(strtoull(argv[2], NULL, 0));
	else if (strcmp(argv[1], "exhaust") == 0 && argc == 2)
		exhaust();
	else if (strcmp(argv[1], "late") == 0 && argc == 4)
		late(argv[2], strtoull(argv[3], NULL, 0));
	else if (strcmp(argv[1], "commit") == 0 && argc == 3)
		commit(strtoull(argv[2], NULL, 0));
	else if (strcmp(argv[1], "lock") == 0 && argc == 5)
		lock(atoi(argv[2]), strtoull(argv[3], NULL, 0), strtoull(argv[4], NULL, 0));
	else
		return 2;
	return 0;
}
