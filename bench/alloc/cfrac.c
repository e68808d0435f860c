/* SPDX-License-Identifier: MIT */
/*
 * cfrac: factors numbers by continued fractions: very many very small blocks (the digits of
 * numbers) that live for a few operations each. Each number is the product of two primes that are
 * known here, so what is found can be compared.
 *
 * Method: M. Morrison, J. Brillhart, "A Method of Factoring and the Factorization of F7",
 * Mathematics of Computation 29, 1975. As a test of allocators: D. Barrett's cfrac in D. Grunwald,
 * B. Zorn, R. Henderson, "Improving the Cache Locality of Memory Allocation", PLDI 1993.
 *
 * With n the number, A/B the convergents of sqrt(n): A[i]^2 = (-1)^(i+1) Q[i+1] (mod n), and the Q
 * are small. Those that fall apart over a base of small primes are kept; among enough of them some
 * multiply to a square, and x^2 = y^2 (mod n) gives a factor, gcd(x - y, n), half of the time.
 */
#include <stdatomic.h>

#include "bignum.h"
#include "common.h"

#define NUMBERS 120
#define PRIME_BITS 34
#define BASE 96 /* primes in the base */
#define RELATIONS (BASE + 17) /* BASE + 2 have a square among them (the sign counts too) */
#define WORDS ((BASE + 64) / 64)
#define MAX_STEPS 1000000

struct relation {
	struct big *a;
	uint8_t exponents[BASE + 1]; /* the first one is that of -1 */
	uint64_t odd[WORDS], from[(RELATIONS + 63) / 64];
};

struct factoring {
	struct big *n, *root; /* of n, rounded down */
	uint16_t base[BASE];
	struct relation relations[RELATIONS];
	unsigned count;
	struct big *p, *q, *a, *a_before; /* the state of the continued fraction */
};

struct shared {
	uint64_t numbers;
	atomic_uint next;
	_Atomic uint64_t checksum, steps;
};

static uint64_t power_mod(uint64_t x, uint64_t exponent, uint64_t n)
{
	uint64_t result = 1;

	for (; exponent; exponent >>= 1) {
		if (exponent & 1)
			result = (uint64_t)((unsigned __int128)result * x % n);
		x = (uint64_t)((unsigned __int128)x * x % n);
	}
	return result;
}

/* Fermat to a few bases: what passes and is not prime would show as a wrong factor. */
static int looks_prime(uint64_t n)
{
	static const uint64_t bases[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};

	for (unsigned i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		if (n % bases[i] == 0)
			return n == bases[i];
		if (power_mod(bases[i], n - 1, n) != 1)
			return 0;
	}
	return 1;
}

static uint64_t random_prime(uint64_t *seed)
{
	uint64_t n = (random_next(seed) >> (64 - PRIME_BITS)) | 1ull << (PRIME_BITS - 1) | 1;

	while (!looks_prime(n))
		n += 2;
	return n;
}

/* result = x mod n; x is freed. */
static struct big *reduce(struct big *x, const struct big *n)
{
	struct big *rest;

	free(big_divide(x, n, &rest));
	free(x);
	return rest;
}

static struct big *multiply_mod(const struct big *x, const struct big *y, const struct big *n)
{
	return reduce(big_multiply(x, y), n);
}

static void replace(struct big **place, struct big *by)
{
	free(*place);
	*place = by;
}

/* 2, and the primes by which n is a square: no other divides a Q. */
static void find_base(struct factoring *f, unsigned __int128 n)
{
	unsigned count = 0;

	f->base[count++] = 2;
	for (unsigned p = 3; count < BASE; p += 2) {
		if (looks_prime(p) && power_mod((uint64_t)(n % p), (p - 1) / 2, p) == 1)
			f->base[count++] = (uint16_t)p;
	}
}

/* One step of the continued fraction; afterwards a^2 = q or -q (mod n), in turn, -q first. */
static void advance(struct factoring *f)
{
	struct big *sum = big_add(f->root, f->p);
	struct big *rest, *quotient = big_divide(sum, f->q, &rest);
	struct big *p = big_subtract(f->root, rest);
	struct big *square = big_multiply(p, p), *difference = big_subtract(f->n, square);
	struct big *remainder, *q = big_divide(difference, f->q, &remainder);
	struct big *product = big_multiply(quotient, f->a);
	struct big *a = reduce(big_add(product, f->a_before), f->n);

	if (remainder->len)
		corrupt("the continued fraction does not come out even");
	replace(&f->a_before, f->a);
	f->a = a;
	replace(&f->p, p);
	replace(&f->q, q);
	free(sum);
	free(rest);
	free(quotient);
	free(square);
	free(difference);
	free(remainder);
	free(product);
}

/* Whether q falls apart over the base; the exponents are in the relation then. */
static int is_smooth(const struct factoring *f, struct relation *relation)
{
	struct big *left = big_copy(f->q);
	int smooth;

	memset(relation, 0, sizeof(*relation));
	for (unsigned i = 0; i < BASE; i++) {
		for (;;) {
			uint16_t rest;
			struct big *quotient = big_divide_small(left, f->base[i], &rest);

			if (rest) {
				free(quotient);
				break;
			}
			replace(&left, quotient);
			if (++relation->exponents[i + 1] > 200)
				corrupt("a small number has a great many factors");
		}
	}
	smooth = left->len == 1 && left->digits[0] == 1;
	free(left);
	return smooth;
}

/* Keeps a^2 = q or -q, after a look whether that is so. */
static void keep(struct factoring *f, int negative)
{
	struct relation *relation = &f->relations[f->count];
	struct big *square = multiply_mod(f->a, f->a, f->n);
	struct big *right = negative ? big_subtract(f->n, f->q) : big_copy(f->q);

	if (big_compare(square, right))
		corrupt("a square is not congruent to what it should be");
	free(square);
	free(right);
	relation->a = big_copy(f->a);
	relation->exponents[0] = (uint8_t)negative;
	for (unsigned i = 0; i <= BASE; i++)
		relation->odd[i / 64] |= (uint64_t)(relation->exponents[i] & 1) << i % 64;
	relation->from[f->count / 64] |= 1ull << f->count % 64;
	f->count++;
}

static uint64_t collect(struct factoring *f)
{
	uint64_t steps = 0;

	while (f->count < RELATIONS) {
		if (++steps > MAX_STEPS)
			corrupt("too few numbers fall apart");
		advance(f);
		if (is_smooth(f, &f->relations[f->count]))
			keep(f, steps & 1);
	}
	return steps;
}

/* x^2 = y^2 from the relations in `from`; the factor that it gives, which may be 1 or n. */
static struct big *factor_from(const struct factoring *f, const uint64_t *from)
{
	struct big *x = big_from(1), *y = big_from(1), *sum, *factor;
	unsigned exponents[BASE + 1] = {0};

	for (unsigned i = 0; i < f->count; i++) {
		if (!(from[i / 64] >> i % 64 & 1))
			continue;
		replace(&x, multiply_mod(x, f->relations[i].a, f->n));
		for (unsigned j = 0; j <= BASE; j++)
			exponents[j] += f->relations[i].exponents[j];
	}
	for (unsigned i = 1; i <= BASE; i++) {
		struct big *prime = big_from(f->base[i - 1]);

		for (unsigned j = 0; j < exponents[i] / 2; j++)
			replace(&y, multiply_mod(y, prime, f->n));
		free(prime);
	}
	sum = big_add(x, y);
	factor = big_gcd(sum, f->n);
	free(sum);
	free(x);
	free(y);
	return factor;
}

static void add_row(struct relation *to, const struct relation *row)
{
	for (unsigned i = 0; i < WORDS; i++)
		to->odd[i] ^= row->odd[i];
	for (unsigned i = 0; i < sizeof(to->from) / sizeof(to->from[0]); i++)
		to->from[i] ^= row->from[i];
}

/* Gauss over the field of two: a row that becomes empty stands for a product that is a square. */
static uint64_t combine(struct factoring *f)
{
	const struct relation *pivots[BASE + 1] = {NULL};

	for (unsigned i = 0; i < f->count; i++) {
		struct relation *row = &f->relations[i];
		struct big *factor;
		unsigned bit = 0;
		uint64_t found;

		for (; bit <= BASE; bit++) {
			if (!(row->odd[bit / 64] >> bit % 64 & 1))
				continue;
			if (!pivots[bit])
				break;
			add_row(row, pivots[bit]);
		}
		if (bit <= BASE) {
			pivots[bit] = row;
			continue;
		}
		factor = factor_from(f, row->from);
		found = factor->len <= 4 ? big_low64(factor) : 0;
		free(factor);
		if (found > 1)
			return found;
	}
	corrupt("no factor was found");
}

static uint64_t factor(unsigned __int128 n, uint64_t *steps)
{
	struct factoring *f = get_block(sizeof(*f));
	uint64_t found;

	memset(f, 0, sizeof(*f));
	find_base(f, n);
	f->n = big_from(n);
	f->root = big_root(f->n);
	f->p = big_from(0);
	f->q = big_from(1);
	f->a = big_from(1);
	f->a_before = big_from(0);
	*steps = collect(f);
	found = combine(f);
	for (unsigned i = 0; i < f->count; i++)
		free(f->relations[i].a);
	free(f->n);
	free(f->root);
	free(f->p);
	free(f->q);
	free(f->a);
	free(f->a_before);
	free(f);
	return found;
}

static void work(unsigned index, void *argument)
{
	struct shared *shared = argument;
	uint64_t number;

	(void)index;
	while ((number = atomic_fetch_add(&shared->next, 1)) < shared->numbers) {
		uint64_t seed = number + 1, steps;
		uint64_t p = random_prime(&seed), q = random_prime(&seed);
		uint64_t found = factor((unsigned __int128)p * q, &steps);

		if (found != p && found != q)
			corrupt("what was found is no factor");
		shared->checksum += p ^ q;
		shared->steps += steps;
	}
}

int main(int argc, char **argv)
{
	static struct shared shared;
	struct options options;

	parse_options(&options, argc, argv);
	shared.numbers = scaled(&options, NUMBERS);
	run_threads(options.threads, work, &shared);
	print_metric("operations", shared.steps);
	print_metric("checksum", shared.checksum);
	return 0;
}
