/* SPDX-License-Identifier: MIT */
/*
 * A sparse block of 1 GiB that grows by realloc: one page in 4 MiB is in use. Prints what is
 * resident at the end, and how much of it is right.
 */
#include "check.h"

#define STEP (4 * MIB)

static size_t resident(void)
{
	char line[256];
	size_t kib = 0;
	FILE *f = fopen("/proc/self/status", "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %zu", &kib) == 1)
			break;
	fclose(f);
	return kib * KIB;
}

int main(void)
{
	size_t len = 1024 * MIB;
	char *p = malloc(len);

	CHECK(p);
	for (size_t i = 0; i < len; i += STEP)
		p[i + 5000] = (char)(i / STEP + 1);
	p = realloc(p, len + len / 4);
	CHECK(p);
	printf("resident %zu\n", resident());
	for (size_t i = 0; i < len; i += STEP)
		CHECK(p[i + 5000] == (char)(i / STEP + 1) && p[i] == 0);
	free(p);
	return 0;
}
