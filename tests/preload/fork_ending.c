/* SPDX-License-Identifier: MIT */
/*
 * Forks that find a thread on its way through the allocator's end of a thread, as if it had lost
 * the processor there, and a new thread of the child that frees what that one left. The C library
 * gives it the same stack, and so the same address of its control block, by which an allocator
 * may know a thread.
 *
 * usage: fork_ending MET FORKS  (until MET forks found the thread there, or FORKS were made)
 *        fork_ending key      (the thread is in a destructor that comes before the allocator's)
 */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define BLOCKS 1024
#define RUN 16 /* blocks that are freed, and as many that are not */
#define SIZE ((size_t)8000)
#define MS 1000000L
#define NAP_NS (20 * MS)
#define PURGE_NS (100 * MS) /* more than the delay that the test sets, and 1 ms a page */

static unsigned char *blocks[BLOCKS];
static pthread_key_t last_key; /* made after the allocator's own: its destructor comes later */
static atomic_int ending, napping, ended;
static pthread_t first_identity;
static long began_ns, ended_ns;

static long now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 * MS + time.tv_nsec;
}

/* For a while only: it may hold a lock that fork() waits for. */
static void nap(int signal)
{
	const struct timespec a_while = {0, NAP_NS};
	int saved = errno;

	(void)signal;
	if (!ended) {
		napping = 1;
		nanosleep(&a_while, NULL);
		napping = 0;
	}
	errno = saved;
}

static void end(void *arg)
{
	(void)arg;
	ended_ns = now_ns();
	ended = 1;
}

static void fill(int i)
{
	blocks[i] = malloc(SIZE);
	CHECK(blocks[i]);
	blocks[i][0] = blocks[i][SIZE - 1] = (unsigned char)i;
}

static void take_back(int i)
{
	CHECK(blocks[i][0] == (unsigned char)i && blocks[i][SIZE - 1] == (unsigned char)i);
	free(blocks[i]);
	blocks[i] = NULL;
}

/* What is left is all that the thread did not free itself. */
static void take_back_all(void)
{
	for (int i = 0; i < BLOCKS; i++)
		if (blocks[i])
			take_back(i);
}

/* Leaves pages in use, and between them free memory that is due: to give it back takes time. */
static void *leave_blocks(void *arg)
{
	const struct timespec delay = {0, PURGE_NS};

	CHECK(pthread_setspecific(last_key, &last_key) == 0);
	for (int i = 0; i < BLOCKS; i++)
		fill(i);
	for (int i = 0; i < BLOCKS; i++)
		if (i / RUN % 2)
			take_back(i);
	fill(RUN); /* or the end begins with a page to be freed */
	nanosleep(&delay, NULL);
	began_ns = now_ns();
	ending = 1;
	return arg;
}

/* In the child, as the thread that was copied in the middle of its end. */
static void *take_its_place(void *arg)
{
	CHECK(pthread_equal(pthread_self(), first_identity));
	free(malloc(100));
	take_back_all();
	for (int i = 0; i < BLOCKS; i++)
		fill(i);
	take_back_all();
	return arg;
}

static void wait_for(const atomic_int *flag)
{
	while (!*flag)
		sched_yield();
}

/* How long the end of a thread takes, in nanoseconds. */
static long measure(void)
{
	long least = 1000 * MS;

	for (int i = 0; i < 3; i++) {
		pthread_t id;

		ending = ended = 0;
		CHECK(pthread_create(&id, NULL, leave_blocks, NULL) == 0);
		pthread_join(id, NULL);
		if (ended_ns - began_ns < least)
			least = ended_ns - began_ns;
		take_back_all();
		malloc_trim(0);
	}
	return least;
}

/* Did the fork find the thread at its end? */
static bool fork_meets(long after_ns)
{
	pthread_t id;
	int status = -1;

	ending = ended = 0;
	CHECK(pthread_create(&id, NULL, leave_blocks, NULL) == 0);
	first_identity = id;
	wait_for(&ending);
	for (long start = now_ns(); now_ns() - start < after_ns;)
		;
	pthread_kill(id, SIGUSR1);
	while (!napping && !ended)
		;
	bool met = napping && !ended;
	pid_t pid = fork();
	if (pid == 0) {
		pthread_t other;

		CHECK(pthread_create(&other, NULL, take_its_place, NULL) == 0);
		CHECK(pthread_join(other, NULL) == 0);
		exit(0);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (status != 0)
		fprintf(stderr, "the child ended with status %x\n", status);
	CHECK(status == 0);
	pthread_join(id, NULL);
	take_back_all();
	malloc_trim(0); /* or the next thread that ends looks through this one's memory */
	return met;
}

/* Before any library starts, and with it the allocator. */
static pthread_key_t first_key;
static atomic_int holding, go;

static void hold(void *arg)
{
	(void)arg;
	if (pthread_equal(pthread_self(), first_identity) && !go) {
		holding = 1;
		wait_for(&go);
	}
}

static void make_first_key(void)
{
	CHECK(pthread_key_create(&first_key, hold) == 0);
}

__attribute__((section(".preinit_array"), used)) static void (*const early)(void) = make_first_key;

static void *hold_blocks(void *arg)
{
	for (int i = 0; i < BLOCKS; i++)
		fill(i);
	for (int i = 0; i < BLOCKS; i += 2)
		free(blocks[i]);
	CHECK(pthread_setspecific(first_key, &first_key) == 0);
	return arg;
}

/* It allocates nothing, and may have begun with the values of the one that is gone. */
static void *set_key(void *arg)
{
	CHECK(pthread_equal(pthread_self(), first_identity));
	CHECK(pthread_setspecific(first_key, &first_key) == 0);
	return arg;
}

static void not_taken(const unsigned char *block)
{
	for (int i = 0; i < BLOCKS; i++)
		CHECK(block != blocks[i]);
}

/* In the child: what the thread had that is gone is nobody's. */
static void end_as_namesake(void)
{
	pthread_t id;

	go = 1;
	CHECK(pthread_create(&id, NULL, set_key, NULL) == 0);
	CHECK(pthread_join(id, NULL) == 0);
	for (int i = 0; i < 4 * BLOCKS; i++)
		not_taken(malloc(SIZE));
	exit(0);
}

static void fork_in_destructor(void)
{
	int status = -1;

	CHECK(pthread_create(&first_identity, NULL, hold_blocks, NULL) == 0);
	wait_for(&holding);
	pid_t pid = fork();
	if (pid == 0)
		end_as_namesake();
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	go = 1;
	CHECK(pthread_join(first_identity, NULL) == 0);
	puts("held");
}

int main(int argc, char **argv)
{
	int wanted = argc > 1 ? atoi(argv[1]) : 20, forks = argc > 2 ? atoi(argv[2]) : 20, met = 0;
	struct sigaction action = {.sa_handler = nap, .sa_flags = SA_RESTART};

	if (argc > 1 && strcmp(argv[1], "key") == 0) {
		fork_in_destructor();
		return 0;
	}
	free(malloc(1));
	CHECK(pthread_key_create(&last_key, end) == 0);
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	long took = measure();
	for (int i = 0; i < forks && met < wanted; i++)
		met += fork_meets(took * (i % 8) / 8);
	printf("met %d\n", met);
	return 0;
}
