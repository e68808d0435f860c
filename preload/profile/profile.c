/* SPDX-License-Identifier: MIT */
/*
 * libpg64-profile.so: who makes the heap grow. Preloaded together with libpg64.so, it takes the
 * stack of each growth (pg64_on_growth()), sums up the same ones, and writes a profile to
 * PG64_PROFILE when the process ends. Without that variable it does nothing.
 *
 * The hook runs inside the program's malloc: it takes no lock, makes no allocation, and calls
 * nothing that may wait for another thread of the program.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pg64.h"
#include "profile.h"
#include "stack.h"
#include "unwind.h"

#define STACKS 16384
#define FORK_WAIT_US 100000

/* An older libpg64.so does not have it. */
extern __typeof__(pg64_on_growth) pg64_on_growth __attribute__((weak));

struct range {
	uintptr_t low, high;
};

static struct {
	char path[PATH_MAX]; /* absolute, with %p */
	bool per_process; /* the path has a %p */
	int first_pid; /* the process that the program was started as */
	int pid; /* the process that @table belongs to */
	pg64_unwind_fn unwind; /* NULL: by frame pointers */
	struct range own[3]; /* libpg64.so, this library, the unwinder: not worth showing */
	bool comes_first; /* this library comes before libpg64.so */
	struct profile_table table;
} state;

static _Atomic unsigned int unwinding; /* threads in state.unwind() */
static _Atomic bool forking;

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	char line[512];
	va_list args;
	int len = snprintf(line, sizeof(line), "pg64: profile: ");

	va_start(args, fmt);
	len += vsnprintf(line + len, sizeof(line) - (size_t)len - 1, fmt, args);
	va_end(args);
	if (len > (int)sizeof(line) - 2)
		len = (int)sizeof(line) - 2;
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)len) < 0)
		return;
}

static bool is_own(uintptr_t pc)
{
	for (size_t i = 0; i < sizeof(state.own) / sizeof(*state.own); i++)
		if (pc - state.own[i].low < state.own[i].high - state.own[i].low)
			return true;
	return false;
}

/* The stack of the program, without our own frames below it. @frame: of the hook. */
static unsigned int take_stack(pg64_unwind_fn unwind, const void *frame, uintptr_t *pc)
{
	struct profile_stack stack = profile_stack_of(frame);
	unsigned int depth, skip = 0, max = PROFILE_DEPTH;

	if (unwind) {
		depth = unwind(stack, pc, max);
	} else {
		/* Of a stack that is not known, only two frames of libpg64.so are sure. */
		if (!stack.high) {
			stack = (struct profile_stack){(uintptr_t)frame, UINTPTR_MAX};
			max = 3;
		}
		depth = profile_walk_frames(frame, stack, pc, max);
	}
	while (skip < depth && is_own(pc[skip]))
		skip++;
	memmove(pc, pc + skip, (depth - skip) * sizeof(*pc));
	return depth - skip;
}

static void on_growth(void *addr, size_t bytes)
{
	uintptr_t pc[PROFILE_DEPTH];
	pg64_unwind_fn unwind;
	unsigned int depth;

	(void)addr;
	/* A child of vfork() shares our memory, one of _Fork() has not run our handler. */
	if (getpid() != state.pid)
		return;
	atomic_fetch_add(&unwinding, 1);
	unwind = atomic_load(&forking) ? NULL : state.unwind;
	if (!unwind)
		atomic_fetch_sub(&unwinding, 1);
	depth = take_stack(unwind, __builtin_frame_address(0), pc);
	if (unwind)
		atomic_fetch_sub(&unwinding, 1);
	profile_table_add(&state.table, pc, depth, bytes);
}

/* ---- fork ------------------------------------------------------------------------------- */

/*
 * libunwind has locks of its own, held for an instant: no thread may be in it as the process is
 * copied. Until that is done, stacks are taken by frame pointers.
 */
static void before_fork(void)
{
	atomic_store(&forking, true);
	for (int us = 0; atomic_load(&unwinding) && us < FORK_WAIT_US; us += 100)
		usleep(100);
}

static void after_fork_parent(void)
{
	atomic_store(&forking, false);
}

/* The child counts for itself, from nothing. */
static void after_fork_child(void)
{
	struct profile_table *table = &state.table;

	if (atomic_load(&unwinding))
		state.unwind = NULL;
	atomic_store(&unwinding, 0);
	atomic_store(&forking, false);
	state.pid = getpid();
	madvise(table->keys, table->count * (sizeof(*table->keys) + sizeof(*table->slots)),
		MADV_DONTNEED);
	table->dropped_count = 0;
	table->dropped_bytes = 0;
}

/* ---- start and end --------------------------------------------------------------------------- */

/* The program may change its folder before it ends. */
static bool set_path(const char *path)
{
	char folder[PATH_MAX] = "";
	int len;

	if (path[0] != '/' && !getcwd(folder, sizeof(folder)))
		return false;
	len = snprintf(state.path, sizeof(state.path), "%s%s%s", folder, *folder ? "/" : "", path);
	state.per_process = strstr(path, "%p") != NULL;
	return len > 0 && len < (int)sizeof(state.path);
}

static bool make_table(void)
{
	size_t keys_len = STACKS * sizeof(*state.table.keys);
	size_t len = keys_len + STACKS * sizeof(*state.table.slots);
	/* Not by mmap(), which is pg64's here: the profile must not show in the figures. */
	long ret = syscall(SYS_mmap, NULL, len, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0L);

	if (ret == -1)
		return false;
	state.table.keys = (_Atomic uint64_t *)ret;
	state.table.slots = (struct profile_slot *)(ret + (long)keys_len);
	state.table.count = STACKS;
	return true;
}

static int note_own(struct dl_phdr_info *info, size_t size, void *anchors)
{
	struct range range = {UINTPTR_MAX, 0};

	(void)size;
	for (unsigned int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type != PT_LOAD)
			continue;
		if (start < range.low)
			range.low = start;
		if (start + p->p_memsz > range.high)
			range.high = start + p->p_memsz;
	}
	/* Objects come in the order in which their symbols are found. */
	if (!state.own[0].high &&
		((const uintptr_t *)anchors)[1] - range.low < range.high - range.low)
		state.comes_first = true;
	/* A program that has pg64 linked in has no name here, and is worth showing. */
	for (size_t i = 0; i < 3 && info->dlpi_name && *info->dlpi_name; i++) {
		uintptr_t anchor = ((const uintptr_t *)anchors)[i];

		if (anchor - range.low < range.high - range.low)
			state.own[i] = range;
	}
	return 0;
}

static pg64_unwind_fn load_unwinder(void)
{
	void *library =
		dlopen("libpg64-unwind.so", RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND | RTLD_NODELETE);
	pg64_unwind_fn unwind = NULL;

	if (library)
		unwind = (pg64_unwind_fn)dlsym(library, "pg64_unwind");
	if (!unwind)
		say("%s; stacks are taken by frame pointers", dlerror());
	return unwind;
}

static void choose_unwinder(void)
{
	const char *name = secure_getenv("PG64_PROFILE_UNWIND");

	if (name && strcmp(name, "fp") == 0)
		return;
	if (name && strcmp(name, "libunwind") != 0)
		say("PG64_PROFILE_UNWIND: \"%.80s\" is not one of fp|libunwind; running with "
		    "libunwind",
			name);
	state.unwind = load_unwinder();
}

__attribute__((constructor)) static void start(void)
{
	const char *path = secure_getenv("PG64_PROFILE");

	if (!path || !*path)
		return;
	/* Where pg64 steps aside there is nothing to see; `pg64 doctor` says why. */
	if (!(__atomic_load_n(&pg64_live.active, __ATOMIC_RELAXED) & 1))
		return;
	if (!pg64_on_growth) {
		say("libpg64.so is too old; no profile is written");
		return;
	}
	if (!set_path(path) || !make_table()) {
		say("%.200s: %s; no profile is written", path, strerror(errno));
		return;
	}
	profile_stack_setup();
	choose_unwinder();
	uintptr_t anchors[3] = {
		(uintptr_t)pg64_on_growth, (uintptr_t)on_growth, (uintptr_t)state.unwind};
	dl_iterate_phdr(note_own, anchors);
	if (state.comes_first) {
		say("libpg64.so must be preloaded too, and before libpg64-profile.so");
		return;
	}
	state.pid = getpid();
	state.first_pid = state.pid;
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
	pg64_on_growth(on_growth);
}

/* The path with the process id in the place of each %p. */
static bool expand_path(char *path, size_t size)
{
	size_t len = 0;

	for (const char *c = state.path; *c; c++) {
		bool is_pid = c[0] == '%' && c[1] == 'p';
		int n = is_pid ? snprintf(path + len, size - len, "%d", state.pid)
			       : snprintf(path + len, size - len, "%c", *c);

		c += is_pid;
		len += (size_t)n;
		if (len >= size)
			return false;
	}
	return true;
}

__attribute__((destructor)) static void finish(void)
{
	const char *unwinder = state.unwind ? "libunwind" : "fp";
	char path[PATH_MAX];
	int err;

	if (!state.pid || getpid() != state.pid)
		return;
	pg64_on_growth(NULL);
	/* The file is that of the program that was started, not of children it forked. */
	if (state.pid != state.first_pid && !state.per_process)
		return;
	err = expand_path(path, sizeof(path)) ? profile_write(&state.table, path, unwinder)
					      : -ENAMETOOLONG;
	if (err)
		say("%.300s: cannot be written: %s", path, strerror(-err));
}
