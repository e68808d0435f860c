/* SPDX-License-Identifier: MIT */
/*
 * barnes: an n-body simulation with a tree of cells that is built anew in each step. It computes
 * much and allocates little: what counts is where the cells lie.
 *
 * Method: J. Barnes, P. Hut, "A Hierarchical O(N log N) Force-Calculation Algorithm", Nature 324,
 * 1986. As a test of allocators: E. Berger and others, "Hoard: A Scalable Memory Allocator for
 * Multithreaded Applications", ASPLOS 2000.
 */
#include <math.h>
#include <pthread.h>

#include "common.h"

#define BODIES 16384
#define STEPS 25
#define TIME_STEP 0.01
#define SOFTENING 0.05
#define OPENING 0.7 /* a cell that looks smaller than this counts as one point */
#define MAX_DEPTH 60

struct body {
	double at[3], speed[3], pull[3], mass;
};

/* A cube of space: with one body, or with up to eight smaller cubes. */
struct cell {
	double middle[3], half;
	double centre[3], mass; /* of what is in it */
	const struct body *body;
	struct cell *parts[8];
};

struct shared {
	const struct options *options;
	struct body *bodies[BODIES];
	struct cell *root;
	uint64_t steps, cells;
	pthread_barrier_t barrier;
};

static struct cell *make_cell(struct shared *shared, const double *middle, double half)
{
	struct cell *cell = get_block(sizeof(*cell));

	memset(cell, 0, sizeof(*cell));
	memcpy(cell->middle, middle, sizeof(cell->middle));
	cell->half = half;
	shared->cells++;
	return cell;
}

static unsigned octant(const struct cell *cell, const double *at)
{
	return (at[0] > cell->middle[0]) | (at[1] > cell->middle[1]) << 1 |
	       (at[2] > cell->middle[2]) << 2;
}

static void part_middle(double *middle, const struct cell *cell, unsigned part)
{
	for (unsigned i = 0; i < 3; i++)
		middle[i] = cell->middle[i] + (part >> i & 1 ? 0.5 : -0.5) * cell->half;
}

/* The part of a cell, made if it is not there. It lies where it must, or is not what was made. */
static struct cell *part_for(struct shared *shared, struct cell *cell, const double *at)
{
	unsigned part = octant(cell, at);
	double middle[3];

	part_middle(middle, cell, part);
	if (!cell->parts[part])
		cell->parts[part] = make_cell(shared, middle, cell->half / 2);
	if (memcmp(cell->parts[part]->middle, middle, sizeof(middle)))
		corrupt("a cell of the tree lies somewhere else");
	return cell->parts[part];
}

static void insert(struct shared *shared, struct cell *root, const struct body *body)
{
	struct cell *cell = root;
	unsigned depth = 0;

	for (;; cell = part_for(shared, cell, body->at)) {
		const struct body *before = cell->body;

		if (++depth > MAX_DEPTH)
			corrupt("the tree is deeper than it can be");
		if (cell->mass == 0) {
			cell->body = body;
			cell->mass = body->mass;
			return;
		}
		cell->mass += body->mass;
		if (before) {
			struct cell *part = part_for(shared, cell, before->at);

			cell->body = NULL;
			part->body = before;
			part->mass = before->mass;
		}
	}
}

/* Centres of mass, from the leaves up; returns the mass. */
static double weigh(struct cell *cell)
{
	double mass = 0;

	if (cell->body) {
		memcpy(cell->centre, cell->body->at, sizeof(cell->centre));
		return cell->mass;
	}
	for (unsigned i = 0; i < 8; i++) {
		struct cell *part = cell->parts[i];
		double weight = part ? weigh(part) : 0;

		for (unsigned j = 0; part && j < 3; j++)
			cell->centre[j] += weight * part->centre[j];
		mass += weight;
	}
	for (unsigned j = 0; j < 3; j++)
		cell->centre[j] /= mass;
	if (fabs(mass - cell->mass) > 1e-9)
		corrupt("the mass of a cell is not that of its parts");
	return mass;
}

static void free_tree(struct cell *cell)
{
	if (!cell)
		return;
	for (unsigned i = 0; i < 8; i++)
		free_tree(cell->parts[i]);
	free(cell);
}

static void build(struct shared *shared)
{
	static const double origin[3];
	double half = 1;

	for (unsigned i = 0; i < BODIES; i++) {
		for (unsigned j = 0; j < 3; j++) {
			while (fabs(shared->bodies[i]->at[j]) > half)
				half *= 2;
		}
	}
	shared->root = make_cell(shared, origin, half);
	for (unsigned i = 0; i < BODIES; i++)
		insert(shared, shared->root, shared->bodies[i]);
	if (fabs(weigh(shared->root) - 1) > 1e-6)
		corrupt("the mass of the tree is not that of the bodies");
}

static void pull(struct body *body, const struct cell *cell)
{
	double way[3], square = SOFTENING * SOFTENING, strength;

	if (cell->body == body)
		return;
	for (unsigned i = 0; i < 3; i++) {
		way[i] = cell->centre[i] - body->at[i];
		square += way[i] * way[i];
	}
	if (!cell->body && 4 * cell->half * cell->half > OPENING * OPENING * square) {
		for (unsigned i = 0; i < 8; i++) {
			if (cell->parts[i])
				pull(body, cell->parts[i]);
		}
		return;
	}
	strength = cell->mass / (square * sqrt(square));
	for (unsigned i = 0; i < 3; i++)
		body->pull[i] += strength * way[i];
}

static void move(struct body *body)
{
	for (unsigned i = 0; i < 3; i++) {
		body->speed[i] += TIME_STEP * body->pull[i];
		body->at[i] += TIME_STEP * body->speed[i];
		body->pull[i] = 0;
	}
}

static void work(unsigned index, void *argument)
{
	struct shared *shared = argument;
	const unsigned threads = shared->options->threads;

	for (uint64_t step = 0; step < shared->steps; step++) {
		if (index == 0)
			build(shared);
		pthread_barrier_wait(&shared->barrier);
		for (unsigned i = index; i < BODIES; i += threads)
			pull(shared->bodies[i], shared->root);
		pthread_barrier_wait(&shared->barrier);
		for (unsigned i = index; i < BODIES; i += threads)
			move(shared->bodies[i]);
		if (index == 0)
			free_tree(shared->root);
		pthread_barrier_wait(&shared->barrier);
	}
}

/* A ball that is dense in its middle, at rest. */
static void make_bodies(struct shared *shared)
{
	uint64_t seed = 1986;

	for (unsigned i = 0; i < BODIES; i++) {
		struct body *body = get_block(sizeof(*body));
		double square = 0, radius;

		memset(body, 0, sizeof(*body));
		while (square > 1 || square < 1e-3) {
			square = 0;
			for (unsigned j = 0; j < 3; j++) {
				body->at[j] = 2 * random_unit(&seed) - 1;
				square += body->at[j] * body->at[j];
			}
		}
		radius = random_unit(&seed);
		for (unsigned j = 0; j < 3; j++)
			body->at[j] *= radius / sqrt(square);
		body->mass = 1.0 / BODIES;
		shared->bodies[i] = body;
	}
}

int main(int argc, char **argv)
{
	static struct shared shared;
	struct options options;
	uint64_t checksum = 0;

	parse_options(&options, argc, argv);
	shared.options = &options;
	shared.steps = scaled(&options, STEPS);
	pthread_barrier_init(&shared.barrier, NULL, options.threads);
	make_bodies(&shared);
	run_threads(options.threads, work, &shared);
	for (unsigned i = 0; i < BODIES; i++) {
		/* The order of the sums is always the same, and so is each bit of the result. */
		for (unsigned j = 0; j < 3; j++) {
			uint64_t bits;

			memcpy(&bits, &shared.bodies[i]->at[j], sizeof(bits));
			checksum = mix64(checksum + bits);
		}
		free(shared.bodies[i]);
	}
	print_metric("operations", shared.cells);
	print_metric("checksum", checksum);
	return 0;
}
