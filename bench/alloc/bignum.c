/* SPDX-License-Identifier: MIT */
#include "bignum.h"
#include "common.h"

#define MAX_DIGITS 64 /* far more than cfrac comes to: longer is corrupt memory */

static struct big *make(const uint16_t *digits, unsigned len)
{
	struct big *result;

	while (len && !digits[len - 1])
		len--;
	result = get_block(sizeof(*result) + len * sizeof(uint16_t));
	result->len = (uint16_t)len;
	memcpy(result->digits, digits, len * sizeof(uint16_t));
	return result;
}

static unsigned length(const struct big *a)
{
	if (a->len > MAX_DIGITS)
		corrupt("a number is longer than any that was made");
	return a->len;
}

struct big *big_from(unsigned __int128 value)
{
	uint16_t digits[8];
	unsigned len = 0;

	for (; value; value >>= 16)
		digits[len++] = (uint16_t)value;
	return make(digits, len);
}

struct big *big_copy(const struct big *a)
{
	return make(a->digits, length(a));
}

uint64_t big_low64(const struct big *a)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < a->len && i < 4; i++)
		value |= (uint64_t)a->digits[i] << 16 * i;
	return value;
}

int big_compare(const struct big *a, const struct big *b)
{
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	for (unsigned i = length(a); i-- > 0;) {
		if (a->digits[i] != b->digits[i])
			return a->digits[i] < b->digits[i] ? -1 : 1;
	}
	return 0;
}

struct big *big_add(const struct big *a, const struct big *b)
{
	uint16_t digits[MAX_DIGITS + 1];
	unsigned len = length(a) > length(b) ? a->len : b->len;
	uint32_t carry = 0;

	for (unsigned i = 0; i < len; i++) {
		carry += (i < a->len ? a->digits[i] : 0u) + (i < b->len ? b->digits[i] : 0u);
		digits[i] = (uint16_t)carry;
		carry >>= 16;
	}
	digits[len] = (uint16_t)carry;
	return make(digits, len + 1);
}

struct big *big_subtract(const struct big *a, const struct big *b)
{
	uint16_t digits[MAX_DIGITS];
	int32_t borrow = 0;

	if (big_compare(a, b) < 0)
		corrupt("a difference would be negative");
	for (unsigned i = 0; i < a->len; i++) {
		borrow += a->digits[i] - (i < b->len ? b->digits[i] : 0);
		digits[i] = (uint16_t)borrow;
		borrow >>= 16;
	}
	return make(digits, a->len);
}

struct big *big_multiply(const struct big *a, const struct big *b)
{
	uint16_t digits[2 * MAX_DIGITS] = {0};
	unsigned len = length(a) + length(b);

	for (unsigned i = 0; i < a->len; i++) {
		uint32_t carry = 0;

		for (unsigned j = 0; j < b->len; j++) {
			carry += (uint32_t)a->digits[i] * b->digits[j] + digits[i + j];
			digits[i + j] = (uint16_t)carry;
			carry >>= 16;
		}
		digits[i + b->len] = (uint16_t)carry;
	}
	if (len > MAX_DIGITS)
		corrupt("a product is longer than any that was asked for");
	return make(digits, len);
}

struct big *big_divide_small(const struct big *a, uint16_t b, uint16_t *rest)
{
	uint16_t digits[MAX_DIGITS];
	uint32_t carry = 0;

	if (!b)
		corrupt("a division by zero");
	for (unsigned i = length(a); i-- > 0;) {
		carry = carry << 16 | a->digits[i];
		digits[i] = (uint16_t)(carry / b);
		carry %= b;
	}
	*rest = (uint16_t)carry;
	return make(digits, a->len);
}

/*
 * One digit of a quotient: top[0..n] (n + 1 digits) less as many times b[0..n-1] as fit; b's
 * highest bit is set. Returns how many times; top becomes the rest. The guess is at most 2 too
 * large.
 */
static uint16_t divide_step(uint16_t *top, const uint16_t *b, unsigned n)
{
	uint32_t guess = ((uint32_t)top[n] << 16 | top[n - 1]) / b[n - 1];
	int64_t borrow = 0;

	if (guess > 0xffff)
		guess = 0xffff;
	for (unsigned i = 0; i < n; i++) {
		borrow += top[i] - (int64_t)guess * b[i];
		top[i] = (uint16_t)borrow;
		borrow >>= 16;
	}
	borrow += top[n];
	top[n] = (uint16_t)borrow;
	while (borrow < 0) {
		uint32_t carry = 0;

		for (unsigned i = 0; i < n; i++) {
			carry += (uint32_t)top[i] + b[i];
			top[i] = (uint16_t)carry;
			carry >>= 16;
		}
		borrow += carry;
		top[n] = (uint16_t)borrow;
		guess--;
	}
	return (uint16_t)guess;
}

/* to = from << shift; shift is 0 to 15, and *to has one digit more. */
static void shift_left(uint16_t *to, const uint16_t *from, unsigned len, unsigned shift)
{
	uint32_t carry = 0;

	for (unsigned i = 0; i < len; i++) {
		carry |= (uint32_t)from[i] << shift;
		to[i] = (uint16_t)carry;
		carry >>= 16;
	}
	to[len] = (uint16_t)carry;
}

/* Long division, as at school, with both numbers moved up until the first digit of b is large. */
struct big *big_divide(const struct big *a, const struct big *b, struct big **rest)
{
	uint16_t top[MAX_DIGITS + 2], by[MAX_DIGITS + 1], digits[MAX_DIGITS + 1] = {0};
	unsigned n = length(b), len = length(a), shift = 0;

	if (!n || !b->digits[n - 1])
		corrupt("a division by zero");
	if (big_compare(a, b) < 0) {
		if (rest)
			*rest = make(a->digits, len);
		return make(digits, 0);
	}
	while (!(b->digits[n - 1] << shift & 0x8000))
		shift++;
	shift_left(by, b->digits, n, shift);
	shift_left(top, a->digits, len, shift);
	for (unsigned i = len - n + 1; i-- > 0;)
		digits[i] = divide_step(top + i, by, n);
	if (rest) {
		for (unsigned i = 0; i < n; i++)
			top[i] = (uint16_t)(((uint32_t)top[i + 1] << 16 | top[i]) >> shift);
		*rest = make(top, n);
	}
	return make(digits, len - n + 1);
}

struct big *big_gcd(const struct big *a, const struct big *b)
{
	struct big *x = big_copy(a), *y = big_copy(b);

	for (unsigned steps = 0; y->len; steps++) {
		struct big *rest;

		if (steps > 16 * MAX_DIGITS * 2)
			corrupt("a greatest common divisor is not found");
		free(big_divide(x, y, &rest));
		free(x);
		x = y;
		y = rest;
	}
	free(y);
	return x;
}

struct big *big_root(const struct big *a)
{
	uint16_t digits[MAX_DIGITS] = {0};
	struct big *x, *two = big_from(2);

	/* From above, Newton's method goes down until it is there. */
	digits[length(a) / 2 + 1] = 1;
	x = make(digits, a->len / 2 + 2);
	for (unsigned steps = 0;; steps++) {
		struct big *quotient = big_divide(a, x, NULL), *sum = big_add(x, quotient);
		struct big *next = big_divide(sum, two, NULL);
		int done = big_compare(next, x) >= 0;

		free(quotient);
		free(sum);
		if (done || steps > 1000) {
			free(next);
			break;
		}
		free(x);
		x = next;
	}
	free(two);
	return x;
}
