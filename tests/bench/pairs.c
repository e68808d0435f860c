/* SPDX-License-Identifier: MIT */
/*
 * Pairs of malloc and free, for counting their instructions: COUNT pairs of blocks of SIZE
 * bytes, or of two sizes in turn.
 *
 * usage: pairs COUNT SIZE [SIZE]
 */
#include <stdlib.h>

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	long count = atol(argv[1]);
	size_t sizes[] = {strtoul(argv[2], NULL, 0), strtoul(argv[argc - 1], NULL, 0)};

	for (long i = 0; i < count; i++) {
		char *block = malloc(sizes[i & 1]);

		if (!block)
			return 1;
		*(volatile char *)block = 1;
		free(block);
	}
	return 0;
}
