/* SPDX-License-Identifier: MIT */
/*
 * promote BLOCK THREADS [keep]: fills the heap with blocks, takes the fences away as a later
 * promotion will (or keeps them), and collapses each dense stretch of 2 MiB. Says how many could
 * be, and how many not.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../check.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#define ADVICE_COLLAPSE 25
#define STRETCH (2 * MIB)
#define PER_THREAD (96 * MIB)
#define REGIONS 4096

static size_t block;

static void *fill(void *unused)
{
	for (size_t have = 0; have < PER_THREAD; have += block) {
		char *p = malloc(block);

		CHECK(p);
		memset(p, 1, block);
	}
	return unused;
}

/* Private anonymous memory that can be written, neighbours taken together. */
static int find_regions(uintptr_t (*regions)[2])
{
	static char line[1024];
	FILE *maps = fopen("/proc/self/maps", "r");
	int count = 0;

	CHECK(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long start, end;
		char perms[5];

		CHECK(sscanf(line, "%lx-%lx %4s", &start, &end, perms) == 3);
		if (strcmp(perms, "rw-p") != 0 || strchr(line, '/') ||
			(strchr(line, '[') && !strstr(line, "[anon:")))
			continue;
		if (count && regions[count - 1][1] == start)
			regions[count - 1][1] = end;
		else if (count < REGIONS) {
			regions[count][0] = start;
			regions[count++][1] = end;
		}
	}
	fclose(maps);
	return count;
}

static bool is_dense(uintptr_t stretch)
{
	unsigned char present[STRETCH / 4096];

	CHECK(mincore((void *)stretch, STRETCH, present) == 0);
	for (size_t i = 0; i < sizeof(present); i++)
		if (!(present[i] & 1))
			return false;
	return true;
}

/* Pages that are being moved, or no free stretch, are trouble that passes; a boundary is not. */
static bool collapsed(uintptr_t stretch)
{
	for (int tries = 0; tries < 50; tries++) {
		if (syscall(SYS_madvise, stretch, STRETCH, ADVICE_COLLAPSE) == 0)
			return true;
		if (errno != EAGAIN && errno != EBUSY && errno != ENOMEM)
			return false;
		usleep(10000);
	}
	return false;
}

/* System calls of our own: the library is not to see them. */
static void promote(uintptr_t start, uintptr_t end, bool keep, int counts[2])
{
	if (!keep) {
		syscall(SYS_madvise, start, end - start, MADV_NORMAL);
		prctl(PR_SET_VMA, 0, start, end - start, NULL);
	}
	for (uintptr_t at = (start + STRETCH - 1) & ~(STRETCH - 1); at + STRETCH <= end;
		at += STRETCH)
		if (is_dense(at))
			counts[!collapsed(at)]++;
}

int main(int argc, char **argv)
{
	static uintptr_t regions[REGIONS][2];
	int counts[2] = {0};
	pthread_t threads[16];

	CHECK(argc >= 3 && sysconf(_SC_PAGESIZE) == 4096);
	block = strtoul(argv[1], NULL, 0);
	int number = atoi(argv[2]);
	CHECK(block && number > 0 && number <= 16);
	for (int i = 0; i < number; i++)
		CHECK(pthread_create(&threads[i], NULL, fill, NULL) == 0);
	for (int i = 0; i < number; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	int count = find_regions(regions);
	for (int i = 0; i < count; i++)
		promote(regions[i][0], regions[i][1], argc > 3, counts);
	printf("promoted %d\nrefused %d\n", counts[0], counts[1]);
	return 0;
}
