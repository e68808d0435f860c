/* SPDX-License-Identifier: MIT */
/* Frees a pointer into a block that no block can begin at. The address is printed first. */
#include "check.h"

int main(void)
{
	char *block = malloc(1000);

	CHECK(block);
	block += 13;
	hide(block);
	printf("%p\n", (void *)block);
	fflush(stdout);
	free(block);
	puts("went on");
	return 0;
}
