/* SPDX-License-Identifier: MIT */
/*
 * The lock: mutual exclusion between threads, take-over by a child of fork, and none while a holder
 * of the same process is slow.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "base/lock.h"
#include "test.h"

#define THREADS 4
#define ROUNDS 20000

static struct pg64_lock lock;
static unsigned long counter; /* not atomic: the lock is what makes it right */
static unsigned int inside;

static void *count(void *unused)
{
	for (int i = 0; i < ROUNDS; i++) {
		pg64_lock(&lock);
		if (__atomic_add_fetch(&inside, 1, __ATOMIC_RELAXED) != 1)
			abort();
		counter++;
		__atomic_sub_fetch(&inside, 1, __ATOMIC_RELAXED);
		pg64_unlock(&lock);
	}
	return unused;
}

static void test_threads(void)
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, count, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(counter, (unsigned long)THREADS * ROUNDS);
	CHECK_EQ(lock.owner_pid, 0);
}

static void *wait_for_lock(void *taken)
{
	pg64_lock(&lock);
	__atomic_store_n((int *)taken, 1, __ATOMIC_RELAXED);
	pg64_unlock(&lock);
	return NULL;
}

static void test_patience(void)
{
	pthread_t thread;
	int taken = 0;

	pg64_lock(&lock);
	CHECK_EQ(lock.owner_pid, getpid());
	REQUIRE(pthread_create(&thread, NULL, wait_for_lock, &taken) == 0);
	usleep(50000);
	CHECK_EQ(__atomic_load_n(&taken, __ATOMIC_RELAXED), 0);
	pg64_unlock(&lock);
	pthread_join(thread, NULL);
	CHECK_EQ(taken, 1);
}

static void test_fork(void)
{
	int status = -1;
	pid_t child;

	/* As if another thread held it: this one cannot release it in the child. */
	pg64_lock(&lock);
	child = fork();
	if (child == 0) {
		alarm(20);
		pg64_lock(&lock);
		if (lock.owner_pid != (uint32_t)getpid())
			_exit(2);
		pg64_unlock(&lock);
		pg64_lock(&lock);
		_exit(0);
	}
	REQUIRE(child > 0);
	waitpid(child, &status, 0);
	CHECK_EQ(status, 0);
	pg64_unlock(&lock);
}

int main(void)
{
	test_threads();
	test_patience();
	test_fork();
	return test_result();
}
