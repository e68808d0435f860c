/* SPDX-License-Identifier: MIT */
/*
 * xmalloc-test: threads that only allocate and threads that only free, with batches of blocks of
 * mixed sizes on their way from the ones to the others. Memory freed by a thread is of no use to
 * it; it has to find its way back. With one thread, that one does both in turn.
 *
 * Pattern: C. Lever, D. Boreham, "malloc() Performance in a Multithreaded Linux Environment",
 * USENIX 2000, FREENIX track. The original counts in a given time; here the number of blocks is
 * given.
 */
#include <pthread.h>

#include "common.h"

#define BATCH 120
#define QUEUE 64
#define BLOCKS 28000000

static const uint16_t sizes[] = {
	16, 24, 32, 40, 48, 64, 72, 96, 128, 160, 256, 400, 512, 1024, 2000};

struct batch {
	struct slot slots[BATCH];
	unsigned count;
};

struct shared {
	const struct options *options;
	uint64_t blocks;
	pthread_mutex_t mutex;
	pthread_cond_t not_full, not_empty;
	struct batch *queue[QUEUE];
	unsigned first, used, producers_left;
	uint64_t made, freed;
};

static struct batch *produce(uint64_t *seed, unsigned count, uint64_t *made)
{
	struct batch *batch = get_block(sizeof(*batch));

	batch->count = count;
	for (unsigned i = 0; i < count; i++) {
		size_t size = sizes[random_below(seed, sizeof(sizes) / sizeof(sizes[0]))];

		slot_fill(&batch->slots[i], size, random_next(seed));
		*made += batch->slots[i].tag;
	}
	return batch;
}

static uint64_t consume(struct batch *batch)
{
	uint64_t sum = 0;

	if (batch->count > BATCH)
		corrupt("a batch of blocks has another length");
	for (unsigned i = 0; i < batch->count; i++)
		sum += slot_empty(&batch->slots[i]);
	free(batch);
	return sum;
}

static void put(struct shared *shared, struct batch *batch)
{
	pthread_mutex_lock(&shared->mutex);
	while (shared->used == QUEUE)
		pthread_cond_wait(&shared->not_full, &shared->mutex);
	shared->queue[(shared->first + shared->used++) % QUEUE] = batch;
	pthread_cond_signal(&shared->not_empty);
	pthread_mutex_unlock(&shared->mutex);
}

/* NULL when there are no more, and never will be. */
static struct batch *take(struct shared *shared)
{
	struct batch *batch = NULL;

	pthread_mutex_lock(&shared->mutex);
	while (!shared->used && shared->producers_left)
		pthread_cond_wait(&shared->not_empty, &shared->mutex);
	if (shared->used) {
		batch = shared->queue[shared->first];
		shared->first = (shared->first + 1) % QUEUE;
		shared->used--;
		pthread_cond_signal(&shared->not_full);
	}
	pthread_mutex_unlock(&shared->mutex);
	return batch;
}

static void producer(struct shared *shared, unsigned index, unsigned producers)
{
	uint64_t left = share(shared->blocks, producers, index), seed = 77 + index, made = 0;
	const int alone = shared->options->threads == 1;
	uint64_t freed = 0;

	while (left) {
		unsigned count = left < BATCH ? (unsigned)left : BATCH;

		put(shared, produce(&seed, count, &made));
		left -= count;
		if (alone && shared->used == QUEUE / 2)
			freed += consume(take(shared));
	}
	pthread_mutex_lock(&shared->mutex);
	shared->made += made;
	shared->freed += freed;
	shared->producers_left--;
	pthread_cond_broadcast(&shared->not_empty);
	pthread_mutex_unlock(&shared->mutex);
}

static void consumer(struct shared *shared)
{
	struct batch *batch;
	uint64_t freed = 0;

	while ((batch = take(shared)))
		freed += consume(batch);
	pthread_mutex_lock(&shared->mutex);
	shared->freed += freed;
	pthread_mutex_unlock(&shared->mutex);
}

static void work(unsigned index, void *argument)
{
	struct shared *shared = argument;
	const unsigned threads = shared->options->threads;
	const unsigned producers = threads > 1 ? threads / 2 : 1;

	if (index < producers)
		producer(shared, index, producers);
	if (index >= producers || threads == 1)
		consumer(shared);
}

int main(int argc, char **argv)
{
	static struct shared shared = {
		.mutex = PTHREAD_MUTEX_INITIALIZER,
		.not_full = PTHREAD_COND_INITIALIZER,
		.not_empty = PTHREAD_COND_INITIALIZER,
	};
	struct options options;

	parse_options(&options, argc, argv);
	shared.options = &options;
	shared.blocks = scaled(&options, BLOCKS);
	shared.producers_left = options.threads > 1 ? options.threads / 2 : 1;
	run_threads(options.threads, work, &shared);
	if (shared.made != shared.freed)
		corrupt("other blocks were freed than were allocated");
	print_metric("operations", shared.blocks);
	print_metric("checksum", shared.freed);
	return 0;
}
