/* SPDX-License-Identifier: MIT */
/*
 * The page layer's contract: have the kernel map a range at 64 KiB granularity, by the best way
 * that works.
 *
 * One file per backend (patched.c, mthp.c, collapse.c, base.c), each a struct pg64_page_backend.
 * select.c probes them best first, once per kind of memory, and closes the gate of one that fails
 * later. Everything goes through struct pg64_page_os, so that tests run against a fake kernel.
 *
 * All functions: thread-safe, no allocation, no lock held while the kernel works on a range.
 * Addresses and lengths are multiples of the granule unless stated otherwise.
 */
#ifndef PG64_PAGE_H
#define PG64_PAGE_H

#include "base/base.h"
#include "config/config.h"

/** The kernel, as this layer uses it. Calls return 0 (or an address) or -errno. */
struct pg64_page_os {
	void *(*mmap)(void *addr, size_t len, int prot, int flags, int fd, long offset);
	int (*munmap)(void *addr, size_t len);
	int (*mprotect)(void *addr, size_t len, int prot);
	int (*madvise)(void *addr, size_t len, int advice);
	/** One byte a base page; bit 0: present. */
	int (*mincore)(void *addr, size_t len, unsigned char *vec);
	int (*vma_name)(void *addr, size_t len, const char *name);
	/** How many VMAs this process has: those of @name, or all (NULL). Slow; or -errno. */
	int (*vma_count)(const char *name);
	/** Write the byte at @addr without changing it: a write fault on a real kernel. */
	void (*touch)(char *addr);
	/**
	 * Bytes that this process can use before the machine or a cgroup of its own runs out of
	 * memory, as far as can be seen: UINT64_MAX where nothing can. Slow: it reads files.
	 */
	uint64_t (*room)(void);
	/** A clock that never goes back. */
	uint64_t (*now_ns)(void);
};

extern const struct pg64_page_os pg64_page_os_kernel;

/** Replace the kernel (tests); NULL restores the real one. Not thread-safe. */
void pg64_page_set_os(const struct pg64_page_os *os);
const struct pg64_page_os *pg64_page_os(void);

struct pg64_page_backend {
	enum pg64_backend id;
	const char *name;
	/**
	 * Is it there, for memory of @kind? Fills in error, touched_bytes, pmd_wins and reason.
	 * Proof is what backs one touched granule, never a version or a success code. A proof that
	 * would cost megabytes is made only if @deep; else the first use is the proof.
	 */
	void (*probe)(enum pg64_mem kind, struct pg64_probe *probe, bool deep);
	/**
	 * Make [addr, addr + len) get 64 KiB pages when touched from now on. Contents and
	 * protection stay. @addr and @len may be any multiple of the base page for memory that a
	 * program mapped. 0 or -errno; a failure leaves a usable range on base pages.
	 */
	int (*advise)(void *addr, size_t len, enum pg64_mem kind);
	/**
	 * [addr, addr + len), one whole PMD-size stretch of readable and writable heap memory, is
	 * about to be filled. NULL where advice alone does it. 0 or -errno.
	 */
	int (*populate)(void *addr, size_t len);
};

extern const struct pg64_page_backend pg64_page_patched;
extern const struct pg64_page_backend pg64_page_mthp;
extern const struct pg64_page_backend pg64_page_collapse;
extern const struct pg64_page_backend pg64_page_base;

/**
 * Set the policy. No system call, but for PG64_PMD=auto: it reads a few files about memory limits.
 * Call once, before any other function of this layer.
 */
void pg64_page_init(const struct pg64_config *config);

/**
 * The backend for memory of @kind; probes on the first call for each kind (5 to 40 system calls).
 * Two threads that come first together may both probe; they come to the same result.
 */
enum pg64_backend pg64_page_backend(enum pg64_mem kind);

/** The same without probing: PG64_BACKEND_UNKNOWN before the first pg64_page_backend(). */
enum pg64_backend pg64_page_backend_known(enum pg64_mem kind);

/** One sentence: why @kind has the backend that it has. Static storage, may grow better later. */
const char *pg64_page_reason(enum pg64_mem kind);

/**
 * Ask for 64 KiB pages in [addr, addr + len) by the backend of @kind. A refusal that will not pass
 * closes the backend's gate for good, counts it and goes on with the next backend; a limit
 * (-ENOMEM,
 * -EAGAIN) is counted and leaves the gate open. Setting a fence is up to the caller, who knows how
 * much of the range will be used. Returns the backend that took it (PG64_BACKEND_BASE: nobody).
 */
enum pg64_backend pg64_page_advise(void *addr, size_t len, enum pg64_mem kind);

/**
 * The same for one range that may be of a sort that cannot have such pages: a refusal says nothing
 * about the backend and closes no gate. 0 or -errno; -EOPNOTSUPP when @kind has no backend that
 * takes advice.
 */
int pg64_page_advise_once(void *addr, size_t len, enum pg64_mem kind);

/**
 * Are stretches of the heap to be populated as they are first committed? By the heap's backend, or
 * because PMD-size pages are made knowingly (pg64_page_promotes()) and one fault brings them.
 */
bool pg64_page_wants_populate(void);

/**
 * Populate one whole stretch (see struct pg64_page_backend). true: it stands on large pages now.
 */
bool pg64_page_populate(void *addr, size_t len);

/**
 * Are PMD-size pages made of stretches of the heap that the arenas know to be dense
 * (PG64_PMD=auto), and has that not failed for good? No system call.
 */
bool pg64_page_promotes(void);

/** Stretches that one call of pg64_page_promote() takes at most. */
#define PG64_PROMOTE_RUN_MAX 16

/**
 * How many stretches pg64_page_promote() should be given, so that it does not take long: by what
 * its system calls took up to now; 0: none for a while, a memory limit was met. Not thread-safe,
 * nor is pg64_page_promote().
 */
size_t pg64_page_promotion_run(uint64_t now_ns);

/**
 * May a heap with @used bytes in use have PMD-size pages, by the memory limits that were seen when
 * the process started? Counts it if not.
 */
bool pg64_page_promotion_room(uint64_t used);

/**
 * Move @count neighbouring stretches that are in use, readable and writable, to PMD-size pages;
 * their contents stay. Only those that are dense. Of none of them may a forked process have a part.
 * Those that are moved have no fence any more: draw it again before memory of them is purged and
 * used anew. Bit i of what is returned: stretch i is done.
 */
uint32_t pg64_page_promote(void *run, size_t count);

/**
 * Give the memory of whole granules back; they read as zero afterwards. 0 or -errno.
 * Does not know about collapsed stretches: that is the arena's business.
 */
int pg64_page_purge(void *addr, size_t len);

/**
 * Split a collapsed stretch into base pages, so that a part of it can be purged and really is
 * freed: MADV_COLD on a part of a PMD-mapped folio splits it (mm/madvise.c,
 * madvise_cold_or_pageout_pte_range()). 0 or -errno.
 */
int pg64_page_split(void *stretch);

/**
 * Fence: a VMA boundary inside every PMD-size stretch of [addr, addr + len), so that neither a
 * page fault nor khugepaged can map a PMD-size page there (both need the whole stretch in one VMA;
 * thp_vma_suitable_order() in include/linux/huge_mm.h). One call and one VMA per stretch.
 * pg64_page_unfence() takes the boundaries away, which mremap() and deliberate promotion need.
 * Both return 0 or -errno, and are best effort.
 */
int pg64_page_fence(void *addr, size_t len);
int pg64_page_unfence(void *addr, size_t len);

/**
 * Touch the first page of memory that will get fences: VMAs that are cut out of one that was
 * touched can be one again without the fences, others cannot, since each gets an anon_vma of its
 * own. With the PMD size at "always" that would bring such a page, so the rest is another VMA
 * meanwhile; no mark stays. 0 or -errno: not touched.
 */
int pg64_page_touch_apart(void *addr, size_t len);

/** Does memory of @kind need a fence, as probed and as configured? */
bool pg64_page_needs_fence(enum pg64_mem kind);

/** Reset what was probed (tests). Not thread-safe. */
void pg64_page_reset(void);

#endif /* PG64_PAGE_H */
