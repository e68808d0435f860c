/* SPDX-License-Identifier: MIT */
/*
 * espresso: minimises two-level logic. Covers (lists of cubes) are split and merged in deep
 * recursion, so there are many short-lived blocks of many sizes, which grow by realloc.
 *
 * Method: R. Brayton, G. Hachtel, C. McMullen, A. Sangiovanni-Vincentelli, "Logic Minimization
 * Algorithms for VLSI Synthesis", 1984: expand, irredundant cover, reduce, until it gets no better.
 * As a test of allocators: D. Grunwald, B. Zorn, R. Henderson, "Improving the Cache Locality of
 * Memory Allocation", PLDI 1993. The inputs are random; each result is compared with its input.
 *
 * A cube has two bits for each variable: 01 it must be 0, 10 it must be 1, 11 either, 00 never.
 */
#include <stdatomic.h>

#include "common.h"

#define VARIABLES 14
#define CUBES 60
#define FUNCTIONS 1200
#define SAMPLES 4000
#define LOW (0x5555555555555555 & ANY)
#define ANY ((1ull << 2 * VARIABLES) - 1)

#define ALIVE 0x6f766c61

struct cover {
	uint32_t count, room;
	uint64_t alive; /* ALIVE until it is freed: two that share a block are found by that */
	uint64_t cubes[];
};

struct shared {
	uint64_t functions;
	atomic_uint next;
	_Atomic uint64_t operations, checksum;
};

static struct cover *make_cover(uint32_t room)
{
	struct cover *cover = get_block(sizeof(*cover) + room * sizeof(uint64_t));

	cover->count = 0;
	cover->room = room;
	cover->alive = ALIVE;
	return cover;
}

static void free_cover(struct cover *cover)
{
	if (cover->alive != ALIVE)
		corrupt("a list of cubes was freed before");
	cover->alive = 0;
	free(cover);
}

static void add_cube(struct cover **place, uint64_t cube)
{
	struct cover *cover = *place;

	if (cover->alive != ALIVE || cover->count > cover->room)
		corrupt("a list of cubes is not what was made");
	if (cover->count == cover->room) {
		uint32_t room = cover->room * 2 + 2;

		cover->alive = 0;
		cover = realloc(cover, sizeof(*cover) + room * sizeof(uint64_t));
		if (!cover)
			corrupt("no memory");
		cover->room = room;
		cover->alive = ALIVE;
		*place = cover;
	}
	cover->cubes[cover->count++] = cube;
}

static int is_empty(uint64_t cube)
{
	return ((cube | cube >> 1) & LOW) != LOW;
}

/* Whether a covers all of b. */
static int contains(uint64_t a, uint64_t b)
{
	return (a & b) == b;
}

static unsigned literals(uint64_t cube)
{
	return VARIABLES * 2 - (unsigned)__builtin_popcountll(cube);
}

/* The cofactor of a cover by a cube: what is left of the function where the cube holds. */
static struct cover *cofactor(const struct cover *cover, uint64_t by, uint32_t without)
{
	struct cover *result = make_cover(cover->count / 2 + 1);

	for (uint32_t i = 0; i < cover->count; i++) {
		if (i != without && !is_empty(cover->cubes[i] & by))
			add_cube(&result, cover->cubes[i] | (ANY & ~by));
	}
	return result;
}

#define WITHOUT_NONE UINT32_MAX

/* The variable that the most cubes depend on, or -1: then each cube is all of the space. */
static int split_variable(const struct cover *cover)
{
	uint32_t best = 0;
	int variable = -1;

	for (int v = 0; v < VARIABLES; v++) {
		uint32_t zeros = 0, ones = 0, weight;

		for (uint32_t i = 0; i < cover->count; i++) {
			uint64_t bits = cover->cubes[i] >> 2 * v & 3;

			zeros += bits == 1;
			ones += bits == 2;
		}
		/* One that occurs both ways splits better than one that does not. */
		weight = zeros + ones + (zeros && ones ? cover->count : 0);
		if (zeros + ones && weight > best) {
			best = weight;
			variable = v;
		}
	}
	return variable;
}

static int has_any(const struct cover *cover)
{
	for (uint32_t i = 0; i < cover->count; i++) {
		if (cover->cubes[i] == ANY)
			return 1;
	}
	return 0;
}

/* The same cube in both halves is one that does not depend on the variable. */
static void merge_halves(
	struct cover **result, const struct cover *zero, const struct cover *one, int variable)
{
	const uint64_t both = 3ull << 2 * variable;

	for (uint32_t i = 0; i < zero->count; i++) {
		uint64_t cube = zero->cubes[i];
		uint32_t j = 0;

		while (j < one->count && one->cubes[j] != cube)
			j++;
		add_cube(result, j < one->count ? cube : cube & ~(both & both << 1));
	}
	for (uint32_t i = 0; i < one->count; i++) {
		uint32_t j = 0;

		while (j < zero->count && zero->cubes[j] != one->cubes[i])
			j++;
		if (j == zero->count)
			add_cube(result, one->cubes[i] & ~(both & both >> 1));
	}
}

/* The cubes that a single cube leaves out, one for each of its literals. */
static void complement_cube(struct cover **result, uint64_t cube)
{
	for (int v = 0; v < VARIABLES; v++) {
		uint64_t bits = cube >> 2 * v & 3;

		if (bits != 3)
			add_cube(result, (ANY & ~(3ull << 2 * v)) | (bits ^ 3) << 2 * v);
	}
}

static struct cover *complement(const struct cover *cover, unsigned depth)
{
	struct cover *result = make_cover(4), *halves[2];
	int variable;

	if (depth > VARIABLES)
		corrupt("a recursion is deeper than there are variables");
	if (has_any(cover))
		return result;
	if (!cover->count) {
		add_cube(&result, ANY);
		return result;
	}
	if (cover->count == 1) {
		complement_cube(&result, cover->cubes[0]);
		return result;
	}
	variable = split_variable(cover);
	if (variable < 0)
		corrupt("cubes that are all of the space and are not");
	for (unsigned i = 0; i < 2; i++) {
		uint64_t half = (ANY & ~(3ull << 2 * variable)) | (1ull << i) << 2 * variable;
		struct cover *part = cofactor(cover, half, WITHOUT_NONE);

		halves[i] = complement(part, depth + 1);
		free_cover(part);
	}
	merge_halves(&result, halves[0], halves[1], variable);
	free_cover(halves[0]);
	free_cover(halves[1]);
	return result;
}

/* Whether the cover is all of the space. */
static int is_tautology(const struct cover *cover, unsigned depth)
{
	int variable, yes = 1;

	if (depth > VARIABLES)
		corrupt("a recursion is deeper than there are variables");
	if (has_any(cover))
		return 1;
	variable = split_variable(cover);
	if (variable < 0)
		return 0;
	for (unsigned i = 0; i < 2 && yes; i++) {
		uint64_t half = (ANY & ~(3ull << 2 * variable)) | (1ull << i) << 2 * variable;
		struct cover *part = cofactor(cover, half, WITHOUT_NONE);

		yes = is_tautology(part, depth + 1);
		free_cover(part);
	}
	return yes;
}

static int meets(const struct cover *cover, uint64_t cube)
{
	for (uint32_t i = 0; i < cover->count; i++) {
		if (!is_empty(cover->cubes[i] & cube))
			return 1;
	}
	return 0;
}

/* Makes each cube as large as the off-set allows, and drops those that another one covers. */
static struct cover *expand(const struct cover *cover, const struct cover *off)
{
	struct cover *result = make_cover(cover->count);

	for (uint32_t i = 0; i < cover->count; i++) {
		uint64_t cube = cover->cubes[i];
		uint32_t kept = 0, j = 0;

		for (unsigned k = 0; k < VARIABLES; k++) {
			/* Not always in the same order, or all cubes lose the same variables. */
			uint64_t raised = cube | 3ull << 2 * ((k + i) % VARIABLES);

			if (raised != cube && !meets(off, raised))
				cube = raised;
		}
		while (j < result->count && !contains(result->cubes[j], cube))
			j++;
		if (j < result->count)
			continue;
		for (j = 0; j < result->count; j++) {
			if (!contains(cube, result->cubes[j]))
				result->cubes[kept++] = result->cubes[j];
		}
		result->count = kept;
		add_cube(&result, cube);
	}
	return result;
}

/* Drops each cube that the others cover together. */
static void make_irredundant(struct cover *cover)
{
	for (uint32_t i = cover->count; i-- > 0;) {
		struct cover *others = cofactor(cover, cover->cubes[i], i);

		if (is_tautology(others, 0))
			cover->cubes[i] = cover->cubes[--cover->count];
		free_cover(others);
	}
}

/* Makes each cube as small as the others allow, so that it can grow in another direction. */
static void reduce(struct cover *cover)
{
	for (uint32_t i = 0; i < cover->count; i++) {
		struct cover *others = cofactor(cover, cover->cubes[i], i);
		struct cover *needed = complement(others, 0);
		uint64_t smallest = 0;

		for (uint32_t j = 0; j < needed->count; j++)
			smallest |= needed->cubes[j];
		if (needed->count)
			cover->cubes[i] &= smallest;
		free_cover(needed);
		free_cover(others);
	}
}

static uint64_t cost(const struct cover *cover)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < cover->count; i++)
		sum += literals(cover->cubes[i]) + VARIABLES;
	return sum;
}

static struct cover *minimise(const struct cover *on, uint64_t *operations)
{
	struct cover *off = complement(on, 0), *best = expand(on, off);

	make_irredundant(best);
	for (;;) {
		struct cover *smaller = make_cover(best->count), *next;

		for (uint32_t i = 0; i < best->count; i++)
			add_cube(&smaller, best->cubes[i]);
		reduce(smaller);
		next = expand(smaller, off);
		make_irredundant(next);
		free_cover(smaller);
		*operations += next->count;
		if (cost(next) >= cost(best)) {
			free_cover(next);
			break;
		}
		free_cover(best);
		best = next;
	}
	free_cover(off);
	return best;
}

static int value_at(const struct cover *cover, uint64_t point)
{
	for (uint32_t i = 0; i < cover->count; i++) {
		if (contains(cover->cubes[i], point))
			return 1;
	}
	return 0;
}

static uint64_t random_cube(uint64_t *seed, unsigned free_in_8)
{
	uint64_t cube = 0;

	for (unsigned v = 0; v < VARIABLES; v++) {
		uint64_t bits = random_below(seed, 8) < free_in_8 ? 3 : 1 + random_below(seed, 2);

		cube |= bits << 2 * v;
	}
	return cube;
}

static void work(unsigned index, void *argument)
{
	struct shared *shared = argument;
	uint64_t number;

	(void)index;
	while ((number = atomic_fetch_add(&shared->next, 1)) < shared->functions) {
		uint64_t seed = number + 1, operations = 0;
		struct cover *on = make_cover(CUBES), *best;

		for (unsigned i = 0; i < CUBES; i++)
			add_cube(&on, random_cube(&seed, 4));
		best = minimise(on, &operations);
		for (unsigned i = 0; i < SAMPLES; i++) {
			uint64_t point = random_cube(&seed, 0);

			if (value_at(on, point) != value_at(best, point))
				corrupt("the smaller function is not the same function");
		}
		shared->operations += operations;
		shared->checksum += mix64(number + cost(best));
		free_cover(best);
		free_cover(on);
	}
}

int main(int argc, char **argv)
{
	static struct shared shared;
	struct options options;

	parse_options(&options, argc, argv);
	shared.functions = scaled(&options, FUNCTIONS);
	run_threads(options.threads, work, &shared);
	print_metric("operations", shared.operations);
	print_metric("checksum", shared.checksum);
	return 0;
}
