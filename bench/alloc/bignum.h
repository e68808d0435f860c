/* SPDX-License-Identifier: MIT */
/*
 * Natural numbers of any length for cfrac. Each result is a new block from malloc, exactly as
 * long as it needs to be, and never changes; the caller frees it with free(). Digits have 16
 * bits, so that numbers of 20 to 30 decimal digits are several digits long, as in the program
 * this stands for.
 */
#ifndef PG64_BENCH_ALLOC_BIGNUM_H
#define PG64_BENCH_ALLOC_BIGNUM_H

#include <stdint.h>

struct big {
	uint16_t len; /* without leading zeros; 0 is the number 0 */
	uint16_t digits[];
};

struct big *big_from(unsigned __int128 value);
struct big *big_copy(const struct big *a);
uint64_t big_low64(const struct big *a);
int big_compare(const struct big *a, const struct big *b);
struct big *big_add(const struct big *a, const struct big *b);
/* a - b; a < b is corrupt memory, for cfrac never asks for that. */
struct big *big_subtract(const struct big *a, const struct big *b);
struct big *big_multiply(const struct big *a, const struct big *b);
/* a / b, and a mod b in *rest (may be NULL); b = 0 is corrupt memory. */
struct big *big_divide(const struct big *a, const struct big *b, struct big **rest);
struct big *big_divide_small(const struct big *a, uint16_t b, uint16_t *rest);
struct big *big_gcd(const struct big *a, const struct big *b);
/* The floor of the square root. */
struct big *big_root(const struct big *a);

#endif
