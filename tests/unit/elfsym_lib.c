/* SPDX-License-Identifier: MIT */
/*
 * A library with two versions of one function, linked with the old hash table only.
 */
#include "elfsym_lib.h"

#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

int elfsym_answer_old(void);
int elfsym_answer_new(void);

EXPORT int elfsym_answer_old(void)
{
	return 1;
}

EXPORT int elfsym_answer_new(void)
{
	return 2;
}

__asm__(".symver elfsym_answer_old, elfsym_answer@ELFSYM_1");
__asm__(".symver elfsym_answer_new, elfsym_answer@@ELFSYM_2");

EXPORT int elfsym_other(int value)
{
	/* An import: the library has the name, but not the function. */
	return getppid() == value;
}
