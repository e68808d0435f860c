/* SPDX-License-Identifier: MIT */
/*
 * pg64.h - public interface of libpg64: 64 KiB pages for programs on 4 KiB kernels
 *
 * Every function here may be called from any thread at any time, before main() and in a forked
 * child included, unless its comment says otherwise. Functions that return int return 0 or a
 * negative errno value and leave errno alone. Sizes are in bytes.
 *
 * All declarations are available since version 0.1.
 */
#ifndef PG64_H
#define PG64_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PG64_VERSION_MAJOR 0
#define PG64_VERSION_MINOR 1
#define PG64_VERSION_PATCH 0

/** The granule: a naturally aligned 64 KiB piece of virtual memory, in bytes. */
#define PG64_GRANULE ((size_t)65536)

/** Version of the library in use, "MAJOR.MINOR.PATCH". Static storage. */
const char *pg64_version(void);

/* ---- kinds of memory and how each gets its 64 KiB pages ---- */

/** What a piece of memory is; each kind has a backend of its own. */
enum pg64_mem {
	PG64_MEM_HEAP = 0, /**< private anonymous memory that pg64's allocator hands out */
	PG64_MEM_ANON = 1, /**< private anonymous memory that the program mapped itself */
	PG64_MEM_SHARED = 2, /**< shared anonymous memory, memfd and System V segments */
	PG64_MEM_KINDS = 3,
};

/** How 64 KiB pages are obtained, best first. */
enum pg64_backend {
	PG64_BACKEND_UNKNOWN = 0, /**< not probed yet: the process is below the thresholds */
	PG64_BACKEND_PATCHED = 1, /**< MADV_PAGESIZE_64K of a patched kernel */
	PG64_BACKEND_MTHP = 2, /**< multi-size THP, MADV_HUGEPAGE (Linux >= 6.8, sysfs) */
	PG64_BACKEND_COLLAPSE = 3, /**< MADV_COLLAPSE (Linux >= 6.1), no privilege needed */
	PG64_BACKEND_BASE = 4, /**< the kernel's base pages */
	PG64_BACKENDS = 5,
};

/** Short lower-case name ("mthp"), or "?" for a value out of range. Static storage. */
const char *pg64_backend_name(enum pg64_backend backend);

/** Short lower-case name ("heap", "anon", "shared"), or "?". Static storage. */
const char *pg64_mem_name(enum pg64_mem kind);

/** What a probe of one backend for one kind of memory found. */
struct pg64_probe {
	uint32_t size; /**< in: sizeof(struct pg64_probe) of the caller */
	uint32_t version; /**< out: 1 */
	enum pg64_backend backend; /**< the backend that was tried */
	enum pg64_mem kind; /**< the kind of memory it was tried for */
	int32_t error; /**< 0: it works; else the -errno of the step that failed */
	uint32_t touched_bytes; /**< bytes that one touch of a fresh granule made present */
	uint32_t pmd_wins; /**< 1: without a fence the kernel maps a PMD-size page (2 MiB) here */
	char reason[160]; /**< one sentence, NUL-terminated: why it works or does not */
};

/**
 * Probe one backend by behaviour: map scratch memory, ask, touch one granule, look at what came.
 *
 * Takes 5 to 15 system calls and up to 2 MiB of memory that is released before it returns; changes
 * no setting. PG64_BACKEND_UNKNOWN as @backend probes best first and reports the winner.
 *
 * @probe: filled in; @probe->size must be set by the caller.
 * Returns 0 when the probe could be made (look at @probe->error), -EINVAL for bad arguments.
 */
int pg64_probe(enum pg64_backend backend, enum pg64_mem kind, struct pg64_probe *probe);

/**
 * Ask for 64 KiB pages in memory that the program mapped itself.
 *
 * Only whole granules inside [addr, addr + len_bytes) are asked for. Applies to pages touched from
 * now on; ask before the first touch. Never changes contents or protection. mremap(2) of the range
 * goes on working, by way of the library's mremap().
 *
 * Returns 0; -EINVAL when no whole granule is inside, -ENOMEM when the range has a hole,
 * -EOPNOTSUPP when the backend of this kind of memory is `base` (see pg64_probe()).
 */
int pg64_advise(void *addr, size_t len_bytes, enum pg64_mem kind);

/* ---- arenas with a lifetime of their own ---- */

/** A private heap. Belongs to the thread that created it. */
struct pg64_arena;

/**
 * Create an arena: a private heap whose blocks can be freed one by one or all at once.
 *
 * Only the creating thread may allocate from, reset or destroy it; others get NULL (errno EPERM)
 * or -EPERM. pg64_arena_free() may be called from any thread. Destroy it before its thread ends:
 * blocks of an arena whose thread has ended live on until they are freed one by one.
 *
 * Returns NULL with errno ENOMEM when there is no memory, ENOTSUP when malloc is left to the C
 * library (PG64_MALLOC=0, PG64_ENABLE=0, the policy file), or this build's engine has no private
 * heaps.
 */
struct pg64_arena *pg64_arena_create(void);

/**
 * Allocate @size bytes aligned to @align (0: the alignment of malloc; else a power of two).
 * The block belongs to the caller until freed, or until the arena is reset or destroyed.
 * Returns NULL with errno ENOMEM, EINVAL (bad alignment) or EPERM (wrong thread).
 */
void *pg64_arena_alloc(struct pg64_arena *arena, size_t size, size_t align);

/** Free a block of @arena. NULL is allowed. May be called from any thread. Keeps errno. */
void pg64_arena_free(struct pg64_arena *arena, void *block);

/** Bytes that may be used in @block, at least what was asked for. 0 for NULL. */
size_t pg64_arena_usable_size(struct pg64_arena *arena, const void *block);

/** Free every block of @arena at once; the arena stays usable. 0, or -EPERM (wrong thread). */
int pg64_arena_reset(struct pg64_arena *arena);

/** Free every block and the arena itself. NULL is allowed. 0, or -EPERM (wrong thread). */
int pg64_arena_destroy(struct pg64_arena *arena);

/* ---- statistics ---- */

/** Statistics of the calling process. Append-only: a later version adds fields at the end. */
struct pg64_stats {
	uint32_t size; /**< in: sizeof(struct pg64_stats) of the caller; out: bytes filled in */
	uint32_t version; /**< out: 1 */
	enum pg64_backend backend[PG64_MEM_KINDS]; /**< per kind of memory */
	uint32_t active; /**< 1: pg64's malloc serves this process */
	uint64_t heap_reserved_bytes; /**< address space held by arenas */
	uint64_t heap_committed_bytes; /**< of it, in use by the heap engine */
	uint64_t heap_advised_bytes; /**< of it, asked to be on 64 KiB pages */
	uint64_t heap_collapsed_bytes; /**< of it, collapsed and not purged since */
	uint64_t mmap_advised_bytes; /**< asked for in interposed mappings, since start */
	uint64_t minor_faults; /**< of the process, from getrusage() */
	uint64_t major_faults;
	uint64_t coverage_lower_bound_ppm; /**< see pg64_coverage(); 0 when nothing is known */
	uint64_t resident_bytes; /**< RssAnon + RssShmem of /proc/self/status */
};

/**
 * Fill in @stats for the calling process. Takes no lock and allocates nothing.
 * @stats->size must be set by the caller. 0, or -EINVAL when it is too small for version 1.
 */
int pg64_stats_get(struct pg64_stats *stats);

/**
 * Named counters: what was done, and each reason for not being on 64 KiB pages.
 * pg64_counter_name(i) is NULL past the last. Counters only grow; a forked child goes on from the
 * values of its parent, since it goes on with the parent's memory.
 */
const char *pg64_counter_name(unsigned int index);
const char *pg64_counter_help(unsigned int index);
uint64_t pg64_counter_value(unsigned int index);

/** How the coverage figure of struct pg64_coverage was obtained. */
enum pg64_coverage_source {
	PG64_COVERAGE_NONE = 0, /**< cannot be seen without privilege */
	PG64_COVERAGE_KPAGEFLAGS = 1, /**< exact: /proc/PID/pagemap and /proc/kpageflags */
};

/** How much of a piece of a process's memory stands on folios of 64 KiB and more. */
struct pg64_coverage {
	uint32_t size; /**< in: sizeof(struct pg64_coverage) of the caller */
	uint32_t version; /**< out: 1 */
	enum pg64_coverage_source source;
	uint32_t reserved;
	uint64_t resident_bytes; /**< present pages in the range */
	uint64_t backed_bytes; /**< in granules whose pages all map one folio of order >= 4 */
	uint64_t pmd_bytes; /**< of backed_bytes, mapped by PMD-size pages */
	uint64_t swapped_bytes; /**< pages of the range that are in swap */
};

/**
 * Measure [addr, addr + len_bytes) of process @pid (0: this one) page by page.
 *
 * Exact, and needs CAP_SYS_ADMIN to see physical addresses; without it only resident_bytes and
 * swapped_bytes are filled in and source is PG64_COVERAGE_NONE.
 * A granule is backed when its pages map one naturally aligned 64 KiB piece of one compound page.
 *
 * Returns 0; -EINVAL; -ESRCH when the process is gone; -EACCES or -EPERM; -ENOENT without /proc.
 */
int pg64_coverage(int pid, uintptr_t addr, size_t len_bytes, struct pg64_coverage *coverage);

/* ---- growth of the heap ---- */

/**
 * @addr: memory that was committed last; @bytes: all that was, in one call of the malloc family.
 */
typedef void (*pg64_growth_fn)(void *addr, size_t bytes);

/**
 * Have @hook called whenever pg64's heap commits fresh memory, a multiple of 64 KiB at a time; NULL
 * takes the hook away. Blocks that come from memory the heap has already cost nothing.
 *
 * Called by the thread that makes the heap grow, from inside its malloc() and before that returns,
 * with no lock of pg64's held; threads call it at the same time. It may allocate and free: its own
 * growth is not told to it. It must return (no longjmp, no exception), and must not take a lock
 * under which the program allocates. A thread that was in the hook as it was taken away finishes
 * its call: code that holds a hook must not be unloaded. A forked child keeps the hook.
 * Never called where malloc is left to the C library, or by an engine that maps memory by itself
 * (-Dmimalloc=system).
 *
 * Returns the hook before, or NULL. Thread-safe.
 */
pg64_growth_fn pg64_on_growth(pg64_growth_fn hook);

/* ---- the option table ---- */

/** One option: PG64_<NAME> in the environment, <name> in /etc/pg64.conf, --<name> of `pg64 run`. */
struct pg64_option {
	uint32_t size; /**< in: sizeof(struct pg64_option) of the caller */
	const char *name; /**< lower case with underscores: "mmap_min" */
	const char *values; /**< what is allowed, for people: "auto|patched|mthp|collapse|base" */
	const char *fallback; /**< the default, as it would be written */
	const char *help; /**< one sentence */
};

/** Fill in option @index. 0; -ENOENT past the last; -EINVAL when ->size is too small. */
int pg64_option_get(unsigned int index, struct pg64_option *option);

/**
 * Check "name=value" as /etc/pg64.conf or the environment would. 0, or -EINVAL with one line of
 * explanation in @message (NUL-terminated, cut at @message_size).
 */
int pg64_option_check(const char *name, const char *value, char *message, size_t message_size);

/* ---- what tools read from a running process ---- */

#define PG64_LIVE_MAGIC "pg64liv1"
#define PG64_LIVE_COUNTERS 128

/**
 * Exported as the data symbol `pg64_live`; `pg64 stat PID` reads it through /proc/PID/mem.
 * Written with relaxed atomics: a reader sees each value whole, but no common instant.
 */
struct pg64_live {
	char magic[8]; /**< PG64_LIVE_MAGIC without a NUL, once the library has started */
	uint32_t version; /**< 1 */
	uint32_t size; /**< sizeof(struct pg64_live) */
	uint32_t backend[PG64_MEM_KINDS]; /**< enum pg64_backend */
	uint32_t active; /**< 1: malloc is served, 2: the mmap family too (bit mask) */
	uint64_t counters[PG64_LIVE_COUNTERS]; /**< in the order of pg64_counter_name() */
};

extern struct pg64_live pg64_live;

#ifdef __cplusplus
}
#endif

#endif /* PG64_H */
