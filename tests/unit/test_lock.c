/* SPDX-License-Identifier: MIT */
/*
 * The lock: mutual exclusion between threads, take-over by a child of fork, none while a holder of
 * the same process is slow, and a fork in a signal handler after any instruction of it.
 */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

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
	CHECK_EQ(lock.owner, 0);
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
	CHECK_EQ(lock.owner >> 32, getpid());
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
		if (lock.owner >> 32 != (uint32_t)getpid())
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

static volatile sig_atomic_t steps, held;

/* What fork() does around the system call, in the thread that may be anywhere in the lock. */
static void fork_handlers(int number)
{
	(void)number;
	steps++;
	pg64_lock_over_fork(&lock);
	held += lock.nested;
	pg64_unlock_after_fork(&lock);
}

#if defined(__x86_64__)
/* The processor's trap flag: SIGTRAP after each instruction, until it is cleared again. */
static void single_step(bool on)
{
	uint64_t flags = __builtin_ia32_readeflags_u64();

	__builtin_ia32_writeeflags_u64(on ? flags | 0x100 : flags & ~(uint64_t)0x100);
}

static void test_each_instruction(void)
{
	struct sigaction action = {.sa_handler = fork_handlers};
	const char *preload = getenv("LD_PRELOAD");

	if (preload && strstr(preload, "valgrind")) {
		puts("single steps: valgrind has no trap flag");
		return;
	}
	REQUIRE(sigaction(SIGTRAP, &action, NULL) == 0);
	alarm(60);
	single_step(true);
	pg64_lock(&lock);
	pg64_unlock(&lock);
	single_step(false);
	alarm(0);
	CHECK(steps > 10);
	CHECK(held > 0 && held < steps);
	CHECK_EQ(lock.owner, 0);
	CHECK_EQ(lock.forker, 0);
}
#else
static void test_each_instruction(void)
{
}
#endif

/* Less exact, and on any processor: a timer that hits where it hits. */
static void test_interrupted(void)
{
	struct sigaction action = {.sa_handler = fork_handlers};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec often = {{0, 20000}, {0, 20000}};
	struct timespec now, end;
	timer_t timer;

	REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
	REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	steps = 0;
	alarm(60);
	REQUIRE(timer_settime(timer, 0, &often, NULL) == 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec++;
	do {
		for (int i = 0; i < 1000; i++) {
			pg64_lock(&lock);
			pg64_unlock(&lock);
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (
		now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
	timer_delete(timer);
	alarm(0);
	CHECK(steps > 100);
	CHECK_EQ(lock.owner, 0);
}

int main(void)
{
	test_threads();
	test_patience();
	test_fork();
	test_each_instruction();
	test_interrupted();
	return test_result();
}
