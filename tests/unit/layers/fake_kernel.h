/* SPDX-License-Identifier: MIT */
/*
 * A kernel for the page and arena layers: address space that is real memory, with a model beside
 * it of what a kernel would know of each base page. Not thread-safe.
 *
 * Neighbouring pages whose VMA properties are equal are one VMA, as the real kernel merges them.
 */
#ifndef PG64_FAKE_KERNEL_H
#define PG64_FAKE_KERNEL_H

#include "page/page.h"

/** Address space that the fake hands out. */
#define FAKE_SPACE (24 * PG64_GIB)

/* Advice values that headers may lack. */
#define FAKE_COLD 20
#define FAKE_DONTNEED_LOCKED 24
#define FAKE_COLLAPSE 25
#define FAKE_PAGESIZE_64K 164

struct fake_kernel {
	/* What this kernel can do. */
	bool mthp, pmd; /* 64 KiB and PMD-size pages by MADV_HUGEPAGE */
	bool shmem_mthp; /* the same for shared memory */
	bool patched; /* MADV_PAGESIZE_64K */
	bool names; /* PR_SET_VMA_ANON_NAME */
	bool collapse_lies; /* MADV_COLLAPSE returns 0 and does nothing */
	bool locked; /* mlockall(MCL_FUTURE) */
	/* Errors: 0, or -errno of every such call. */
	int refuse[256]; /* madvise, by advice */
	int mincore_error, name_error, fixed_error;
	int fences_there; /* what vma_count() finds, or -errno; 0: the truth */
	size_t space_limit, writable_limit; /* RLIMIT_AS, RLIMIT_DATA; bytes */
	uint64_t room; /* what is left before a memory limit */
	uint64_t now_ns; /* the clock; stands still but for the two below */
	uint64_t drain_ns,
		collapse_ns; /* what MADV_COLLAPSE takes: a call, and each stretch of it */
	/* One stretch that cannot be collapsed, and why: a call goes on after -EAGAIN only. */
	char *stuck;
	int stuck_error;
	/* Called in a touch, before it takes effect: what another thread does in the meantime. */
	void (*in_touch)(char *addr);
	/* What happened. */
	unsigned int advised[256], mmaps, munmaps, mprotects, mincores, named, vma_counts;
	unsigned int faults, rooms;
	size_t space, writable; /* bytes in use */
	size_t split; /* PMD-size pages that MADV_COLD split */
};

extern struct fake_kernel fake;

/** Start over: no memory mapped, all features off but names, and collapse; page layer on it. */
void fake_reset(void);

/** Start of the address space, aligned to 1 GiB. */
char *fake_space(void);

/** Write @len bytes of @value as a program does, with the page faults that this takes. */
void fake_write(char *addr, size_t len, int value);

bool fake_is_mapped(const char *addr);
bool fake_is_writable(const char *addr);
/** What the program does that gives memory back behind pg64's back. */
void fake_drop(char *addr, size_t len);

/** Bytes present in [addr, addr + len). */
size_t fake_present(const char *addr, size_t len);
/** Bytes of memory that partly unmapped PMD-size pages still hold in [addr, addr + len). */
size_t fake_stranded(const char *addr, size_t len);
/** log2 of the pages of the folio at @addr. */
unsigned int fake_order(const char *addr);
/** Is there a VMA boundary inside [addr, addr + len)? */
bool fake_has_boundary(const char *addr, size_t len);
/** Is MADV_HUGEPAGE or MADV_PAGESIZE_64K in force at @addr? */
bool fake_is_advised(const char *addr);
/** Does all of [addr, addr + len) read as zero? */
bool fake_is_zero(const char *addr, size_t len);

#endif /* PG64_FAKE_KERNEL_H */
