/* SPDX-License-Identifier: MIT */
/*
 * mremap() on mappings that the library may have aligned, advised and fenced. The contents must
 * be kept, the lengths exact, and the output the same without the library.
 *
 * usage: remaps [helped]
 */
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define SHARED (MAP_SHARED | MAP_ANONYMOUS)
#define PAGE ((size_t)4096)

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static int helped;

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

static void fill(char *p, size_t from, size_t to, int seed)
{
	for (size_t i = from; i < to; i += 512)
		p[i] = (char)(seed + i / 512 + i / PAGE * 3);
}

static void verify(const char *p, size_t len, int seed)
{
	for (size_t i = 0; i < len; i += 512)
		CHECK(p[i] == (char)(seed + i / 512 + i / PAGE * 3));
}

/*
 * Grows step by step, as realloc() of an allocator that maps large blocks does, and shrinks
 * again.
 */
static void grow_and_shrink(size_t size, size_t step, size_t limit, int flags)
{
	char *p = map(size, flags);
	size_t first = size;

	fill(p, 0, size, 1);
	while (size < limit) {
		char *q = mremap(p, size, size + step, MREMAP_MAYMOVE);

		CHECK(q != MAP_FAILED);
		verify(q, size, 1);
		CHECK(!helped || first < 65536 || (uintptr_t)q % 65536 == 0);
		if (q != p)
			CHECK(!is_mapped(p) || (q < p && p < q + size + step));
		fill(q, size, size + step, 1);
		p = q;
		size += step;
	}
	while (size > first) {
		char *q = mremap(p, size, size - step, size % 3 ? MREMAP_MAYMOVE : 0);

		CHECK(q == p);
		CHECK(!is_mapped(p + size - step));
		size -= step;
		verify(p, size, 1);
	}
	CHECK(munmap(p, size) == 0);
	printf("grown by %zu to %zu and shrunk\n", step, limit);
}

static void blocked_and_free(void)
{
	char *room = mmap(NULL, 64 * MIB, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
	char *p = map(4 * MIB, ANON);

	fill(p, 0, 4 * MIB, 2);
	char *wall = mmap(p + 4 * MIB, PAGE, PROT_NONE, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(wall == p + 4 * MIB || errno == EEXIST);
	CHECK(mremap(p, 4 * MIB, 5 * MIB, 0) == MAP_FAILED);
	printf("in place, blocked: errno %d\n", errno);
	verify(p, 4 * MIB, 2);
	char *q = mremap(p, 4 * MIB, 5 * MIB, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED && q != p && !is_mapped(p));
	verify(q, 4 * MIB, 2);
	CHECK(q[4 * MIB] == 0);
	/* To a place of the program's choice: aligned and odd. */
	CHECK(mremap(q, 5 * MIB, 5 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED, room + 4 * MIB) ==
		room + 4 * MIB);
	verify(room + 4 * MIB, 4 * MIB, 2);
	CHECK(!is_mapped(q));
	CHECK(mremap(room + 4 * MIB, 5 * MIB, 9 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED,
		      room + 20 * MIB + PAGE) == room + 20 * MIB + PAGE);
	verify(room + 20 * MIB + PAGE, 4 * MIB, 2);
	CHECK(mremap(room + 20 * MIB + PAGE, 9 * MIB, 6 * MIB, 0) == room + 20 * MIB + PAGE);
	verify(room + 20 * MIB + PAGE, 4 * MIB, 2);
	CHECK(munmap(room, 64 * MIB) == 0);
	puts("moved to places");
}

/* A part of a mapping moves away and back, grows, shrinks. */
static void parts(void)
{
	for (size_t at = 0; at < 2 * MIB; at += 31 * PAGE) {
		char *p = map(8 * MIB, ANON);

		fill(p, 0, 8 * MIB, 4);
		char *q = mremap(p + MIB + at, 3 * MIB, 4 * MIB, MREMAP_MAYMOVE);
		CHECK(q != MAP_FAILED && q != p + MIB + at);
		CHECK(!is_mapped(p + MIB + at) && !is_mapped(p + 4 * MIB + at - PAGE));
		verify(p, MIB + at, 4);
		for (size_t i = 0; i < 3 * MIB; i += 512)
			CHECK(q[i] == (char)(4 + (i + MIB + at) / 512 + (i + MIB + at) / PAGE * 3));
		CHECK(q[3 * MIB] == 0);
		CHECK(munmap(q, 4 * MIB) == 0);
		CHECK(mremap(p, MIB, PAGE, 0) == p && !is_mapped(p + PAGE));
		CHECK(munmap(p, 8 * MIB) == 0);
	}
	puts("parts");
}

static void keep_the_old(void)
{
	char *p = map(4 * MIB, ANON);

	fill(p, 0, 4 * MIB, 6);
	char *q = mremap(p, 4 * MIB, 4 * MIB, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	if (q == MAP_FAILED) {
		printf("dontunmap: errno %d\n", errno);
		return;
	}
	verify(q, 4 * MIB, 6);
	CHECK(is_mapped(p) && p[0] == 0 && p[4 * MIB - 1] == 0);
	fill(p, 0, 4 * MIB, 7);
	verify(q, 4 * MIB, 6);
	/* Both can go on as if nothing had happened. */
	p = mremap(p, 4 * MIB, 9 * MIB, MREMAP_MAYMOVE);
	q = mremap(q, 4 * MIB, 9 * MIB, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED && q != MAP_FAILED);
	verify(p, 4 * MIB, 7);
	verify(q, 4 * MIB, 6);
	CHECK(munmap(p, 9 * MIB) == 0 && munmap(q, 9 * MIB) == 0);
	puts("kept the old");
}

/* Old length 0 makes a second view of a shared mapping. */
static void second_view(void)
{
	char *p = map(3 * MIB, SHARED);

	fill(p, 0, 3 * MIB, 8);
	char *q = mremap(p, 0, 3 * MIB, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED && q != p);
	verify(q, 3 * MIB, 8);
	q[5] = 99;
	CHECK(p[5] == 99);
	CHECK(munmap(p, 3 * MIB) == 0 && munmap(q, 3 * MIB) == 0);
	puts("second view");
}

/* The program's own advice, over all and over a part, must not make a mapping harder to move. */
static void after_advice(void)
{
	char *p = map(8 * MIB, ANON);

	CHECK(madvise(p, 8 * MIB, MADV_NOHUGEPAGE) == 0 || errno == EINVAL);
	fill(p, 0, 8 * MIB, 1);
	p = mremap(p, 8 * MIB, 20 * MIB, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED);
	verify(p, 8 * MIB, 1);
	munmap(p, 20 * MIB);
	p = map(8 * MIB, ANON);
	fill(p, 0, 8 * MIB, 1);
	madvise(p + 2 * MIB, 4 * MIB, MADV_SEQUENTIAL);
	madvise(p + 2 * MIB, 4 * MIB, MADV_NORMAL);
	madvise(p + MIB, 4 * MIB, MADV_DONTFORK);
	madvise(p + MIB, 4 * MIB, MADV_DOFORK);
	CHECK(mprotect(p + 3 * MIB, MIB, PROT_READ) == 0 && mprotect(p + 3 * MIB, MIB, RW) == 0);
	p = mremap(p, 8 * MIB, 20 * MIB, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED);
	verify(p, 8 * MIB, 1);
	munmap(p, 20 * MIB);
	/* One call over two mappings that are neighbours. */
	char *two = map(16 * MIB, ANON);
	CHECK(munmap(two, 16 * MIB) == 0);
	char *b = map(8 * MIB, ANON), *a = map(8 * MIB, ANON);
	char *low = a < b ? a : b, *high = a < b ? b : a;
	if (low + 8 * MIB == high) {
		CHECK(madvise(low, 16 * MIB, MADV_HUGEPAGE) == 0 || errno == EINVAL);
		high = mremap(high, 8 * MIB, 24 * MIB, MREMAP_MAYMOVE);
		low = mremap(low, 8 * MIB, 24 * MIB, MREMAP_MAYMOVE);
		CHECK(high != MAP_FAILED && low != MAP_FAILED);
	}
	puts("after advice");
}

/* More mappings than anybody keeps books about, each of which must still move. */
static void many(int count)
{
	static char *all[8192];

	for (int i = 0; i < count; i++) {
		all[i] = map(5 * MIB, ANON | MAP_NORESERVE);
		all[i][3 * MIB] = (char)i;
		/* Room to be told apart. */
		CHECK(munmap(all[i], MIB) == 0);
		all[i] += MIB;
	}
	for (int i = 0; i < count; i++) {
		all[i] = mremap(all[i], 4 * MIB, 6 * MIB, MREMAP_MAYMOVE);
		CHECK(all[i] != MAP_FAILED && all[i][2 * MIB] == (char)i);
	}
	for (int i = 0; i < count; i++)
		CHECK(munmap(all[i], 6 * MIB) == 0);
	puts("many");
}

/* Collapses what it has filled by itself: the kernel must not find more VMAs than it would have. */
static void collapse(size_t len, size_t from)
{
	/* What is mapped next goes below, to a boundary of 2 MiB if the library maps it. */
	char *above = map(MIB, ANON);
	size_t over = (uintptr_t)above % (2 * MIB);
	char *filler = over ? map(over, ANON) : NULL;
	char *p = map(len, ANON);
	char *first = (char *)(((uintptr_t)p + from + 2 * MIB - 1) & ~(2 * MIB - 1));
	size_t dense = (size_t)(p + len - first) & ~(2 * MIB - 1);

	fill(p, 0, len, 4);
	for (size_t at = 0; at < len; at += PAGE)
		p[at + 8] = 1;
	errno = 0;
	int ret = madvise(first, dense, 25 /* MADV_COLLAPSE */);
	printf("collapse: %d, errno %d\n", ret, ret ? errno : 0);
	verify(p, len, 4);
	p = mremap(p, len, 2 * len, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED);
	verify(p, len, 4);
	CHECK(munmap(p, 2 * len) == 0 && munmap(above, MIB) == 0);
	CHECK(!filler || munmap(filler, over) == 0);
}

static char *fixed(char *at, size_t len, int prot)
{
	char *p = mmap(at, len, prot, ANON | MAP_FIXED, -1, 0);

	CHECK(p == at);
	return p;
}

/* A piece of a mapping that is mapped anew, and is like the rest to the program. */
static void replaced(size_t at, size_t len, int touch)
{
	char *p = map(8 * MIB, ANON);

	if (touch)
		fill(p, 0, 8 * MIB, 5);
	fixed(p + at, len, RW);
	fill(p, 0, 8 * MIB, 6);
	CHECK(mremap(p, 8 * MIB, 8 * MIB, 0) == p);
	p = mremap(p, 8 * MIB, 16 * MIB, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED);
	verify(p, 8 * MIB, 6);
	/* Once more, and to a place of the program's choice. */
	fill(p, 8 * MIB, 16 * MIB, 6);
	char *to = map(32 * MIB, ANON | MAP_NORESERVE);
	p = mremap(p, 16 * MIB, 20 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED, to + 3 * PAGE);
	CHECK(p == to + 3 * PAGE);
	verify(p, 16 * MIB, 6);
	CHECK(munmap(to, 32 * MIB) == 0);
}

/* Memory that continues a mapping, or begins where its end was cut off. */
static void continued(int cut)
{
	char *room = map(24 * MIB, ANON);

	fill(room, 0, 8 * MIB, 9);
	CHECK(munmap(room + 8 * MIB - (cut ? MIB : 0), 16 * MIB + (cut ? MIB : 0)) == 0);
	char *next = fixed(room + 8 * MIB - (cut ? MIB : 0), MIB, RW);
	fill(room, (size_t)(next - room), (size_t)(next - room) + MIB, 9);
	size_t len = (size_t)(next - room) + MIB;
	char *p = mremap(room, len, 40 * MIB, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED);
	verify(p, len, 9);
	CHECK(munmap(p, 40 * MIB) == 0);
}

/*
 * What differs to the program stays an error, and nothing is moved. Only a mapping with fences may
 * be grown at its last piece all the same.
 */
static void unlike(void)
{
	for (int i = 0; i < 4; i++) {
		char *p = map(8 * MIB, ANON);

		fill(p, 0, 8 * MIB, 2);
		if (i == 0)
			CHECK(mprotect(p + MIB, MIB, PROT_READ) == 0);
		else if (i == 1)
			CHECK(munmap(p + MIB, MIB) == 0);
		else if (i == 2)
			CHECK(mmap(p + MIB, MIB, RW, SHARED | MAP_FIXED, -1, 0) == p + MIB);
		else
			fixed(p + MIB, PAGE, RW | PROT_EXEC);
		errno = 0;
		char *q = mremap(p, 8 * MIB, 64 * MIB, MREMAP_MAYMOVE);
		CHECK(q == MAP_FAILED ? errno == EFAULT : counter("fence_ok") > 0);
		if (q == MAP_FAILED)
			q = p;
		verify(q, MIB, 2);
		verify(q + 2 * MIB, MIB, 2 + 2 * MIB / 512 + 2 * MIB / PAGE * 3);
		CHECK(munmap(q, q == p ? 8 * MIB : 64 * MIB) == 0);
	}
	puts("unlike");
}

static void alike(void)
{
	for (int touch = 0; touch < 2; touch++) {
		replaced(5 * PAGE, PAGE, touch);
		replaced(0, 3 * PAGE, touch);
		replaced(MIB, MIB + 3 * PAGE, touch);
		replaced(7 * MIB, MIB, touch);
		replaced(2 * MIB - PAGE, 2 * PAGE, touch);
	}
	continued(0);
	continued(1);
	puts("alike");
}

int main(int argc, char **argv)
{
	helped = argc > 1 && strcmp(argv[1], "helped") == 0 && pg64_counter_name;
	grow_and_shrink(PAGE, 5 * PAGE, MIB, ANON);
	grow_and_shrink(128 * KIB, 17 * PAGE, 6 * MIB, ANON);
	grow_and_shrink(3 * MIB, 3 * MIB, 48 * MIB, ANON);
	grow_and_shrink(7 * MIB + 3 * PAGE, MIB + PAGE, 24 * MIB, ANON);
	blocked_and_free();
	parts();
	keep_the_old();
	second_view();
	after_advice();
	collapse(16 * MIB, 0);
	collapse(9 * MIB + 3 * PAGE, 3 * MIB);
	collapse(40 * MIB, 7 * MIB);
	alike();
	unlike();
	many(5000);
	return 0;
}
