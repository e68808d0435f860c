/* SPDX-License-Identifier: MIT */
/*
 * The mmap family: each part maps, looks, and prints what a program can see of it, without
 * addresses; the output must be the same without the library. What only the library does is
 * asserted where it serves mmap.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define SHARED (MAP_SHARED | MAP_ANONYMOUS)
#define PAGE ((size_t)4096)

static int helped; /* pg64 serves mmap here, and mappings get 64 KiB pages */

static char *map(size_t len, int flags)
{
	char *p = mmap(NULL, len, RW, flags, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static int is_mapped(char *page)
{
	unsigned char present;

	return mincore(page, 1, &present) == 0;
}

static void fill(char *p, size_t len, int seed)
{
	for (size_t i = 0; i < len; i += 512)
		p[i] = (char)(seed + i / 512 + i / PAGE * 3);
}

static void verify(const char *p, size_t len, int seed)
{
	for (size_t i = 0; i < len; i += 512)
		CHECK(p[i] == (char)(seed + i / 512 + i / PAGE * 3));
}

/* Is the mapping that @p is in advised (VmFlags: hg)? */
static int is_advised(const void *p)
{
	char line[4096];
	unsigned long start, end;
	int inside = 0, found = 0;
	FILE *f = fopen("/proc/self/smaps", "r");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (unsigned long)p >= start && (unsigned long)p < end;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, " hg") != NULL;
	}
	if (f)
		fclose(f);
	return found;
}

/* The length of a mapping is what was asked for, in pages; its neighbours are not touched. */
static void lengths(int flags)
{
	static const size_t sizes[] = {1, PAGE, 65535, 65536, 65537, 69632, 131072, 200000, MIB,
		2 * MIB, 2 * MIB + PAGE, 3 * MIB + 1, 5 * MIB, 8 * MIB, 33 * MIB};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		size_t pages = (sizes[i] + PAGE - 1) / PAGE * PAGE;
		char *guard = map(pages + 2 * MIB, flags); /* makes room that stays free */

		CHECK(munmap(guard, pages + 2 * MIB) == 0);
		char *p = map(sizes[i], flags);
		CHECK(!helped || sizes[i] < 65536 || (uintptr_t)p % 65536 == 0);
		CHECK(p[0] == 0 && p[pages - 1] == 0);
		fill(p, pages, 1);
		verify(p, pages, 1);
		CHECK(is_mapped(p) && is_mapped(p + pages - PAGE));
		CHECK(munmap(p, sizes[i]) == 0);
		for (size_t at = 0; at < pages; at += PAGE)
			CHECK(!is_mapped(p + at));
		printf("mapped and unmapped %zu\n", sizes[i]);
	}
}

/* The pages right behind and before an odd-sized mapping belong to nobody. */
static void slack_is_given_back(void)
{
	for (int round = 0; round < 50; round++) {
		size_t len = 65536 + (size_t)(round % 15 + 1) * PAGE;
		char *hole = map(16 * MIB, ANON);

		/* Only what is mapped now may be mapped in the hole. */
		CHECK(munmap(hole, 16 * MIB) == 0);
		char *p = map(len, ANON);
		size_t around = 0;
		for (size_t at = PAGE; at <= 65536; at += PAGE) {
			around += p - at >= hole && is_mapped(p - at);
			around += p + len + at <= hole + 16 * MIB && is_mapped(p + len + at - PAGE);
		}
		CHECK(around == 0);
		CHECK(munmap(p, len) == 0);
	}
	puts("no slack left");
}

/* What is asked for by address or by a flag of meaning stays as it is. */
static void left_alone(void)
{
	char *room = mmap(NULL, 8 * MIB, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
	char *odd = room + 5 * PAGE;

	CHECK(room != MAP_FAILED);
	CHECK(mmap(odd, MIB, RW, ANON | MAP_FIXED, -1, 0) == odd);
	odd[0] = odd[MIB - 1] = 1;
	CHECK(mmap(odd, MIB, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
	printf("noreplace errno %d\n", errno);
	CHECK(munmap(room, 8 * MIB) == 0);
	CHECK(mmap(odd, MIB, RW, ANON, -1, 0) == odd); /* a hint that is free */
	CHECK(mmap(odd, MIB, RW, ANON, -1, 0) != odd); /* and one that is taken */
	munmap(odd, MIB);
	char *p = mmap(NULL, MIB, RW, ANON | MAP_GROWSDOWN | MAP_STACK, -1, 0);
	CHECK(p != MAP_FAILED && p[MIB - 1] == 0);
	p = mmap(NULL, MIB, RW, ANON | MAP_NORESERVE, -1, 0);
	CHECK(p != MAP_FAILED && p[MIB - 1] == 0);
	p = mmap(NULL, 4 * MIB, RW, ANON | MAP_HUGETLB, -1, 0);
	printf("hugetlb %s\n", p == MAP_FAILED ? "refused" : "mapped");
	p = mmap(NULL, 128 * KIB, RW, ANON | MAP_LOCKED, -1, 0);
	printf("locked %s\n", p == MAP_FAILED ? "refused" : "mapped");
	p = mmap(NULL, 128 * KIB, PROT_READ, ANON, -1, 0);
	CHECK(p != MAP_FAILED && p[0] == 0);
	p = mmap(NULL, MIB, RW | PROT_EXEC, ANON, -1, 0);
	CHECK(p != MAP_FAILED);
	p[0] = 1;
	p = mmap(NULL, 3 * MIB, PROT_NONE, ANON, -1, 0);
	CHECK(p != MAP_FAILED && mprotect(p + PAGE, 2 * MIB, RW) == 0);
	fill(p + PAGE, 2 * MIB, 9);
	verify(p + PAGE, 2 * MIB, 9);
	int fd = open("/proc/self/exe", O_RDONLY);
	p = mmap(NULL, 100, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED && memcmp(p, "\177ELF", 4) == 0);
	close(fd);
}

static void populated(int flags)
{
	unsigned char present[1024];
	char *p = map(4 * MIB - PAGE, flags | MAP_POPULATE);
	size_t there = 0;

	CHECK(mincore(p, 4 * MIB - PAGE, present) == 0);
	for (size_t i = 0; i < 1023; i++)
		there += present[i] & 1;
	printf("populated %zu of 1023\n", there);
	CHECK(munmap(p, 4 * MIB - PAGE) == 0);
	p = map(MIB, flags | MAP_POPULATE | MAP_NONBLOCK);
	CHECK(mincore(p, MIB, present) == 0);
	printf("populated without blocking: %s\n", present[100] & 1 ? "yes" : "no");
	CHECK(munmap(p, MIB) == 0);
}

/* Unmapping, protecting and dropping parts, at every page of a granule. */
static void parts(void)
{
	int zeros = open("/dev/zero", O_RDONLY);

	for (size_t at = 0; at < 17 * PAGE; at += PAGE) {
		char *p = map(4 * MIB, ANON);

		fill(p, 4 * MIB, 3);
		CHECK(munmap(p + MIB + at, 3 * PAGE) == 0);
		CHECK(is_mapped(p + MIB + at - PAGE) && !is_mapped(p + MIB + at) &&
			!is_mapped(p + MIB + at + 2 * PAGE) && is_mapped(p + MIB + at + 3 * PAGE));
		verify(p, MIB + at, 3);
		CHECK(mprotect(p + 2 * MIB + at, 5 * PAGE, PROT_READ) == 0);
		CHECK(read(zeros, p + 2 * MIB + at, 1) == -1 && errno == EFAULT);
		CHECK(madvise(p + 3 * MIB + at, 2 * PAGE, MADV_DONTNEED) == 0);
		CHECK(p[3 * MIB + at] == 0 && p[3 * MIB + at + 2 * PAGE - 512] == 0);
		CHECK(p[3 * MIB + at - 512] ==
			(char)(3 + (3 * MIB + at - 512) / 512 + (3 * MIB + at - 512) / PAGE * 3));
		CHECK(mprotect(p + 2 * MIB + at, 5 * PAGE, RW) == 0);
		p[2 * MIB + at] = 1;
		CHECK(munmap(p, 4 * MIB) == 0);
	}
	close(zeros);
	puts("parts");
}

static void remap_again(void)
{
	char *p = map(8 * MIB, ANON);

	fill(p, 8 * MIB, 5);
	CHECK(mmap(p + MIB, MIB, RW, ANON | MAP_FIXED, -1, 0) == p + MIB);
	CHECK(p[MIB] == 0 && p[2 * MIB - 1] == 0);
	verify(p, MIB, 5);
	CHECK(!helped || (is_advised(p) && is_advised(p + MIB + 65536) && is_advised(p + 3 * MIB)));
	/* Less than a granule: nobody's loss. */
	CHECK(mmap(p + 3 * MIB, PAGE, RW, ANON | MAP_FIXED, -1, 0) == p + 3 * MIB);
	CHECK(p[3 * MIB] == 0);
	int fd = open("/proc/self/exe", O_RDONLY);
	CHECK(mmap(p + 4 * MIB, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) == p + 4 * MIB);
	CHECK(memcmp(p + 4 * MIB, "\177ELF", 4) == 0);
	close(fd);
	CHECK(munmap(p, 8 * MIB) == 0);
	puts("mapped over");
}

static void shm(size_t len)
{
	int id = shmget(IPC_PRIVATE, len, IPC_CREAT | 0600);

	if (id < 0) {
		puts("no shared memory");
		return;
	}
	char *a = shmat(id, NULL, 0), *b = shmat(id, NULL, SHM_RDONLY);
	CHECK(a != (void *)-1 && b != (void *)-1 && a != b);
	CHECK(shmctl(id, IPC_RMID, NULL) == 0);
	CHECK(shmat(id, NULL, SHM_REMAP) == (void *)-1 && errno == EINVAL);
	CHECK(!helped || len < 65536 || (uintptr_t)a % 65536 == 0);
	fill(a, len, 7);
	verify(b, len, 7);
	CHECK(shmdt(b) == 0 && shmdt(a) == 0);
	CHECK(!is_mapped(a) && !is_mapped(b));
	CHECK(shmdt(a) == -1 && errno == EINVAL);
	CHECK(shmat(-1, NULL, 0) == (void *)-1 && errno == EINVAL);
	printf("shm %zu\n", len);
}

int main(int argc, char **argv)
{
	helped = argc > 1 && strcmp(argv[1], "helped") == 0 && pg64_counter_name;
	lengths(ANON);
	lengths(SHARED);
	slack_is_given_back();
	left_alone();
	populated(ANON);
	populated(SHARED);
	parts();
	remap_again();
	shm(100);
	shm(100000);
	shm(5 * MIB);
	return 0;
}
