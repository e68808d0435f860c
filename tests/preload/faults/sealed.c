/* SPDX-License-Identifier: MIT */
/*
 * A large block that is filled in order and sealed with mprotect() behind the fill, as a compiler
 * of machine code does, while the heap grows beside it.
 */
#include <sys/mman.h>

#include "check.h"

#define SMALL 200000

int main(void)
{
	size_t len = 64 * MIB;

	for (int i = 0; i < 100; i++)
		memset(malloc(SMALL), 1, SMALL);
	char *p = aligned_alloc(4096, len);
	CHECK(p);
	for (size_t i = 0; i < len; i += 64 * KIB) {
		memset(p + i, 3, 64 * KIB);
		CHECK(mprotect(p + i, 64 * KIB, PROT_READ) == 0);
		memset(malloc(60000 + i / KIB), 1, 60000);
	}
	for (size_t i = 0; i < len; i++)
		CHECK(p[i] == 3);
	puts("sealed");
	return 0;
}
