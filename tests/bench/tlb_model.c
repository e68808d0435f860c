/* SPDX-License-Identifier: MIT */
/* The TLB model against what can be worked out on paper, and the parser of lackey's lines. */
#include <errno.h>

#include "test.h"

#include "model.h"
#include "synthetic.h"
#include "trace.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define BASE (UINT64_C(1) << 40)

enum { SCATTERED, RUN, LARGE, ONE, HUGE };

/* Small and regular, so that sums come out by hand. */
static const struct tlb_geometry plain = {
	.name = "plain",
	.load = {64, 64},
	.l2 = {1024, 1024},
	.coalesce_pages = 4,
	.l2_hit_cycles = 7,
	.walk_cache = {8, 8, 8},
	.reference_cycles = 10,
};
static const struct tlb_options usual = {.run_shift = 14};

static struct tlb_model *make(
	const struct tlb_geometry *geometry, const struct tlb_options *options)
{
	struct tlb_model *model = NULL;

	CHECK_EQ(tlb_model_new(&model, geometry, 1, options), 0);
	if (!model)
		exit(1);
	return model;
}

static void scan(struct tlb_model *model, uint64_t bytes, uint64_t step, bool counted)
{
	for (uint64_t at = 0; at < bytes; at += step)
		tlb_model_access(model, BASE + at, 8, false, counted);
}

/* A walk through memory misses once for each entry, whatever the levels. */
static void test_scan(void)
{
	static const unsigned int wanted[] = {16384, 4096, 4096, 1024, 32};
	struct tlb_model *model = make(&plain, &usual);

	scan(model, 64 * MIB, 64, true);
	for (unsigned int p = 0; p < TLB_NR_POLICIES; p++) {
		struct tlb_counts counts = tlb_model_counts(model, 0, p);

		CHECK_EQ(counts.accesses, MIB);
		CHECK_EQ(counts.l1_misses, wanted[p]);
		CHECK_EQ(counts.walks, wanted[p]);
	}
	tlb_model_free(model);
}

static void test_within_reach(void)
{
	struct tlb_model *model = make(&plain, &usual);

	for (int i = 0; i < 10; i++)
		scan(model, 64 * 4 * KIB, 512, true);
	CHECK_EQ(tlb_model_counts(model, 0, SCATTERED).l1_misses, 64);
	CHECK_EQ(tlb_model_counts(model, 0, RUN).l1_misses, 16);
	CHECK_EQ(tlb_model_counts(model, 0, ONE).l1_misses, 4);
	CHECK_EQ(tlb_model_counts(model, 0, HUGE).l1_misses, 1);
	tlb_model_free(model);
}

/* N + 1 pages in turn through N ways: LRU always throws out the one that is needed next. */
static void test_thrash(void)
{
	struct tlb_geometry sets = plain;
	struct tlb_model *model = make(&plain, &usual);

	for (int i = 0; i < 5; i++)
		scan(model, 65 * 4 * KIB, 4 * KIB, true);
	CHECK_EQ(tlb_model_counts(model, 0, SCATTERED).l1_misses, 5 * 65);
	CHECK_EQ(tlb_model_counts(model, 0, SCATTERED).walks, 65);
	CHECK_EQ(tlb_model_counts(model, 0, RUN).l1_misses, 17);
	tlb_model_free(model);

	/* Five pages of one set of four ways; as many of different sets stay. */
	sets.load = (struct tlb_size){64, 4};
	model = make(&sets, &usual);
	for (int i = 0; i < 5; i++)
		scan(model, 5 * 16 * 4 * KIB, 16 * 4 * KIB, true);
	CHECK_EQ(tlb_model_counts(model, 0, SCATTERED).l1_misses, 25);
	tlb_model_free(model);
	model = make(&sets, &usual);
	for (int i = 0; i < 5; i++)
		scan(model, 64 * 4 * KIB, 4 * KIB, true);
	CHECK_EQ(tlb_model_counts(model, 0, SCATTERED).l1_misses, 64);
	tlb_model_free(model);
}

static void test_entry_bytes(void)
{
	static const unsigned int wanted[][TLB_NR_POLICIES] = {
		/* none, 4, 16 pages, contpte */
		{4, 4, 4, 64, 2048},
		{4, 16, 16, 64, 2048},
		{4, 16, 64, 64, 2048},
		{4, 4, 64, 64, 2048},
	};

	for (unsigned int i = 0; i < 4; i++) {
		struct tlb_geometry geometry = plain;

		geometry.coalesce_pages = i == 3 ? 1 : 1U << 2 * i;
		geometry.contpte = i == 3;
		struct tlb_model *model = make(&geometry, &usual);
		for (unsigned int p = 0; p < TLB_NR_POLICIES; p++)
			CHECK_EQ(tlb_entry_bytes(&geometry, tlb_model_policy(model, p)),
				wanted[i][p] * KIB);
		scan(model, MIB, 4 * KIB, true);
		for (unsigned int p = 0; p < TLB_NR_POLICIES - 1; p++)
			CHECK_EQ(tlb_model_counts(model, 0, p).walks, 1024 / wanted[i][p]);
		tlb_model_free(model);
	}
}

/* Uniform over B bytes through an LRU of reach R: 1 - R / B miss, for each level. */
static void test_random(void)
{
	static const char *const streams[] = {"random:64M", "chase:64M"};
	static const double reach_kib[] = {4096, 16384, 16384, 65536, 1 << 21};

	for (int i = 0; i < 2; i++) {
		struct tlb_model *model = make(&plain, &usual);
		struct synthetic synthetic;

		CHECK_EQ(synthetic_parse(streams[i], &synthetic), 0);
		for (int n = 0; n < 300000; n++)
			tlb_model_access(
				model, BASE + synthetic_next(&synthetic), 1, false, n >= 100000);
		for (unsigned int p = 0; p < TLB_NR_POLICIES; p++) {
			double found = (double)tlb_model_counts(model, 0, p).walks / 200000;
			double wanted = 1 - reach_kib[p] / 65536;

			wanted = wanted < 0 ? 0 : wanted;
			test_judge(found > wanted - 0.02 && found < wanted + 0.02, __FILE__,
				__LINE__, "%s, policy %u: %f walks, not %f", streams[i], p, found,
				wanted);
		}
		tlb_model_free(model);
	}
}

/* Each line once before any comes again, and all of them. */
static void test_chase_is_a_cycle(void)
{
	enum { LINES = 1 << 14 };
	static unsigned char seen[LINES];
	struct synthetic synthetic;

	CHECK_EQ(synthetic_parse("chase:1M", &synthetic), 0);
	for (int i = 0; i < LINES; i++)
		seen[synthetic_next(&synthetic) / 64]++;
	for (int i = 0; i < LINES; i++)
		if (seen[i] != 1)
			CHECK_EQ(seen[i], 1);
}

static void test_walks(void)
{
	struct tlb_options nested = usual;
	struct tlb_model *model = make(&plain, &usual);
	struct tlb_counts counts;

	/* The first walk has all four levels to read (2 MiB: three), the next ones the last. */
	scan(model, 4 * KIB, 4 * KIB, true);
	CHECK_EQ(tlb_model_counts(model, 0, SCATTERED).references, 4);
	CHECK_EQ(tlb_model_counts(model, 0, HUGE).references, 3);
	scan(model, 4 * MIB, 4 * KIB, true);
	counts = tlb_model_counts(model, 0, SCATTERED);
	CHECK_EQ(counts.walks, 1024);
	CHECK_EQ(counts.references, 4 + 511 + 2 + 511);
	CHECK_EQ(tlb_model_counts(model, 0, HUGE).references, 3 + 1);
	CHECK_EQ(tlb_walk_cycles(&plain, &counts), 10 * (4 + 511 + 2 + 511));
	CHECK_EQ(tlb_l2_hit_cycles(&plain, &counts), 0);
	tlb_model_free(model);

	/* Two stages of four levels: 24 references, as the manuals have it. */
	nested.nested_levels = 4;
	model = make(&plain, &nested);
	scan(model, 4 * KIB, 4 * KIB, true);
	CHECK_EQ(tlb_model_counts(model, 0, SCATTERED).references, 24);
	tlb_model_free(model);
}

static void test_separate_arrays(void)
{
	struct tlb_geometry geometry = plain;

	geometry.store = (struct tlb_size){16, 16};
	geometry.load_large = (struct tlb_size){4, 4};
	struct tlb_model *model = make(&geometry, &usual);
	for (int i = 0; i < 4; i++)
		scan(model, 5 * 2 * MIB, 2 * MIB, true);
	CHECK_EQ(tlb_model_counts(model, 0, HUGE).l1_misses, 20);
	CHECK_EQ(tlb_model_counts(model, 0, HUGE).walks, 5);
	/* A store does not find what a load brought into the first level, only the second. */
	tlb_model_access(model, BASE, 8, true, true);
	CHECK_EQ(tlb_model_counts(model, 0, HUGE).l1_misses, 21);
	CHECK_EQ(tlb_model_counts(model, 0, HUGE).walks, 5);
	tlb_model_free(model);
}

/* Large pages only where they lie in a range as a whole; across two pages counts as both. */
static void test_ranges(void)
{
	const struct tlb_range ranges[] = {{BASE + 64 * KIB, BASE + 3 * 64 * KIB}};
	struct tlb_options options = usual;

	options.ranges = ranges;
	options.nr_ranges = 1;
	struct tlb_model *model = make(&plain, &options);
	scan(model, 4 * 64 * KIB, 4 * KIB, true);
	CHECK_EQ(tlb_model_counts(model, 0, SCATTERED).walks, 64);
	CHECK_EQ(tlb_model_counts(model, 0, RUN).walks, 32 + 8);
	CHECK_EQ(tlb_model_counts(model, 0, ONE).walks, 32 + 2);
	CHECK_EQ(tlb_model_counts(model, 0, HUGE).walks, 64);
	tlb_model_access(model, BASE + 4092, 8, false, true);
	CHECK_EQ(tlb_model_counts(model, 0, SCATTERED).accesses, 64 + 2);
	tlb_model_access(model, BASE + 4 * GIB, 8, false, false);
	CHECK_EQ(tlb_model_counts(model, 0, SCATTERED).accesses, 64 + 2);
	tlb_model_free(model);
}

static void test_refusals(void)
{
	struct tlb_geometry bad = plain;
	struct tlb_options options = usual;
	struct tlb_model *model;

	bad.l2.ways = 3;
	CHECK_EQ(tlb_model_new(&model, &bad, 1, &usual), -EINVAL);
	bad = plain;
	bad.coalesce_pages = 3;
	CHECK_EQ(tlb_model_new(&model, &bad, 1, &usual), -EINVAL);
	options.run_shift = 11;
	CHECK_EQ(tlb_model_new(&model, &plain, 1, &options), -EINVAL);
	CHECK_EQ(tlb_model_new(&model, tlb_geometries, tlb_nr_geometries, &usual), 0);
	for (unsigned int i = 0; i < tlb_nr_geometries; i++)
		CHECK(tlb_geometries[i].source[0] && tlb_geometries[i].assumed[0]);
	tlb_model_free(model);
}

static void test_lines(void)
{
	static const char *const bad[] = {" L 10,8", " L 10,0\n", " L 10\n", " L ,8\n", " X 10,8\n",
		" L 0x10,8\n", " L -1,8\n", " L 10,8 \n", " L 10,-8\n", "I 10,8\n", "== text\n",
		" L 11111111111111111,8\n", " L ffffffffffffffff,8\n", "L 10,8\n", " L 10,99999\n"};
	struct trace_access access;

	CHECK_EQ(trace_parse(" L 1fff000718,8\n", 16, &access), 1);
	CHECK(access.address == 0x1fff000718 && access.size_bytes == 8);
	CHECK(access.load && !access.store);
	CHECK_EQ(trace_parse(" S 10,16\n", 9, &access), 1);
	CHECK(!access.load && access.store);
	CHECK_EQ(trace_parse(" M 10,4\n", 8, &access), 1);
	CHECK(access.load && access.store);
	CHECK_EQ(trace_parse("I  0401ab70,3\n", 14, &access), 1);
	CHECK(!access.load && !access.store);
	CHECK_EQ(trace_parse("==29283== Jccs:\n", 16, &access), 0);
	CHECK_EQ(trace_parse("--29283-- x\n", 12, &access), 0);
	CHECK_EQ(trace_parse("\n", 1, &access), 0);
	CHECK_EQ(trace_parse(" L 1\0,8\n", 8, &access), -EINVAL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		test_judge(trace_parse(bad[i], strlen(bad[i]), &access) == -EINVAL, __FILE__,
			__LINE__, "taken: %s", bad[i]);
}

static void test_streams(void)
{
	static const char *const bad[] = {"random:", "random:63", "random:1T", "chase:3M",
		"stride:1M", "stride:1M:0", "stride:1M:2M", "walk:1M", "random:1M:1", "random:-1"};
	struct synthetic synthetic;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_EQ(synthetic_parse(bad[i], &synthetic), -EINVAL);
	CHECK_EQ(synthetic_parse("stride:10K:4K", &synthetic), 0);
	CHECK_EQ(synthetic_next(&synthetic), 0);
	CHECK_EQ(synthetic_next(&synthetic), 4096);
	CHECK_EQ(synthetic_next(&synthetic), 8192);
	CHECK_EQ(synthetic_next(&synthetic), 0);
}

int main(void)
{
	test_scan();
	test_within_reach();
	test_thrash();
	test_entry_bytes();
	test_random();
	test_chase_is_a_cycle();
	test_walks();
	test_separate_arrays();
	test_ranges();
	test_refusals();
	test_lines();
	test_streams();
	return test_result();
}
