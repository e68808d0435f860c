/* SPDX-License-Identifier: MIT */
/*
 * The composition root: reads the configuration, wires the layers together, and decides whether
 * pg64 serves this process or steps aside.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "arena/arena.h"
#include "arena/regions.h"
#include "base/args.h"
#include "base/counters.h"
#include "base/fmt.h"
#include "base/lock.h"
#include "base/sys.h"
#include "heap/heap.h"
#include "page/page.h"
#include "preload.h"
#include "stats/stats.h"

struct pg64_process pg64_process;

/* Present when a sanitizer's run-time, which has a malloc of its own, is in the process. */
void __asan_init(void) __attribute__((weak));
void __hwasan_init(void) __attribute__((weak));
void __tsan_init(void) __attribute__((weak));
void __msan_init(void) __attribute__((weak));
void __lsan_init(void) __attribute__((weak));

static bool has_word(const char *name, const char *word)
{
	const char *value = pg64_env(name);

	return value && strstr(value, word);
}

/* valgrind's tools that replace malloc preload an object of this name. */
static bool under_valgrind(void)
{
	static const char *const tools[] = {"vgpreload_memcheck", "vgpreload_helgrind",
		"vgpreload_drd", "vgpreload_massif", "vgpreload_dhat"};

	for (size_t i = 0; i < PG64_ARRAY_LEN(tools); i++)
		if (has_word("LD_PRELOAD", tools[i]))
			return true;
	return false;
}

static const char *reason_to_step_aside(const struct pg64_config *config)
{
	if (config->denied)
		return "the policy file denies pg64 to this program";
	if (!config->enable)
		return "PG64_ENABLE=0";
	if (__asan_init || __hwasan_init || __tsan_init || __msan_init || __lsan_init)
		return "a sanitizer is in the process";
	if (under_valgrind())
		return "valgrind replaces malloc";
	/* It hands on to glibc's own malloc what it did not check, and knows its blocks only. */
	if (has_word("LD_PRELOAD", "libc_malloc_debug.so"))
		return "libc_malloc_debug.so checks malloc";
	return NULL;
}

static void decide(void)
{
	struct pg64_process *p = &pg64_process;
	bool serve_malloc, serve_mmap;

	pg64_config_load(&p->config, "/etc/pg64.conf");
	pg64_log_setup(p->config.verbose, -1);
	p->aside = reason_to_step_aside(&p->config);
	serve_malloc = !p->aside && p->config.malloc;
	serve_mmap = !p->aside && p->config.mmap;
	if (!serve_malloc && !pg64_libc_find()) {
		pg64_log("the C library's malloc was not found; pg64's serves this program");
		serve_malloc = true;
	}
	pg64_page_init(&p->config);
	if (serve_malloc) {
		pg64_arena_init(&p->config);
		pg64_heap_init(&p->config);
	}
	memcpy(pg64_live.magic, PG64_LIVE_MAGIC, sizeof(pg64_live.magic));
	pg64_live.version = 1;
	pg64_live.size = sizeof(pg64_live);
	pg64_live.active = (serve_malloc ? 1 : 0) | (serve_mmap ? 2 : 0);
	p->mmap_mode = serve_mmap ? PG64_SERVE : PG64_ASIDE;
	__atomic_store_n((uint32_t *)&p->malloc_mode, serve_malloc ? PG64_SERVE : PG64_ASIDE,
		__ATOMIC_RELEASE);
}

void pg64_boot(void)
{
	static uint32_t started;
	static int starter;

	/*
	 * Nothing in decide() allocates or maps. But a sanitizer's interceptors of strcmp() and the
	 * like do, when one of them is the first to run: such a call comes back here, finds no mode
	 * set, and goes to the kernel unchanged.
	 */
	if (__atomic_load_n(&starter, __ATOMIC_RELAXED) == pg64_sys_gettid())
		return;
	if (__atomic_exchange_n(&started, 1, __ATOMIC_ACQ_REL) == 0) {
		__atomic_store_n(&starter, pg64_sys_gettid(), __ATOMIC_RELAXED);
		decide();
		__atomic_store_n(&starter, 0, __ATOMIC_RELAXED);
	}
	while (__atomic_load_n((uint32_t *)&pg64_process.malloc_mode, __ATOMIC_ACQUIRE) ==
		PG64_UNSTARTED)
		pg64_sys_yield();
}

/* Our fork handlers are registered first: they run last before the fork and first after it. */
static void before_fork(void)
{
	pg64_heap_before_fork();
	pg64_regions_before_fork();
	pg64_arena_before_fork();
}

static void after_fork_parent(void)
{
	pg64_arena_after_fork(false);
	pg64_regions_after_fork();
	pg64_heap_after_fork_parent();
}

static void after_fork_child(void)
{
	pg64_lock_new_process();
	pg64_arena_after_fork(true);
	pg64_regions_after_fork();
	pg64_heap_after_fork_child();
	pg64_count(PG64_C_forks);
	pg64_stats_after_fork();
}

static void print_configuration(void)
{
	char line[160];

	if (pg64_process.config.verbose == 0)
		return;
	pg64_verbose(1, "version %s, engine %s, pid %d", pg64_version(), pg64_heap_engine(),
		pg64_sys_getpid());
	if (pg64_process.aside)
		pg64_verbose(1, "steps aside: %s", pg64_process.aside);
	for (unsigned int i = 0;
		pg64_config_print(&pg64_process.config, i, line, sizeof(line)) >= 0; i++)
		pg64_verbose(1, "%s", line);
}

__attribute__((constructor(101))) static void start(void)
{
	pg64_serves_malloc();
	if (pg64_process.malloc_mode == PG64_SERVE)
		pg64_heap_start();
	if (pg64_process.aside == NULL)
		pthread_atfork(before_fork, after_fork_parent, after_fork_child);
	print_configuration();
	pg64_stats_setup(&pg64_process.config);
}

__attribute__((destructor(101))) static void finish(void)
{
	pg64_stats_write(&pg64_process.config);
}

#define STRING(x) #x
#define VERSION(major, minor, patch) STRING(major) "." STRING(minor) "." STRING(patch)

PG64_EXPORT const char *pg64_version(void)
{
	return VERSION(PG64_VERSION_MAJOR, PG64_VERSION_MINOR, PG64_VERSION_PATCH);
}
