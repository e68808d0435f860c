/* SPDX-License-Identifier: MIT */
/*
 * The malloc family at its edges. Prints what each call does, without addresses: the output must
 * be the same with any malloc that behaves as glibc's.
 */
#include <malloc.h>

#include "check.h"

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void *__libc_valloc(size_t size);
extern void *__libc_pvalloc(size_t size);
extern void __libc_free(void *block);

static void say(const char *what, size_t a, size_t b, void *block)
{
	int error = errno;

	printf("%s(%zx, %zx): %s", what, a, b, block ? "block" : "NULL");
	if (!block)
		printf(" errno %d", error);
	puts("");
	free(block);
	errno = 0;
}

static void zero_sizes(void)
{
	void *a = malloc(0), *b = malloc(0), *c = calloc(0, 8), *d = calloc(8, 0);

	CHECK(a && b && c && d && a != b && c != d);
	free(a);
	free(b);
	free(c);
	free(d);
	say("realloc NULL", 0, 0, realloc(NULL, 0));
	say("reallocarray NULL", 0, 9, reallocarray(NULL, 0, 9));
	errno = 0;
	say("realloc to 0", 9, 0, realloc(malloc(9), 0));
	say("realloc large to 0", 9 * MIB, 0, realloc(malloc(9 * MIB), 0));
	free(NULL);
	printf("usable size of NULL: %zu\n", malloc_usable_size(NULL));
}

static void too_large(void)
{
	static const size_t sizes[] = {PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX,
		SIZE_MAX - 4096, SIZE_MAX - 4095, SIZE_MAX - 65536, (size_t)1 << 62,
		(size_t)1 << 48};
	char *kept = malloc(100);

	memset(kept, 'k', 100);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		size_t n = sizes[i];
		void *out = kept;

		hide(n);
		errno = 0;
		say("malloc", n, 0, malloc(n));
		say("calloc", 1, n, calloc(1, n));
		say("calloc", n, 1, calloc(n, 1));
		say("memalign", 64, n, memalign(64, n));
		say("memalign", MIB, n, memalign(MIB, n));
		say("aligned_alloc", 4096, n, aligned_alloc(4096, n));
		say("valloc", n, 0, valloc(n));
		say("pvalloc", n, 0, pvalloc(n));
		CHECK(!realloc(kept, n) && errno == ENOMEM);
		CHECK(!reallocarray(kept, n, 1) && errno == ENOMEM);
		errno = 0;
		int ret = posix_memalign(&out, 4096, n);
		printf("posix_memalign(%zx): %d errno %d, pointer %s\n", n, ret, errno,
			out == kept ? "untouched" : "changed");
	}
	for (int i = 0; i < 100; i++)
		CHECK(kept[i] == 'k');
	free(kept);
}

static void overflows(void)
{
	static const size_t pairs[][2] = {{SIZE_MAX / 2, 3}, {(size_t)1 << 33, (size_t)1 << 33},
		{SIZE_MAX, SIZE_MAX}, {3, SIZE_MAX / 2}, {(size_t)1 << 32, (size_t)1 << 32}};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		size_t a = pairs[i][0], b = pairs[i][1];
		char *p = malloc(10);

		hide(a);
		memcpy(p, "123456789", 10);
		errno = 0;
		say("calloc", a, b, calloc(a, b));
		CHECK(!reallocarray(p, a, b) && errno == ENOMEM && strcmp(p, "123456789") == 0);
		free(p);
	}
}

/* Every alignment of a power of two must be kept; what glibc does with the others is printed. */
static void one_alignment(size_t align, size_t size)
{
	int power = align && !(align & (align - 1));
	void *out = NULL;

	errno = 0;
	char *p = memalign(align, size);
	printf("memalign(%zx, %zx): %s errno %d\n", align, size, p ? "block" : "NULL",
		p ? 0 : errno);
	if (p) {
		CHECK(!power || (uintptr_t)p % align == 0);
		CHECK(malloc_usable_size(p) >= size);
		memset(p, 1, size);
	}
	free(p);
	say("aligned_alloc", align, size, aligned_alloc(align, size));
	int ret = posix_memalign(&out, align, size);
	printf("posix_memalign(%zx, %zx): %d\n", align, size, ret);
	if (ret == 0) {
		CHECK((uintptr_t)out % align == 0);
		out = realloc(out, size + 1);
		CHECK(out);
		free(out);
	}
}

static void alignments(void)
{
	static const size_t sizes[] = {0, 1, 100, 4096, 70000, 3 * MIB};
	static const size_t odd[] = {0, 3, 5, 12, 24, 48, 100, 4095, 4097, 65535, 65537, 3 * MIB};
	static const size_t bad[] = {SIZE_MAX / 2 + 2, SIZE_MAX, SIZE_MAX / 2, (size_t)1 << 62};

	for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
		for (size_t align = 1; align <= 128 * MIB; align *= 2)
			one_alignment(align, sizes[s]);
		for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++)
			one_alignment(odd[i], sizes[s]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		say("memalign", bad[i], 100, memalign(bad[i], 100));
		say("aligned_alloc", bad[i], 100, aligned_alloc(bad[i], 100));
	}
	char *v = valloc(5), *pv = pvalloc(5);
	CHECK((uintptr_t)v % 4096 == 0 && (uintptr_t)pv % 4096 == 0);
	CHECK(malloc_usable_size(pv) >= 4096);
	memset(pv, 1, 4096);
	free(v);
	free(pv);
}

/*
 * Blocks whose size is a multiple of their alignment, several of each held at a time: an engine may
 * believe that all blocks of such a size are aligned to it by themselves.
 */
static void aligned_multiples(void)
{
	enum { HELD = 8 };
	char *held[HELD];

	for (size_t align = 8; align <= 65536; align *= 2) {
		for (size_t size = align; size <= 4 * align; size += align) {
			for (int i = 0; i < HELD; i++) {
				held[i] = memalign(align, size);
				CHECK(held[i] && (uintptr_t)held[i] % align == 0);
				memset(held[i], i, size);
			}
			for (int i = 0; i < HELD; i++) {
				CHECK(held[i][0] == i && held[i][size - 1] == i);
				free(held[i]);
			}
		}
	}
}

static void errno_of_free(void)
{
	for (size_t size = 1; size <= 256 * MIB; size *= 2) {
		void *p = malloc(size), *q = memalign(4096, size);

		CHECK(p && q);
		errno = 12345;
		free(p);
		free(q);
		CHECK(errno == 12345);
		p = malloc(size);
		errno = 12345;
		CHECK(p);
		CHECK(!realloc(p, 0) && errno == 12345);
	}
}

static void usable(void)
{
	for (size_t size = 0; size < 3 * MIB; size += 1 + size / 7) {
		char *p = malloc(size);
		size_t n = malloc_usable_size(p);

		/* What fits in 8 bytes needs no more than their alignment; the rest any type's. */
		CHECK(p && n >= size && (uintptr_t)p % (size > 8 ? 16 : 8) == 0);
		memset(p, 0x5a, n);
		p = realloc(p, n);
		CHECK(p && (n == 0 || (p[0] == 0x5a && p[n - 1] == 0x5a)));
		free(p);
	}
}

/* Under the names that glibc has for its own; what comes from one goes to the other. */
static void other_names(void)
{
	char *p = __libc_malloc(100), *q = __libc_calloc(10, 10), *r = __libc_memalign(4096, 100);
	char *v = __libc_valloc(100), *w = __libc_pvalloc(100);

	CHECK(p && q && r && v && w && (uintptr_t)r % 4096 == 0 && (uintptr_t)v % 4096 == 0);
	CHECK(malloc_usable_size(p) >= 100 && malloc_usable_size(w) >= 4096);
	p = realloc(p, 1000);
	q = __libc_realloc(q, 1000);
	CHECK(p && q);
	free(q);
	__libc_free(p);
	__libc_free(r);
	free(v);
	__libc_free(w);
	CHECK(malloc_trim(0) >= 0);
	CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1);
	struct mallinfo2 info = mallinfo2();
	CHECK(info.arena < GIB);
}

int main(void)
{
	zero_sizes();
	too_large();
	overflows();
	alignments();
	aligned_multiples();
	errno_of_free();
	usable();
	other_names();
	puts("done");
	return 0;
}
