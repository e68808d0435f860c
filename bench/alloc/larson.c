/* SPDX-License-Identifier: MIT */
/*
 * larson: a server. A thread owns an array of blocks, replaces random ones, and after a while hands
 * the array over to a successor that it starts, and ends. So threads come and go, and most blocks
 * are freed by another thread than the one that allocated them.
 *
 * Pattern: P.-A. Larson, M. Krishnan, "Memory Allocation for Long-Running Server Applications",
 * ISMM 1998. The original counts operations in a given time; here their number is given.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

#include "common.h"

#define SLOTS 5000
#define MIN_SIZE 8
#define MAX_SIZE 1000
#define OPERATIONS 24000000
#define PER_GENERATION 50000

/* What one thread hands to the next. */
struct server {
	struct slot slots[SLOTS];
	uint64_t seed, left, checksum;
};

static sem_t chains_done;

static void start(struct server *server);

static void replace(struct server *server)
{
	struct slot *slot = &server->slots[random_below(&server->seed, SLOTS)];
	size_t size = MIN_SIZE + random_below(&server->seed, MAX_SIZE - MIN_SIZE + 1);

	server->checksum += slot_empty(slot);
	slot_fill(slot, size, random_next(&server->seed));
}

static void *generation(void *argument)
{
	struct server *server = argument;
	uint64_t count = server->left < PER_GENERATION ? server->left : PER_GENERATION;

	for (uint64_t i = 0; i < count; i++)
		replace(server);
	server->left -= count;
	if (server->left)
		start(server);
	else
		sem_post(&chains_done);
	return NULL;
}

static void start(struct server *server)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attributes, generation, server)) {
		fputs("larson: no more threads\n", stderr);
		_Exit(1);
	}
	pthread_attr_destroy(&attributes);
}

int main(int argc, char **argv)
{
	struct server *servers[MAX_THREADS];
	struct options options;
	uint64_t operations, checksum = 0;

	parse_options(&options, argc, argv);
	operations = scaled(&options, OPERATIONS);
	sem_init(&chains_done, 0, 0);
	for (unsigned i = 0; i < options.threads; i++) {
		servers[i] = get_block(sizeof(*servers[i]));
		memset(servers[i], 0, sizeof(*servers[i]));
		servers[i]->seed = i + 1;
		servers[i]->left = share(operations, options.threads, i);
	}
	for (unsigned i = 0; i < options.threads; i++)
		start(servers[i]);
	for (unsigned i = 0; i < options.threads; i++) {
		while (sem_wait(&chains_done))
			;
	}
	for (unsigned i = 0; i < options.threads; i++) {
		for (unsigned j = 0; j < SLOTS; j++)
			checksum += slot_empty(&servers[i]->slots[j]);
		checksum += servers[i]->checksum;
		free(servers[i]);
	}
	print_metric("operations", operations);
	print_metric("checksum", checksum);
	return 0;
}
