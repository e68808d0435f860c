/* SPDX-License-Identifier: MIT */
/* double_free SIZE: frees a block of SIZE bytes twice. The address is printed first. */
#include "check.h"

int main(int argc, char **argv)
{
	char *before = malloc(100);
	char *block = malloc(argc > 1 ? strtoul(argv[1], NULL, 0) : 100);
	char *again = block;

	CHECK(before && block);
	printf("%p\n", (void *)block);
	fflush(stdout);
	hide(again);
	free(block);
	free(again);
	puts("went on");
	return 0;
}
