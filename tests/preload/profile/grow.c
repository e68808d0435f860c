/* SPDX-License-Identifier: MIT */
/*
 * A program whose heap grows in known places: grow_a() takes four times what grow_b() takes. It
 * runs with and without pg64 and its profile, with the same output.
 *
 * usage: grow plain | grow threads PLUGIN | grow fork | grow stacks | grow descriptors
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "../check.h"

#define BLOCK (512 * KIB)
#define FORKS 40
#define MAIN_THREADS 2

/* Seen by name from outside. */
#define VISIBLE __attribute__((noinline, visibility("default")))

VISIBLE void grow_a(size_t bytes);
VISIBLE void grow_b(size_t bytes);
VISIBLE void grow_both(void);
VISIBLE void grow_child(size_t bytes);

static const char *plugin;
static atomic_bool stop;

static void take(size_t bytes)
{
	for (size_t taken = 0; taken < bytes; taken += BLOCK) {
		char *block = malloc(BLOCK);

		CHECK(block);
		block[BLOCK / 2] = 1;
		hide(block);
	}
}

/* Not inlined, and with a frame of their own: nothing is done after the last call but a return. */
void grow_a(size_t bytes)
{
	take(bytes);
	__asm__ volatile("");
}

void grow_b(size_t bytes)
{
	take(bytes);
	__asm__ volatile("" : : : "memory");
}

void grow_both(void)
{
	grow_a(64 * MIB);
	grow_b(16 * MIB);
	__asm__ volatile("");
}

void grow_child(size_t bytes)
{
	take(bytes);
	__asm__ volatile("" : : "r"(bytes));
}

static void *grow_in_thread(void *unused)
{
	grow_a(16 * MIB);
	grow_b(4 * MIB);
	return unused;
}

static int visit(struct dl_phdr_info *info, size_t size, void *sum)
{
	for (unsigned int i = 0; i < info->dlpi_phnum; i++)
		*(size_t *)sum += info->dlpi_phdr[i].p_memsz / size;
	return 0;
}

/*
 * Holds the lock of dl_iterate_phdr() most of the time. For forks: their children could not even
 * exit() if another thread was in dlopen().
 */
static void *iterate(void *unused)
{
	size_t sum = 0;

	while (!atomic_load(&stop))
		CHECK(dl_iterate_phdr(visit, &sum) == 0);
	CHECK(sum);
	return unused;
}

/* Holds all locks of the dynamic linker most of the time. */
static void *load_and_unload(void *unused)
{
	while (!atomic_load(&stop)) {
		void *library = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);

		CHECK(library);
		int (*answer)(void) = (int (*)(void))dlsym(library, "plugin_answer");
		CHECK(answer && answer() == 42);
		CHECK(dlclose(library) == 0);
	}
	return unused;
}

static void fork_children(void)
{
	for (int i = 0; i < FORKS; i++) {
		int status;
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid == 0) {
			alarm(20);
			grow_child(4 * MIB);
			exit(7);
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	}
}

/* 64 MiB in grow_a() and 16 in grow_b(): half in threads, half here. */
static void grow_all(bool forks)
{
	pthread_t loader, threads[MAIN_THREADS];

	CHECK(pthread_create(&loader, NULL, forks ? iterate : load_and_unload, NULL) == 0);
	for (int i = 0; i < MAIN_THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, grow_in_thread, NULL) == 0);
	if (forks)
		fork_children();
	grow_a(32 * MIB);
	grow_b(8 * MIB);
	for (int i = 0; i < MAIN_THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	atomic_store(&stop, true);
	CHECK(pthread_join(loader, NULL) == 0);
}

/* A daemon's start: all descriptors are closed, and the next ones opened get the same numbers. */
static void check_descriptors(void)
{
	char text[8] = "";
	int ends[2];

	for (int fd = 3; fd < 64; fd++)
		close(fd);
	CHECK(pipe2(ends, O_NONBLOCK) == 0);
	CHECK(write(ends[1], "abc", 3) == 3);
	grow_a(8 * MIB);
	printf("pipe %d %d\n", ends[0], ends[1]);
	CHECK(read(ends[0], text, sizeof(text)) == 3);
	CHECK(strcmp(text, "abc") == 0);
	for (int fd = 0; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("open %d\n", fd);
}

static ucontext_t caller, coroutine;

static void grow_in_coroutine(void)
{
	grow_b(16 * MIB);
	swapcontext(&coroutine, &caller);
}

static void *grow_a_in_thread(void *unused)
{
	grow_a(64 * MIB);
	return unused;
}

/* The smallest stack that a thread can have, and one that the C library does not know of. */
static void grow_on_stacks(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), len = 32 * KIB + 2 * page;
	char *stack = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_attr_t attr;
	pthread_t thread;

	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setstacksize(&attr, (size_t)sysconf(_SC_THREAD_STACK_MIN)) == 0);
	CHECK(pthread_create(&thread, &attr, grow_a_in_thread, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);

	CHECK(stack != MAP_FAILED);
	CHECK(mprotect(stack + page, 32 * KIB, PROT_READ | PROT_WRITE) == 0);
	CHECK(getcontext(&coroutine) == 0);
	coroutine.uc_stack.ss_sp = stack + page;
	coroutine.uc_stack.ss_size = 32 * KIB;
	makecontext(&coroutine, grow_in_coroutine, 0);
	CHECK(swapcontext(&caller, &coroutine) == 0);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "plain";
	unsigned long long before = counter("heap_commit_bytes");

	plugin = argc > 2 ? argv[2] : NULL;
	if (strcmp(what, "descriptors") == 0) {
		check_descriptors();
	} else if (strcmp(what, "stacks") == 0) {
		grow_on_stacks();
	} else if (strcmp(what, "fork") == 0) {
		grow_all(true);
	} else if (strcmp(what, "threads") == 0) {
		grow_all(false);
	} else {
		grow_both();
	}
	if (getenv("GROW_SHOW_COUNTER"))
		printf("before %llu\nafter %llu\n", before, counter("heap_commit_bytes"));
	puts("done");
	return 0;
}
