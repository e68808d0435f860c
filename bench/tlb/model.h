/* SPDX-License-Identifier: MIT */
/*
 * A model of data TLBs: what a stream of addresses would miss in the TLBs of a stated processor,
 * for each of several ways of mapping the memory, all in one pass. Not a measurement: README.md
 * says what is left out. One thread; nothing here is safe for two.
 */
#ifndef TLB_MODEL_H
#define TLB_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TLB_SHIFT_4K = 12, TLB_SHIFT_64K = 16, TLB_SHIFT_2M = 21 };

/* ways == entries: fully associative. entries == 0: there is no such array. Replacement is LRU. */
struct tlb_size {
	unsigned int entries, ways;
};

/* One processor. geometry.c has the table, with where each number comes from. */
struct tlb_geometry {
	const char *name, *title;
	struct tlb_size load; /* first level, for loads, and for stores if there is no `store` */
	struct tlb_size load_large; /* the same for 2 MiB entries; none: they are in `load` */
	struct tlb_size store; /* first level for stores, all sizes */
	struct tlb_size l2, l2_large;
	unsigned int coalesce_pages; /* contiguous, aligned 4 KiB pages that one entry can hold */
	bool contpte; /* a marked group of 16 is one entry in both levels */
	unsigned int l2_hit_cycles; /* what a miss in the first level costs that hits the second */
	/* Paging-structure caches: entries for 2 MiB, 1 GiB and 512 GiB of addresses. */
	unsigned int walk_cache[3];
	unsigned int reference_cycles; /* of one reference of a walk to a page table, on average */
	const char *source;
	const char *const *assumed; /* what no document says; ends with NULL */
};

/* One way of mapping memory: what size of page, and how much of it lies together physically. */
struct tlb_policy {
	const char *name, *title;
	unsigned int page_shift, run_shift;
	bool one_entry; /* as if every TLB held a page of this size as one entry */
};

struct tlb_range {
	uint64_t start, end;
};

struct tlb_options {
	unsigned int run_shift; /* of the policy "4k-run" */
	unsigned int nested_levels; /* 0: no second stage; else levels of the host's page tables */
	unsigned int reference_cycles; /* 0: as the geometry says */
	unsigned int coalesce_pages; /* 0: as the geometry says */
	/* Where large pages may be; NULL: everywhere. The caller's; sorted, apart. */
	const struct tlb_range *ranges;
	size_t nr_ranges;
};

struct tlb_counts {
	uint64_t accesses, l1_misses, walks, references;
};

struct tlb_model;

extern const struct tlb_geometry tlb_geometries[];
extern const unsigned int tlb_nr_geometries;

#define TLB_NR_POLICIES 5

/* Both live as long as the model. policy < TLB_NR_POLICIES. */
const struct tlb_geometry *tlb_model_geometry(const struct tlb_model *model, unsigned int geometry);
const struct tlb_policy *tlb_model_policy(const struct tlb_model *model, unsigned int policy);

/* Bytes that one TLB entry covers where the policy applies. */
uint64_t tlb_entry_bytes(const struct tlb_geometry *geometry, const struct tlb_policy *policy);

/*
 * The geometries are copied, with the options applied. Returns 0, -EINVAL for a geometry or an
 * option that cannot be, or -ENOMEM.
 */
int tlb_model_new(struct tlb_model **model, const struct tlb_geometry *geometries,
	unsigned int nr_geometries, const struct tlb_options *options);
void tlb_model_free(struct tlb_model *model);

/*
 * One load or store of size_bytes. It counts as an access of each 4 KiB page that it touches.
 * counted == false: the TLBs are warmed, nothing is counted.
 */
void tlb_model_access(struct tlb_model *model, uint64_t address, unsigned int size_bytes,
	bool store, bool counted);

struct tlb_counts tlb_model_counts(
	const struct tlb_model *model, unsigned int geometry, unsigned int policy);

/* Cycles of all walks of these counts, and of first-level misses that the second level served. */
uint64_t tlb_walk_cycles(const struct tlb_geometry *geometry, const struct tlb_counts *counts);
uint64_t tlb_l2_hit_cycles(const struct tlb_geometry *geometry, const struct tlb_counts *counts);

#endif
