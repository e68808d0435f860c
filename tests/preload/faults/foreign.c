/* SPDX-License-Identifier: MIT */
/*
 * foreign KIND: hands a pointer that malloc did not return to free(), realloc() and
 * malloc_usable_size(). KIND is static, stack, mmap, glibc (from the C library's own malloc) or
 * break (from sbrk).
 */
#include <dlfcn.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

#define SIZE 4096

static char buffer[SIZE] __attribute__((aligned(64)));

static void *from_glibc(void)
{
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	void *(*own_malloc)(size_t);

	CHECK(libc);
	*(void **)&own_malloc = dlsym(libc, "malloc");
	CHECK(own_malloc && own_malloc != malloc);
	return own_malloc(SIZE);
}

static char *make(const char *kind, char *stack)
{
	if (strcmp(kind, "static") == 0)
		return buffer;
	if (strcmp(kind, "stack") == 0)
		return stack;
	if (strcmp(kind, "mmap") == 0)
		return mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (strcmp(kind, "break") == 0)
		return sbrk(SIZE);
	return from_glibc();
}

int main(int argc, char **argv)
{
	char stack[SIZE] __attribute__((aligned(64)));
	char *block = make(argc > 1 ? argv[1] : "static", stack);
	unsigned long long before = counter("foreign_free");

	CHECK(block && block != MAP_FAILED);
	memset(block, 0x5a, SIZE);
	hide(block);

	errno = 0;
	free(block);
	CHECK(errno == 0);
	CHECK(counter("foreign_free") == before + 1);
	CHECK(realloc(block, 2 * SIZE) == NULL && errno == ENOMEM);
	CHECK(counter("foreign_free") == before + 2);
	CHECK(malloc_usable_size(block) == 0);
	/* As realloc(p, 0) is a free. */
	CHECK(realloc(block, 0) == NULL);
	CHECK(counter("foreign_free") == before + 3);

	for (int i = 0; i < SIZE; i++)
		CHECK(block[i] == 0x5a);
	for (int i = 0; i < 1000; i++) {
		char *p = malloc(SIZE);

		CHECK(p && p != block);
		free(p);
	}
	puts("went on");
	return 0;
}
