/* SPDX-License-Identifier: MIT */
/*
 * Who serves malloc? Told by what malloc_usable_size() says of odd sizes, which is for glibc
 * always 8 over a multiple of 16, and by mallinfo2().
 */
#include <malloc.h>

#include "check.h"

int main(void)
{
	int glibc = 1;

	for (size_t size = 1; size < 2000; size += 57) {
		void *p = malloc(size);

		CHECK(p);
		memset(p, 1, size);
		if (malloc_usable_size(p) % 16 != 8)
			glibc = 0;
		free(p);
	}
	void *kept = malloc(1000);
	struct mallinfo2 info = mallinfo2();

	/* glibc counts bytes in use, pg64 whole granules. */
	if (info.uordblks % (64 * KIB) == 0)
		glibc = 0;
	free(kept);
	printf("glibc %d\n", glibc);
	return 0;
}
