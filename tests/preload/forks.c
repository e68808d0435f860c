/* SPDX-License-Identifier: MIT */
/*
 * Processes made while THREADS other threads allocate. Each child works on its heap, and some
 * fork again. A deadlock is a child that never ends.
 *
 * usage: forks MODE ROUNDS   (see main())
 */
#include <malloc.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define THREADS 8

extern char **environ;
extern pid_t _Fork(void);

static atomic_int stop;
static void *mailbox[64]; /* blocks that one thread allocates and another frees */
static pthread_mutex_t mail = PTHREAD_MUTEX_INITIALIZER;

/* Small and large blocks, some freed elsewhere; mappings of its own. */
static void churn(uint32_t *random, int n)
{
	void *mine[16] = {NULL};

	for (int i = 0; i < n; i++) {
		uint32_t r = next_random(random);
		size_t size = r % 50 == 0 ? MIB + r % MIB : r % 7 == 0 ? r % 200000 : r % 2000;
		void **slot = &mine[r % 16];

		free(*slot);
		*slot = r % 5 == 0 ? calloc(1, size) : malloc(size);
		CHECK(*slot);
		memset(*slot, (int)r, size < 3000 ? size : 3000);
		if (r % 11 == 0 && pthread_mutex_trylock(&mail) == 0) {
			void *other = mailbox[r % 64];

			mailbox[r % 64] = *slot;
			pthread_mutex_unlock(&mail);
			*slot = NULL;
			free(other);
		}
		if (r % 97 == 0) {
			char *map = mmap(NULL, 3 * MIB, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			CHECK(map != MAP_FAILED);
			map[r % MIB] = 1;
			CHECK(munmap(map, 3 * MIB) == 0);
		}
	}
	for (int i = 0; i < 16; i++)
		free(mine[i]);
}

static void *churner(void *arg)
{
	uint32_t random = (uint32_t)(uintptr_t)arg;

	while (!stop)
		churn(&random, 50);
	return NULL;
}

static void *brief(void *arg)
{
	uint32_t random = (uint32_t)(uintptr_t)arg;

	churn(&random, 20);
	return malloc(100); /* left behind */
}

/* Threads that come and go, so that a fork meets one that is ending. */
static void *breeder(void *arg)
{
	uint32_t random = (uint32_t)(uintptr_t)arg;

	while (!stop) {
		pthread_t id;
		void *left = NULL;

		if (pthread_create(&id, NULL, brief, (void *)(uintptr_t)next_random(&random)) == 0)
			pthread_join(id, &left);
		free(left);
	}
	return NULL;
}

static void expect_good(pid_t pid)
{
	int status = -1;

	CHECK(pid > 0);
	while (waitpid(pid, &status, 0) < 0)
		CHECK(errno == EINTR);
	if (status != 0)
		fprintf(stderr, "the child ended with status %x\n", status);
	CHECK(status == 0);
}

static void work_in_child(uint32_t seed)
{
	pthread_t id;

	churn(&seed, 200);
	CHECK(pthread_create(&id, NULL, brief, (void *)(uintptr_t)seed) == 0);
	pthread_join(id, NULL);
	for (int i = 0; i < 64; i++) {
		free(mailbox[i]);
		mailbox[i] = NULL;
	}
}

/* Never returns. At each depth but the last, a child of its own. */
static void in_child(uint32_t seed, int depth)
{
	pid_t pid = 0;

	while (pid == 0) {
		work_in_child(seed++);
		if (depth-- == 0)
			break;
		pid = fork();
	}
	if (pid)
		expect_good(pid);
	malloc_trim(0);
	if (seed % 2)
		_exit(0);
	exit(0);
}

static void fork_rounds(int rounds, int depth)
{
	for (int i = 0; i < rounds; i++) {
		uint32_t seed = (uint32_t)i;

		churn(&seed, 20);
		pthread_mutex_lock(&mail); /* nobody holds it in the child */
		pid_t pid = fork();
		pthread_mutex_unlock(&mail);
		if (pid == 0)
			in_child((uint32_t)i, i % 4 == 0 ? depth : 0);
		expect_good(pid);
	}
}

static void *forker(void *arg)
{
	fork_rounds((int)(intptr_t)arg, 1);
	return NULL;
}

static void start(pthread_t *ids, void *(*function)(void *))
{
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&ids[i], NULL, function, (void *)(uintptr_t)(i + 1)) == 0);
}

static void finish(pthread_t *ids)
{
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(ids[i], NULL);
}

/* vfork and posix_spawn: the child borrows our memory, and must leave it as it was. */
static char *const words[] = {(char *)"true", NULL};

static pid_t by_spawn(void)
{
	pid_t pid = -1;

	CHECK(posix_spawnp(&pid, "true", NULL, NULL, words, environ) == 0);
	return pid;
}

static pid_t by_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execvp("true", words);
		_exit(1);
	}
	return pid;
}

static void spawn_rounds(int rounds)
{
	for (int i = 0; i < rounds; i++) {
		expect_good(i % 2 ? by_vfork() : by_spawn());
		free(malloc(100000));
	}
}

/*
 * Without fork handlers. Natively malloc may be used in such a child only where no other thread
 * was in malloc: the other threads rest while it is made.
 */
static void raw_rounds(int rounds)
{
	for (int i = 0; i < rounds; i++) {
		uint32_t seed = (uint32_t)i;

		churn(&seed, 100);
		pid_t pid = i % 2 ? _Fork()
				  : (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
		if (pid == 0) {
			for (int j = 0; j < 20; j++)
				churn(&seed, 50);
			_exit(0);
		}
		expect_good(pid);
	}
}

static void become_daemon(void)
{
	int ends[2];
	char got[10] = "";

	CHECK(pipe(ends) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		uint32_t seed = 1;

		CHECK(daemon(0, 1) == 0);
		churn(&seed, 2000);
		CHECK(write(ends[1], "alive", 5) == 5);
		_exit(0);
	}
	expect_good(pid);
	close(ends[1]);
	CHECK(read(ends[0], got, sizeof(got)) == 5 && strcmp(got, "alive") == 0);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	int rounds = argc > 2 ? atoi(argv[2]) : 20;
	pthread_t ids[THREADS], id;

	if (strcmp(mode, "main") == 0 || strcmp(mode, "thread") == 0) {
		start(ids, churner);
	} else if (strcmp(mode, "exiting") == 0) {
		start(ids, breeder);
	} else if (strcmp(mode, "spawn") == 0) {
		start(ids, churner);
		spawn_rounds(rounds);
		rounds = 0;
	} else if (strcmp(mode, "raw") == 0) {
		start(ids, churner);
		finish(ids);
		raw_rounds(rounds);
		puts("forked");
		return 0;
	} else if (strcmp(mode, "daemon") == 0) {
		become_daemon();
		puts("forked");
		return 0;
	} else {
		return 2;
	}
	if (strcmp(mode, "thread") == 0) {
		CHECK(pthread_create(&id, NULL, forker, (void *)(intptr_t)rounds) == 0);
		fork_rounds(rounds, 0); /* from two threads at once */
		pthread_join(id, NULL);
	} else {
		fork_rounds(rounds, 2);
	}
	finish(ids);
	puts("forked");
	return 0;
}
