/* SPDX-License-Identifier: MIT */
/*
 * Bad and odd arguments: each call of the mmap family gives the same result and errno as the
 * system call itself. The only way to find out what the kernel says is to ask it, so this
 * program compares for itself.
 */
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define PAGE ((size_t)4096)
#define LEN (8 * MIB)

static int differences;

/* Two results are the same: both failed alike, or both did not fail. */
static void compare(const char *what, unsigned long a, unsigned long b, long ours, int our_errno,
	long raw, int raw_errno)
{
	if (ours == -1 && raw == -1 ? our_errno == raw_errno : (ours == -1) == (raw == -1))
		return;
	printf("%s(%lx, %lx): %ld errno %d, the kernel %ld errno %d\n", what, a, b, ours,
		ours == -1 ? our_errno : 0, raw, raw == -1 ? raw_errno : 0);
	differences++;
}

/* Two mappings with nothing on either side, one of them unknown to the library. */
static void fresh(char **ours, char **raw)
{
	char *p = mmap(NULL, LEN + 4 * MIB, RW, ANON, -1, 0);
	char *q = (char *)syscall(SYS_mmap, NULL, LEN + 4 * MIB, RW, ANON, -1, 0);

	CHECK(p != MAP_FAILED && q != MAP_FAILED);
	CHECK(munmap(p, 2 * MIB) == 0 && munmap(p + 2 * MIB + LEN, 2 * MIB) == 0);
	CHECK(munmap(q, 2 * MIB) == 0 && munmap(q + 2 * MIB + LEN, 2 * MIB) == 0);
	for (size_t at = 2 * MIB; at < LEN + 2 * MIB; at += MIB)
		p[at] = q[at] = p[at + 99] = 1;
	*ours = p + 2 * MIB;
	*raw = q + 2 * MIB;
}

static void mappings(void)
{
	static const size_t lengths[] = {0, 1, 65536, 2 * MIB, 1ul << 46, 1ul << 47, 1ul << 48,
		1ul << 62, SIZE_MAX / 2, SIZE_MAX - 70000, SIZE_MAX - 4095, SIZE_MAX - 1, SIZE_MAX};
	static const int flags[] = {0, MAP_PRIVATE, MAP_SHARED, MAP_ANONYMOUS, ANON,
		MAP_SHARED | MAP_ANONYMOUS, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, ANON | MAP_SHARED,
		ANON | MAP_FIXED, ANON | MAP_SYNC, ANON | MAP_32BIT, ANON | MAP_HUGETLB,
		ANON | MAP_NORESERVE, ANON | 0x8000000, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
		8 | MAP_ANONYMOUS, -1};
	static const int prots[] = {RW, PROT_NONE, PROT_READ, RW | PROT_EXEC, RW | 0x1000000, -1};
	static const long offsets[] = {0, 1, 4096, 65536 + 1, -4096, 1l << 62};

	for (int i = 0; i < 13 * 17 * 6 * 6; i++) {
		size_t len = lengths[i % 13];
		int flag = flags[i / 13 % 17], prot = prots[i / 13 / 17 % 6];
		long offset = offsets[i / 13 / 17 / 6];

		/* What may well succeed, or needs much memory, is not for this test. */
		if (flag & MAP_FIXED && len >= 65536 && len <= 1ul << 47)
			continue;
		errno = 0;
		char *ours = mmap(NULL, len, prot, flag, -1, offset);
		int our_errno = errno;
		if (ours != MAP_FAILED)
			munmap(ours, len);
		errno = 0;
		char *raw = (char *)syscall(SYS_mmap, NULL, len, prot, flag, -1, offset);
		int raw_errno = errno;
		if (raw != MAP_FAILED)
			syscall(SYS_munmap, raw, len);
		char text[80];
		snprintf(text, sizeof(text), "mmap prot %x offset %lx", (unsigned)prot,
			(unsigned long)offset);
		compare(text, len, (unsigned)flag, (long)ours, our_errno, (long)raw, raw_errno);
	}
}

static const long starts[] = {
	0, 1, 4096, 65536 - 4096, 65536, 100, MIB + 4096, -1, 2 * MIB, LEN - 4096, LEN, 1l << 40};
static const size_t lens[] = {0, 1, 4096, 65536, 65537, 2 * MIB, LEN, LEN + 4096, SIZE_MAX,
	SIZE_MAX - 4096, SIZE_MAX / 2, 1ul << 47};

#define STARTS (sizeof(starts) / sizeof(*starts))
#define LENS (sizeof(lens) / sizeof(*lens))

/* May this combination touch memory that is not ours? */
static int is_safe(long start, size_t len)
{
	return start % 4096 || len == 0 || len >= SIZE_MAX - 4096 ||
	       (start >= 0 && (size_t)start <= LEN && len <= LEN - (size_t)start);
}

static void ranges(const char *what, long number, int from, int to)
{
	for (int value = from; value <= to; value++) {
		for (size_t i = 0; i < STARTS * LENS; i++) {
			long start = starts[i % STARTS];
			size_t len = lens[i / STARTS];
			long ours, raw;

			if (!is_safe(start, len))
				continue;
			char *p, *q;

			fresh(&p, &q);
			errno = 0;
			ours = number == SYS_munmap	? munmap(p + start, len)
			       : number == SYS_mprotect ? mprotect(p + start, len, value)
							: madvise(p + start, len, value);
			int our_errno = errno;
			errno = 0;
			raw = syscall(number, q + start, len, value);
			int raw_errno = errno;
			char text[60];
			snprintf(text, sizeof(text), "%s %d", what, value);
			compare(text, (unsigned long)start, len, ours, our_errno, raw, raw_errno);
			if (number == SYS_madvise) {
				int said = posix_madvise(p + start, len, value);
				CHECK(said >= 0);
			}
			munmap(p, LEN);
			munmap(q, LEN);
		}
	}
}

static void moves(void)
{
	static const size_t sizes[] = {
		0, 1, 4096, 65537, LEN, LEN + 1, LEN + 65536, 1ul << 47, SIZE_MAX, SIZE_MAX - 4096};
	static const int flags[] = {0, 1, 2, 3, 4, 5, 8, -1};

	for (size_t i = 0; i < STARTS * 10 * 10 * 8; i++) {
		long start = starts[i % STARTS];
		size_t old = sizes[i / STARTS % 10], new = sizes[i / STARTS / 10 % 10];
		int flag = flags[i / STARTS / 100];

		if (start % 4096 == 0 && (start < 0 || (size_t)start > LEN ||
						 (old > LEN - (size_t)start && old <= 1ul << 47)))
			continue;
		/* What is free further away than our holes reach is a matter of chance. */
		if (!(flag & 1) && new > MIB &&new <= LEN + 65536 && old + MIB < new)
			continue;
		char *p, *q;

		fresh(&p, &q);
		/* With MREMAP_FIXED: to an address that cannot be. */
		errno = 0;
		char *ours = mremap(p + start, old, new, flag, (void *)0x1001);
		int our_errno = errno;
		errno = 0;
		char *raw = (char *)syscall(SYS_mremap, q + start, old, new, flag, 0x1001);
		int raw_errno = errno;
		char text[60];
		snprintf(text, sizeof(text), "mremap %lx flags %x", (unsigned long)start,
			(unsigned)flag);
		compare(text, old, new, (long)ours, our_errno, (long)raw, raw_errno);
		if (ours != MAP_FAILED)
			munmap(ours, new);
		if (raw != MAP_FAILED)
			munmap(raw, new);
		munmap(p, LEN);
		munmap(q, LEN);
	}
}

/* A failed call changes nothing: the mapping can still be moved whole. */
static void still_whole(void)
{
	char *p, *other;

	fresh(&p, &other);

	CHECK(munmap(p + MIB, 0) == -1 && errno == EINVAL);
	CHECK(munmap(p + MIB + 1, PAGE) == -1 && errno == EINVAL);
	CHECK(mremap(p, LEN, 0, MREMAP_MAYMOVE) == MAP_FAILED);
	CHECK(mremap(p, LEN, 1ul << 47, MREMAP_MAYMOVE) == MAP_FAILED);
	char *q = mremap(p, LEN, 2 * LEN, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED && q[99] == 1);
	munmap(q, 2 * LEN);
	munmap(other, LEN);
}

int main(void)
{
	mappings();
	ranges("munmap", SYS_munmap, 0, 0);
	ranges("mprotect", SYS_mprotect, 0, 3);
	ranges("mprotect", SYS_mprotect, 9999, 9999);
	ranges("madvise", SYS_madvise, -1, 24);
	ranges("madvise", SYS_madvise, 26, 30); /* between them MADV_COLLAPSE: alignment decides */
	ranges("madvise", SYS_madvise, 164, 165);
	moves();
	still_whole();
	printf("%d differences\n", differences);
	return differences != 0;
}
