/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

#define WALK_CACHES 3
#define CONTPTE_PAGES 16
#define MAX_NESTED_LEVELS 5

static const unsigned int walk_cache_shift[WALK_CACHES] = {21, 30, 39};

/* The sets of one TLB array, each in order of use, last used first. A key of 0 is an empty way. */
struct array {
	unsigned int sets, ways;
	uint64_t *keys;
};

enum { LOAD, LOAD_LARGE, STORE, L2, L2_LARGE, WALK_CACHE, NR_ARRAYS = WALK_CACHE + WALK_CACHES };

/* One geometry under one policy. */
struct sim {
	const struct tlb_geometry *geometry;
	const struct tlb_policy *policy;
	unsigned int entry_shift;
	struct array arrays[NR_ARRAYS];
	struct tlb_counts counts;
	const struct sim *same_as; /* behaves as that one does: not simulated twice */
};

struct tlb_model {
	struct tlb_options options;
	struct tlb_policy policies[TLB_NR_POLICIES];
	struct tlb_geometry *geometries;
	unsigned int nr_sims;
	size_t last_range; /* where the last address was found: the next is mostly there too */
	struct sim sims[];
};

static const struct tlb_policy policies[TLB_NR_POLICIES] = {
	{"4k", "4 KiB pages, scattered physically", TLB_SHIFT_4K, TLB_SHIFT_4K, false},
	{"4k-run", "4 KiB pages in contiguous runs", TLB_SHIFT_4K, 14, false},
	{"64k", "64 KiB of 16 contiguous pages", TLB_SHIFT_64K, TLB_SHIFT_64K, false},
	{"64k-one", "64 KiB, one entry in every TLB (what if)", TLB_SHIFT_64K, TLB_SHIFT_64K, true},
	{"2m", "2 MiB pages", TLB_SHIFT_2M, TLB_SHIFT_2M, true},
};

static unsigned int log2_floor(unsigned int value)
{
	return 31 - (unsigned int)__builtin_clz(value);
}

static unsigned int entry_shift(
	const struct tlb_geometry *geometry, const struct tlb_policy *policy)
{
	unsigned int run = policy->run_shift - TLB_SHIFT_4K;
	unsigned int coalesce = log2_floor(geometry->coalesce_pages);

	if (policy->one_entry)
		return policy->page_shift;
	/* The kernel marks a group for contpte only where one folio fills it, not where pages
	 * happen to lie side by side. */
	if (geometry->contpte && policy->page_shift == TLB_SHIFT_64K)
		return TLB_SHIFT_64K;
	return TLB_SHIFT_4K + (coalesce < run ? coalesce : run);
}

uint64_t tlb_entry_bytes(const struct tlb_geometry *geometry, const struct tlb_policy *policy)
{
	return UINT64_C(1) << entry_shift(geometry, policy);
}

static bool size_good(struct tlb_size size, bool needed)
{
	if (size.entries == 0)
		return !needed;
	return size.ways > 0 && size.ways <= size.entries && size.entries % size.ways == 0;
}

static bool geometry_good(const struct tlb_geometry *geometry)
{
	unsigned int pages = geometry->coalesce_pages;

	return size_good(geometry->load, true) && size_good(geometry->load_large, false) &&
	       size_good(geometry->store, false) && size_good(geometry->l2, true) &&
	       size_good(geometry->l2_large, false) && pages && pages <= CONTPTE_PAGES &&
	       (pages & (pages - 1)) == 0;
}

static int array_new(struct array *array, struct tlb_size size)
{
	if (size.entries == 0)
		return 0;
	array->ways = size.ways;
	array->sets = size.entries / size.ways;
	array->keys = calloc(size.entries, sizeof(*array->keys));
	return array->keys ? 0 : -ENOMEM;
}

/* Looks the number up among entries of 1 << shift bytes, and makes it the last used one. */
static bool array_use(struct array *array, uint64_t number, unsigned int shift)
{
	uint64_t *set = array->keys + number % array->sets * array->ways;
	const uint64_t key = number << 6 | shift;
	unsigned int way = 0;

	if (set[0] == key)
		return true;
	while (way < array->ways - 1 && set[way] != key)
		way++;
	bool hit = set[way] == key;
	memmove(set + 1, set, way * sizeof(*set));
	set[0] = key;
	return hit;
}

static int sim_new(
	struct sim *sim, const struct tlb_geometry *geometry, const struct tlb_policy *policy)
{
	struct tlb_size sizes[NR_ARRAYS] = {geometry->load, geometry->load_large, geometry->store,
		geometry->l2, geometry->l2_large};
	int error = 0;

	sim->geometry = geometry;
	sim->policy = policy;
	sim->entry_shift = entry_shift(geometry, policy);
	for (int i = 0; i < WALK_CACHES; i++) {
		unsigned int entries = geometry->walk_cache[i];

		sizes[WALK_CACHE + i] = (struct tlb_size){entries, entries};
	}
	for (int i = 0; i < NR_ARRAYS && !error; i++)
		error = array_new(&sim->arrays[i], sizes[i]);
	return error;
}

/* Two policies of one geometry with the same entries differ only where ranges cut pages off. */
static void find_same(struct tlb_model *model, unsigned int index)
{
	struct sim *sim = &model->sims[index];

	for (unsigned int i = index - index % TLB_NR_POLICIES; i < index && !model->options.ranges;
		i++)
		if (model->sims[i].entry_shift == sim->entry_shift && !model->sims[i].same_as)
			sim->same_as = &model->sims[i];
}

static int apply_options(struct tlb_model *model, unsigned int nr_geometries)
{
	const struct tlb_options *options = &model->options;

	memcpy(model->policies, policies, sizeof(policies));
	model->policies[1].run_shift = options->run_shift;
	if (options->run_shift < TLB_SHIFT_4K || options->run_shift > TLB_SHIFT_2M ||
		options->nested_levels > MAX_NESTED_LEVELS)
		return -EINVAL;
	for (unsigned int i = 0; i < nr_geometries; i++) {
		struct tlb_geometry *geometry = &model->geometries[i];

		if (options->reference_cycles)
			geometry->reference_cycles = options->reference_cycles;
		if (options->coalesce_pages)
			geometry->coalesce_pages = options->coalesce_pages;
		if (!geometry_good(geometry))
			return -EINVAL;
	}
	return 0;
}

int tlb_model_new(struct tlb_model **made, const struct tlb_geometry *geometries,
	unsigned int nr_geometries, const struct tlb_options *options)
{
	unsigned int nr_sims = nr_geometries * TLB_NR_POLICIES;
	struct tlb_model *model = calloc(1, sizeof(*model) + nr_sims * sizeof(model->sims[0]));
	int error = -ENOMEM;

	if (!model)
		return -ENOMEM;
	model->options = *options;
	model->nr_sims = nr_sims;
	model->geometries = calloc(nr_geometries, sizeof(*geometries));
	if (model->geometries) {
		memcpy(model->geometries, geometries, nr_geometries * sizeof(*geometries));
		error = apply_options(model, nr_geometries);
	}
	for (unsigned int i = 0; i < nr_sims && !error; i++) {
		error = sim_new(&model->sims[i], &model->geometries[i / TLB_NR_POLICIES],
			&model->policies[i % TLB_NR_POLICIES]);
		find_same(model, i);
	}
	if (error)
		tlb_model_free(model);
	else
		*made = model;
	return error;
}

void tlb_model_free(struct tlb_model *model)
{
	if (!model)
		return;
	for (unsigned int i = 0; i < model->nr_sims; i++)
		for (int j = 0; j < NR_ARRAYS; j++)
			free(model->sims[i].arrays[j].keys);
	free(model->geometries);
	free(model);
}

const struct tlb_geometry *tlb_model_geometry(const struct tlb_model *model, unsigned int geometry)
{
	return &model->geometries[geometry];
}

const struct tlb_policy *tlb_model_policy(const struct tlb_model *model, unsigned int policy)
{
	return &model->policies[policy];
}

/* The range that has the address; NULL if none has. */
static const struct tlb_range *range_of(struct tlb_model *model, uint64_t address)
{
	const struct tlb_range *ranges = model->options.ranges;
	size_t low = 0, high = model->options.nr_ranges;

	if (high == 0)
		return NULL;
	if (address >= ranges[model->last_range].start && address < ranges[model->last_range].end)
		return &ranges[model->last_range];
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (address >= ranges[middle].end)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == model->options.nr_ranges || address < ranges[low].start)
		return NULL;
	model->last_range = low;
	return &ranges[low];
}

/* What is on a large page of this policy lies on it as a whole; the rest is 4 KiB pages. */
static bool fits(const struct sim *sim, const struct tlb_range *range, uint64_t address)
{
	unsigned int shift = sim->policy->page_shift;

	if (sim->policy->run_shift > shift)
		shift = sim->policy->run_shift;
	uint64_t start = address >> shift << shift;

	return range && start >= range->start && start + (UINT64_C(1) << shift) <= range->end;
}

/* References to page tables of a walk that starts where the paging-structure caches let it. */
static unsigned int walk(struct sim *sim, uint64_t address, bool large)
{
	unsigned int references = 1;

	for (int i = large ? 1 : 0; i < WALK_CACHES; i++) {
		struct array *cache = &sim->arrays[WALK_CACHE + i];
		unsigned int shift = walk_cache_shift[i];

		if (cache->keys && array_use(cache, address >> shift, shift))
			break;
		references++;
	}
	return references;
}

static struct array *either(struct sim *sim, bool first, int one, int other)
{
	return &sim->arrays[first && sim->arrays[one].keys ? one : other];
}

static void sim_access(struct sim *sim, uint64_t address, unsigned int shift, bool store,
	struct tlb_counts *counts, unsigned int nested_levels)
{
	const bool large = shift >= TLB_SHIFT_2M;
	const uint64_t number = address >> shift;
	struct array *l1 = either(sim, large, LOAD_LARGE, LOAD);

	if (store && sim->arrays[STORE].keys)
		l1 = &sim->arrays[STORE];
	counts->accesses++;
	if (array_use(l1, number, shift))
		return;
	counts->l1_misses++;
	if (array_use(either(sim, large, L2_LARGE, L2), number, shift))
		return;
	counts->walks++;
	unsigned int references = walk(sim, address, large);

	/* In two stages each guest table, and the address itself, is found by a walk of the host's
	 * tables. No cache of such walks is modelled: an upper bound. */
	if (nested_levels)
		references = references * (nested_levels + 1) + nested_levels;
	counts->references += references;
}

static void access_page(struct tlb_model *model, uint64_t address, bool store, bool counted)
{
	const struct tlb_range *range = range_of(model, address);
	struct tlb_counts ignored = {0};

	for (unsigned int i = 0; i < model->nr_sims; i++) {
		struct sim *sim = &model->sims[i];
		unsigned int shift = sim->entry_shift;

		if (sim->same_as)
			continue;
		if (model->options.ranges && !fits(sim, range, address))
			shift = TLB_SHIFT_4K;
		sim_access(sim, address, shift, store, counted ? &sim->counts : &ignored,
			model->options.nested_levels);
	}
}

void tlb_model_access(struct tlb_model *model, uint64_t address, unsigned int size_bytes,
	bool store, bool counted)
{
	const uint64_t last = address + (size_bytes ? size_bytes - 1 : 0);

	access_page(model, address, store, counted);
	for (uint64_t page = (address >> TLB_SHIFT_4K) + 1; page <= last >> TLB_SHIFT_4K; page++)
		access_page(model, page << TLB_SHIFT_4K, store, counted);
}

struct tlb_counts tlb_model_counts(
	const struct tlb_model *model, unsigned int geometry, unsigned int policy)
{
	const struct sim *sim = &model->sims[geometry * TLB_NR_POLICIES + policy];

	return sim->same_as ? sim->same_as->counts : sim->counts;
}

uint64_t tlb_walk_cycles(const struct tlb_geometry *geometry, const struct tlb_counts *counts)
{
	return counts->references * geometry->reference_cycles;
}

uint64_t tlb_l2_hit_cycles(const struct tlb_geometry *geometry, const struct tlb_counts *counts)
{
	return (counts->l1_misses - counts->walks) * geometry->l2_hit_cycles;
}
