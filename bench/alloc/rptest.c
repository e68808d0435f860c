/* SPDX-License-Identifier: MIT */
/*
 * rptest: in each round a thread allocates a working set of random sizes, frees parts of it in an
 * order of its own while it allocates more, hands a part to the next thread, and frees what the
 * thread before it handed over. At the end of a round all of a thread's own blocks are freed.
 *
 * Pattern: M. Jansson, rpmalloc-benchmark; the pattern only, written anew.
 */
#include <pthread.h>

#include "common.h"

#define SET 4096 /* blocks of one thread's working set */
#define HANDED 512 /* of which the next thread frees */
#define MIN_SIZE 16
#define MAX_SIZE 8000
#define ROUNDS 1400 /* of all threads */
#define PASSES 4

struct mailbox {
	struct slot slots[HANDED];
};

struct shared {
	const struct options *options;
	uint64_t rounds; /* of each thread */
	struct mailbox *mailboxes[MAX_THREADS];
	pthread_barrier_t barrier;
	uint64_t made[MAX_THREADS], freed[MAX_THREADS];
};

/* Squared, so that three quarters of the blocks are below a quarter of the range. */
static size_t random_size(uint64_t *seed)
{
	double u = random_unit(seed);

	return MIN_SIZE + (size_t)(u * u * (MAX_SIZE - MIN_SIZE));
}

static void fill(struct slot *slot, uint64_t *seed, uint64_t *made)
{
	slot_fill(slot, random_size(seed), random_next(seed));
	*made += slot->tag;
}

/* Frees one in each PASSES, at a stride that is not the order of allocation, and allocates anew. */
static void pass(struct slot *set, unsigned number, uint64_t *seed, uint64_t *made, uint64_t *freed)
{
	for (unsigned i = 0; i < SET / PASSES; i++)
		*freed += slot_empty(&set[(i * 1031 * PASSES + number) % SET]);
	for (unsigned i = 0; i < SET / PASSES; i++)
		fill(&set[i * PASSES + number], seed, made);
}

static void hand_over(struct slot *set, struct mailbox *box)
{
	for (unsigned i = 0; i < HANDED; i++) {
		box->slots[i] = set[i];
		set[i].block = NULL;
	}
}

static void work(unsigned index, void *argument)
{
	struct shared *shared = argument;
	const unsigned threads = shared->options->threads;
	struct mailbox *mine = shared->mailboxes[index];
	struct mailbox *next = shared->mailboxes[(index + 1) % threads];
	struct slot *set = get_block(SET * sizeof(*set));
	uint64_t seed = 31 * index + 5, made = 0, freed = 0;

	memset(set, 0, SET * sizeof(*set));
	for (uint64_t round = 0; round < shared->rounds; round++) {
		for (unsigned i = 0; i < SET; i++)
			fill(&set[i], &seed, &made);
		for (unsigned i = 0; i < PASSES; i++)
			pass(set, i, &seed, &made, &freed);
		hand_over(set, next);
		pthread_barrier_wait(&shared->barrier);
		for (unsigned i = 0; i < HANDED; i++)
			freed += slot_empty(&mine->slots[i]);
		for (unsigned i = 0; i < SET; i++)
			freed += slot_empty(&set[i]);
		pthread_barrier_wait(&shared->barrier);
	}
	free(set);
	shared->made[index] = made;
	shared->freed[index] = freed;
}

int main(int argc, char **argv)
{
	static struct shared shared;
	struct options options;
	uint64_t made = 0, freed = 0;

	parse_options(&options, argc, argv);
	shared.options = &options;
	shared.rounds = (scaled(&options, ROUNDS) + options.threads - 1) / options.threads;
	pthread_barrier_init(&shared.barrier, NULL, options.threads);
	for (unsigned i = 0; i < options.threads; i++) {
		shared.mailboxes[i] = get_block(sizeof(struct mailbox));
		memset(shared.mailboxes[i], 0, sizeof(struct mailbox));
	}
	run_threads(options.threads, work, &shared);
	for (unsigned i = 0; i < options.threads; i++) {
		made += shared.made[i];
		freed += shared.freed[i];
		free(shared.mailboxes[i]);
	}
	if (made != freed)
		corrupt("other blocks were freed than were allocated");
	print_metric("operations", shared.rounds * options.threads * SET * 2);
	print_metric("checksum", freed);
	return 0;
}
