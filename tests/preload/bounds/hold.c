/* SPDX-License-Identifier: MIT */
/*
 * Keeps a heap while khugepaged looks at it: fills TOTAL bytes in blocks of 4 KiB, and beside them
 * a mapping of its own that khugepaged is sure to collapse (touched, then MADV_HUGEPAGE, by raw
 * system calls). Waits until that one is collapsed and khugepaged has been round twice more, then
 * prints the memory in PMD-size pages: of the heap and all else, and of that mapping.
 *
 * usage: hold TOTAL
 */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../check.h"

#define THP "/sys/kernel/mm/transparent_hugepage/"
#define BLOCK ((size_t)4096)
#define BAIT (16 * MIB)
#define PMD (2 * MIB)
#define POLL_US (50 * 1000)
#define POLLS_MAX 400

static long read_number(const char *path)
{
	long value = -1;
	FILE *f = fopen(path, "r");

	if (f && fscanf(f, "%ld", &value) != 1)
		value = -1;
	if (f)
		fclose(f);
	return value;
}

/* Bytes in PMD-size pages, inside [start, start + len) and outside. */
static void count_huge(uintptr_t start, size_t len, long *inside, long *outside)
{
	unsigned long from = 0, first, end;
	char line[512];
	long kib;
	FILE *f = fopen("/proc/self/smaps", "r");

	*inside = *outside = 0;
	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &first, &end) == 2)
			from = first;
		else if (sscanf(line, "AnonHugePages: %ld", &kib) == 1)
			*(from >= start && from < start + len ? inside : outside) += kib * 1024;
	}
	fclose(f);
}

/* A mapping on base pages that khugepaged is asked to collapse. */
static char *lay_bait(void)
{
	char *p = (char *)syscall(SYS_mmap, NULL, BAIT + PMD, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);

	CHECK(p != MAP_FAILED);
	p = (char *)(((uintptr_t)p + PMD - 1) / PMD * PMD);
	CHECK(syscall(SYS_madvise, p, BAIT, MADV_NOHUGEPAGE) == 0);
	memset(p, 1, BAIT);
	CHECK(syscall(SYS_madvise, p, BAIT, MADV_HUGEPAGE) == 0);
	return p;
}

int main(int argc, char **argv)
{
	CHECK(argc == 2);
	size_t count = strtoull(argv[1], NULL, 0) / BLOCK;
	void **blocks = malloc(count * sizeof(*blocks));
	long bait_huge = 0, rest_huge = 0, until = -1;

	CHECK(blocks);
	for (size_t i = 0; i < count; i++) {
		blocks[i] = malloc(BLOCK);
		CHECK(blocks[i]);
		memset(blocks[i], (int)i, BLOCK);
	}
	char *bait = lay_bait();
	for (int i = 0; i < POLLS_MAX; i++) {
		long scans = read_number(THP "khugepaged/full_scans");

		count_huge((uintptr_t)bait, BAIT, &bait_huge, &rest_huge);
		if (until < 0 && bait_huge == (long)BAIT)
			until = scans + 2;
		if (until >= 0 && scans >= until)
			break;
		usleep(POLL_US);
	}
	printf("bait_huge %ld\nrest_huge %ld\nscanned %d\n", bait_huge, rest_huge, until >= 0);
	return 0;
}
