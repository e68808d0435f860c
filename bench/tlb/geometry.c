/* SPDX-License-Identifier: MIT */
/*
 * The processors of the model. `source` names where the documented numbers were read; a number in
 * `assumed` was found in no document that we could read, and says why it is what it is. README.md
 * has the same as a table. The SOG is AMD's Software Optimization Guide; we had what others quote
 * of it, not the guide.
 */
#include "model.h"

#define LIST(...)                                                                                  \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

#define ASSUMED_WALK                                                                               \
	"walk_cache: 32, 16 and 8 entries, fully associative: no document says",                   \
		"reference_cycles: 20, a page table in the L2 cache; from memory it is ten times " \
		"that"

#define ASSUMED_COMMON                                                                             \
	ASSUMED_WALK, "replacement: LRU; sets chosen by the low bits of the page's number"

#define AMD_EVENTS                                                                                 \
	"coalescing: AMD's event PMCx045 as the Linux perf tables for amdzen4 and amdzen5 state "  \
	"it: \"a coalesced page is a 16k page created from four adjacent 4k pages\""

#define ASSUMED_AMD                                                                                \
	"coalesce_pages in the first level: as in the second, which the event counts",             \
		"coalesce_pages for 64 KiB: four entries of 16 KiB; nothing larger is documented"

const struct tlb_geometry tlb_geometries[] = {
	{
		.name = "zen4",
		.title = "AMD Zen 4",
		.load = {72, 72},
		.l2 = {3072, 12},
		.coalesce_pages = 4,
		.l2_hit_cycles = 7,
		.walk_cache = {32, 16, 8},
		.reference_cycles = 20,
		.source = "entries: CPUID Fn8000_0005 (FF48FF40) and Fn8000_0006 (5C002200, "
			  "6C004200) of an EPYC 9004, the same in the InstLatx64 dump of Genoa; "
			  "l2_hit_cycles: chipsandcheese.com, Zen 4 (7 to 8); " AMD_EVENTS,
		.assumed = LIST("l2.ways: 12, which makes a power of two of sets; InstLatx64 "
				"decodes CPUID as 8 ways for 4 KiB and 6 for 2 MiB",
			ASSUMED_AMD, ASSUMED_COMMON),
	},
	{
		.name = "zen5",
		.title = "AMD Zen 5",
		.load = {96, 96},
		.l2 = {4096, 16},
		.coalesce_pages = 4,
		.l2_hit_cycles = 7,
		.walk_cache = {32, 16, 8},
		.reference_cycles = 20,
		.source = "load: CPUID Fn8000_0005 (FF60FF40) in the InstLatx64 dump of Turin; "
			  "load, l2: SOG 58455 as quoted by jia.je, \"AMD Zen 5\", who also "
			  "measured the 96 and l2_hit_cycles (4 to 11 cycles); " AMD_EVENTS,
		.assumed = LIST(ASSUMED_AMD, ASSUMED_COMMON),
	},
	{
		.name = "golden-cove",
		.title = "Intel Golden Cove",
		.load = {96, 6},
		.load_large = {32, 4},
		.store = {16, 16},
		.l2 = {2048, 16},
		.l2_large = {1024, 8},
		.coalesce_pages = 1,
		.l2_hit_cycles = 7,
		.walk_cache = {32, 16, 8},
		.reference_cycles = 20,
		.source = "load, load_large, store, l2.entries: Intel as quoted by jia.je, \"Intel "
			  "Golden Cove\", who also measured the 96 and l2_hit_cycles (5 to 12 "
			  "cycles); l2.ways: Computer Architecture: A Quantitative Approach, on "
			  "the i9-12900, from a reader's notes; "
			  "load_large, store, l2_large: CPUID leaf 18h in the InstLatx64 dumps of "
			  "Sapphire Rapids and Alder Lake",
		.assumed = LIST("load.entries: CPUID leaf 18h says 64 of 4 ways for 4 KiB loads; "
				"the quoted and measured 96 is used",
			"l2_large: the leaf gives 2 MiB one of two arrays of 1024 entries that "
			"4 KiB may use as well; here the two sizes do not displace each other",
			"coalesce_pages: 1; no coalescing is documented", ASSUMED_COMMON),
	},
	{
		.name = "neoverse-v2",
		.title = "Arm Neoverse V2",
		.load = {48, 48},
		.l2 = {2048, 8},
		.coalesce_pages = 1,
		.contpte = true,
		.l2_hit_cycles = 6,
		.walk_cache = {32, 16, 8},
		.reference_cycles = 20,
		.source = "load (4 KiB, 16 KiB, 64 KiB, 2 MiB and 512 MiB entries), l2, "
			  "l2_hit_cycles: Technical Reference Manual 102375 as quoted by jia.je, "
			  "\"ARM Neoverse V2\", who also measured the 48; contpte: Linux "
			  "arch/arm64/mm/contpte.c, 16 entries of 4 KiB",
		.assumed = LIST(
			"l2: holds 64 KiB as one entry, as the manual of the Cortex-X925 "
			"says of its second level; that of the V2 is silent in what we read",
			"coalesce_pages: 1 for pages that Linux did not mark; some Arm cores "
			"coalesce four (Cortex-A76 manual, A6.6)",
			ASSUMED_COMMON),
	},
};

const unsigned int tlb_nr_geometries = sizeof(tlb_geometries) / sizeof(tlb_geometries[0]);
