/* SPDX-License-Identifier: MIT */
/* A plugin that allocates, frees, and passes blocks over the border in both directions. */
#include <stdlib.h>

void *plugin_make(size_t size);
void *plugin_round(size_t size);
void plugin_free(void *block);

void *plugin_make(size_t size)
{
	return calloc(1, size);
}

void *plugin_round(size_t size)
{
	void *block = malloc(size);

	__asm__ volatile("" : "+r"(block));
	free(block);
	return block;
}

void plugin_free(void *block)
{
	free(block);
}
