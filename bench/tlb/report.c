/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "report.h"

#define NOTE                                                                                       \
	"a model of the TLBs, not a measurement: no speculation, no prefetched walks, no caches "  \
	"under the page tables"

static void json_string(FILE *file, const char *text)
{
	fputc('"', file);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(file, "\\%c", c);
		else if (c < ' ')
			fprintf(file, "\\u%04x", c);
		else
			fputc(c, file);
	}
	fputc('"', file);
}

static void json_pair(FILE *file, const char *name, const char *text)
{
	fprintf(file, "\"%s\": ", name);
	json_string(file, text);
	fputs(", ", file);
}

static void json_size(FILE *file, const char *name, struct tlb_size size)
{
	fprintf(file, "\"%s\": [%u, %u], ", name, size.entries, size.ways);
}

static void json_parameters(FILE *file, const struct tlb_geometry *geometry)
{
	fputs("    \"parameters\": {", file);
	json_size(file, "load", geometry->load);
	json_size(file, "load_large", geometry->load_large);
	json_size(file, "store", geometry->store);
	json_size(file, "l2", geometry->l2);
	json_size(file, "l2_large", geometry->l2_large);
	fprintf(file,
		"\"coalesce_pages\": %u, \"contpte\": %s, \"l2_hit_cycles\": %u, "
		"\"walk_cache\": [%u, %u, %u], \"reference_cycles\": %u},\n",
		geometry->coalesce_pages, geometry->contpte ? "true" : "false",
		geometry->l2_hit_cycles, geometry->walk_cache[0], geometry->walk_cache[1],
		geometry->walk_cache[2], geometry->reference_cycles);
}

static void json_policy(FILE *file, const struct report *report, unsigned int g, unsigned int p)
{
	const struct tlb_geometry *geometry = tlb_model_geometry(report->model, g);
	const struct tlb_policy *policy = tlb_model_policy(report->model, p);
	const struct tlb_counts counts = tlb_model_counts(report->model, g, p);

	fputs("     {\"model\": true, ", file);
	json_pair(file, "policy", policy->name);
	json_pair(file, "title", policy->title);
	fprintf(file,
		"\"page_bytes\": %" PRIu64 ", \"run_bytes\": %" PRIu64 ", \"entry_bytes\": %" PRIu64
		", \"accesses\": %" PRIu64 ", \"l1_misses\": %" PRIu64 ", \"l2_misses\": %" PRIu64
		", \"walks\": %" PRIu64 ", \"walk_references\": %" PRIu64
		", \"walk_cycles\": %" PRIu64 ", \"l2_hit_cycles\": %" PRIu64 "}%s\n",
		UINT64_C(1) << policy->page_shift, UINT64_C(1) << policy->run_shift,
		tlb_entry_bytes(geometry, policy), counts.accesses, counts.l1_misses, counts.walks,
		counts.walks, counts.references, tlb_walk_cycles(geometry, &counts),
		tlb_l2_hit_cycles(geometry, &counts), p + 1 < TLB_NR_POLICIES ? "," : "");
}

static void json_geometry(FILE *file, const struct report *report, unsigned int g)
{
	const struct tlb_geometry *geometry = tlb_model_geometry(report->model, g);

	fputs("  {", file);
	json_pair(file, "name", geometry->name);
	json_pair(file, "title", geometry->title);
	fputs("\"model\": true,\n    ", file);
	json_pair(file, "source", geometry->source);
	fputs("\n    \"assumed\": [", file);
	for (const char *const *text = geometry->assumed; *text; text++) {
		json_string(file, *text);
		fputs(text[1] ? ",\n      " : "],\n", file);
	}
	json_parameters(file, geometry);
	fputs("    \"policies\": [\n", file);
	for (unsigned int p = 0; p < TLB_NR_POLICIES; p++)
		json_policy(file, report, g, p);
	fprintf(file, "    ]}%s\n", g + 1 < report->nr_geometries ? "," : "");
}

void report_json(FILE *file, const struct report *report)
{
	fputs("{\"model\": true,\n ", file);
	json_pair(file, "note", NOTE);
	fputs("\n \"trace\": {", file);
	json_pair(file, "source", report->source);
	if (report->maps)
		json_pair(file, "maps", report->maps);
	fprintf(file,
		"\"loads\": %" PRIu64 ", \"stores\": %" PRIu64 ", \"instructions\": %" PRIu64
		", \"seen\": %" PRIu64 ", \"simulated\": %" PRIu64 ", \"counted\": %" PRIu64
		", \"skip\": %" PRIu64 ", \"warm\": %" PRIu64 ", \"limit\": %" PRIu64
		", \"every\": %" PRIu64 ", \"window\": %" PRIu64 "},\n",
		report->loads, report->stores, report->instructions, report->seen,
		report->simulated, report->counted, report->skip, report->warm, report->limit,
		report->every, report->window);
	fprintf(file, " \"nested_levels\": %u, \"run_bytes\": %u,\n \"geometries\": [\n",
		report->options->nested_levels, 1U << report->options->run_shift);
	for (unsigned int g = 0; g < report->nr_geometries; g++)
		json_geometry(file, report, g);
	fputs(" ]}\n", file);
}

void report_table(FILE *file, const struct report *report)
{
	fprintf(file,
		"MODEL: " NOTE ".\n%s: %" PRIu64 " of %" PRIu64 " accesses counted%s\n\n"
		"%-12s %-8s %7s %9s %9s %10s %8s %12s\n",
		report->source, report->counted, report->seen,
		report->options->nested_levels ? "; walks in two stages" : "", "processor",
		"memory", "entry", "L1 miss %", "L2 miss %", "walks", "ref/walk", "walk cyc/acc");
	for (unsigned int i = 0; i < report->nr_geometries * TLB_NR_POLICIES; i++) {
		unsigned int g = i / TLB_NR_POLICIES, p = i % TLB_NR_POLICIES;
		const struct tlb_geometry *geometry = tlb_model_geometry(report->model, g);
		const struct tlb_policy *policy = tlb_model_policy(report->model, p);
		const struct tlb_counts counts = tlb_model_counts(report->model, g, p);
		double accesses = counts.accesses ? (double)counts.accesses : 1;
		double walks = counts.walks ? (double)counts.walks : 1;

		fprintf(file, "%-12s %-8s %6" PRIu64 "K %9.3f %9.3f %10" PRIu64 " %8.2f %12.2f\n",
			geometry->name, policy->name, tlb_entry_bytes(geometry, policy) >> 10,
			100 * (double)counts.l1_misses / accesses,
			100 * (double)counts.walks / accesses, counts.walks,
			(double)counts.references / walks,
			(double)tlb_walk_cycles(geometry, &counts) / accesses);
	}
}
