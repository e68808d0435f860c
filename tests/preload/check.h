/* SPDX-License-Identifier: MIT */
/*
 * What the programs of these tests share. They are ordinary programs that run with or without
 * the library, so everything of pg64 is a weak symbol.
 */
#ifndef PG64_CHECK_H
#define PG64_CHECK_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pg64.h"

extern __typeof__(pg64_counter_name) pg64_counter_name __attribute__((weak));
extern __typeof__(pg64_counter_value) pg64_counter_value __attribute__((weak));

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

/* What does not hold is printed, and ends the program. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition,  \
				errno);                                                            \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* The value of a counter of pg64; 0 without the library. */
static inline unsigned long long counter(const char *name)
{
	for (unsigned int i = 0; pg64_counter_name && pg64_counter_name(i); i++)
		if (strcmp(pg64_counter_name(i), name) == 0)
			return pg64_counter_value(i);
	return 0;
}

/* A sequence of pseudo-random numbers, the same in each run. */
static inline uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* Keeps the compiler from thinking along. */
#define hide(p) __asm__ volatile("" : "+r"(p) : : "memory")

#endif /* PG64_CHECK_H */
