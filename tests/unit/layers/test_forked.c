/* SPDX-License-Identifier: MIT */
/*
 * The pinned engine in a forked child, in states that a fork meets by rare luck only: another
 * thread in the middle of handing back a block, or at the table of what is kept. The engine is
 * compiled in, so that its state can be set. Without preloading.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "heap/engine_pinned.c"
#include "layers.h"
#include "page/page.h"

#define SIZE 4096

static struct pg64_config config;
static char *blocks[256];
static int count;

static void *nothing(void *unused)
{
	return unused;
}

static void start(void)
{
	pthread_t thread;

	pg64_page_init(&config);
	pg64_arena_init(&config);
	pg64_heap_init(&config);
	pg64_heap_start();
	REQUIRE(pthread_create(&thread, NULL, nothing, NULL) == 0);
	REQUIRE(pthread_join(thread, NULL) == 0);
}

/* A page all of whose blocks are in use, in the list of such: a free of another thread's goes to
 * the heap then. The other blocks of @blocks are in other pages. */
static mi_page_t *full_page(void)
{
	mi_page_t *page;

	for (count = 0; count < 256; count++) {
		blocks[count] = pg64_heap_malloc(SIZE);
		REQUIRE(blocks[count]);
	}
	page = _mi_ptr_page(blocks[0]);
	REQUIRE(mi_page_is_in_full(page));
	REQUIRE(mi_page_thread_free_flag(page) == MI_USE_DELAYED_FREE);
	return page;
}

static void *free_first_page(void *page)
{
	for (int i = 0; i < count; i++)
		if (_mi_ptr_page(blocks[i]) == page)
			pg64_heap_free(blocks[i]);
	return NULL;
}

/* In the child another thread frees the page's blocks; how many of as many new ones lie in it? */
static int used_again(mi_page_t *page)
{
	const char *first = blocks[0];
	size_t bytes = page->reserved * mi_page_block_size(page);
	pthread_t thread;
	int again = 0;

	REQUIRE(pthread_create(&thread, NULL, free_first_page, page) == 0);
	REQUIRE(pthread_join(thread, NULL) == 0);
	for (int i = 0; i < 256; i++) {
		const char *block = pg64_heap_malloc(SIZE);

		REQUIRE(block);
		again += block >= first && block < first + bytes;
	}
	return again;
}

static int in_child(bool with_handlers, int (*run)(mi_page_t *page), mi_page_t *page)
{
	int status = 0;
	pid_t pid;

	pg64_heap_before_fork();
	pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		alarm(20); /* an endless wait ends as a signal */
		if (with_handlers) {
			pg64_lock_new_process();
			pg64_heap_after_fork_child();
		}
		_exit(run(page));
	}
	pg64_heap_after_fork_parent();
	REQUIRE(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void free_under_way_is_ended(void)
{
	mi_page_t *page;

	start();
	page = full_page();
	int wanted = page->reserved;

	CHECK_EQ(in_child(true, used_again, page), wanted);
	/* As a thread leaves it between its two steps, and as the child has it for ever. */
	mi_atomic_store_release(&page->xthread_free,
		mi_tf_set_delayed(mi_atomic_load_relaxed(&page->xthread_free), MI_DELAYED_FREEING));
	CHECK_EQ(in_child(true, used_again, page), wanted);
	/* What the handler is for: without it nobody tells the heap of these blocks. */
	CHECK_EQ(in_child(false, used_again, page), 0);
}

static bool enough, changing;

/* At once, as a lock that nobody will release is taken over in the end; and no change was copied
 * half-way. */
static int lock_is_free(mi_page_t *unused)
{
	(void)unused;
	return __atomic_load_n(&kept.lock.owner, __ATOMIC_RELAXED) == 0 && kept.lock.forker == 0 &&
	       !__atomic_load_n(&changing, __ATOMIC_RELAXED);
}

static void *hold_lock(void *unused)
{
	while (!__atomic_load_n(&enough, __ATOMIC_ACQUIRE)) {
		pg64_lock(&kept.lock);
		__atomic_store_n(&changing, true, __ATOMIC_RELAXED);
		sched_yield();
		__atomic_store_n(&changing, false, __ATOMIC_RELAXED);
		pg64_unlock(&kept.lock);
		sched_yield();
	}
	return unused;
}

/* Another thread holds it half of the time, and is not there in the child. */
static void table_of_what_is_kept_is_free(void)
{
	pthread_t thread;

	start();
	REQUIRE(pthread_create(&thread, NULL, hold_lock, NULL) == 0);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(in_child(true, lock_is_free, NULL), true);
	CHECK_EQ(in_child(false, lock_is_free, NULL), false);
	__atomic_store_n(&enough, true, __ATOMIC_RELEASE);
	REQUIRE(pthread_join(thread, NULL) == 0);
	CHECK(lock_is_free(NULL));
}

static const struct test_case cases[] = {
	CASE(free_under_way_is_ended),
	CASE(table_of_what_is_kept_is_free),
};

int main(int argc, char **argv)
{
	return RUN_CASES(cases, argc, argv);
}
