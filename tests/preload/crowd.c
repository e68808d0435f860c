/* SPDX-License-Identifier: MIT */
/*
 * Many mappings: natively neighbours of the same sort become one VMA, and a program may have
 * many more mappings than vm.max_map_count. COUNT mappings of SIZE bytes each, then half of them
 * are unmapped.
 *
 * usage: crowd COUNT SIZE
 */
#include <sys/mman.h>

#include "check.h"

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000;
	size_t size = argc > 2 ? strtoul(argv[2], NULL, 0) : 69632;
	char **all = calloc(count, sizeof(*all));

	CHECK(all);
	for (size_t i = 0; i < count; i++) {
		all[i] = mmap(
			NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (all[i] == MAP_FAILED) {
			fprintf(stderr, "mapping %zu: errno %d\n", i, errno);
			return 1;
		}
	}
	for (size_t i = 0; i < count; i += 100)
		all[i][size - 1] = all[i][0] = 1;
	for (size_t i = 0; i < count; i++)
		if (i < count / 2)
			CHECK(munmap(all[i], size) == 0);
	CHECK(malloc(3 * MIB) && malloc(33 * MIB));
	puts("crowd");
	return 0;
}
