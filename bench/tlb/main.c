/* SPDX-License-Identifier: MIT */
/*
 * tlb-sim: a trace of lackey on standard input, or a synthetic stream, through the TLB model.
 * bench/tlb-model runs it; --help says what it takes.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "report.h"
#include "synthetic.h"
#include "trace.h"
#include "walk.h"

#define EXIT_USAGE 2
/* A synthetic stream's memory starts here: aligned for every size of page. */
#define SYNTHETIC_BASE (UINT64_C(1) << 40)
#define SYNTHETIC_COUNT 2000000

struct run {
	struct tlb_options options;
	struct tlb_range *ranges;
	struct report report;
	struct synthetic synthetic;
	struct tlb_model *model;
	const char *json;
	bool is_synthetic, walk, huge, instructions;
};

static const char help[] =
	"usage: tlb-sim [OPTION]... < TRACE          (valgrind --tool=lackey --trace-mem=yes)\n"
	"       tlb-sim --synthetic random:BYTES | stride:BYTES:STEP | chase:BYTES [OPTION]...\n"
	"A model of data TLBs, never a measurement. Amounts take K, M and G.\n"
	"  --skip N            pass over the first N accesses\n"
	"  --warm N            simulate the next N, but do not count them (synthetic: 2,000,000)\n"
	"  --limit N           count N accesses and stop (synthetic: 2,000,000; 0: all)\n"
	"  --every E --window W  simulate the first W of each E accesses; the first eighth of "
	"each\n"
	"                      window warms the TLBs and does not count\n"
	"  --maps FILE         large pages only in these ranges (START-END in hexadecimal)\n"
	"  --instructions      instruction fetches as loads as well\n"
	"  --run BYTES         contiguous runs of the policy 4k-run (16K)\n"
	"  --coalesce PAGES    what an entry can hold, in place of each geometry's number\n"
	"  --reference-cycles N  cost of one reference of a walk, likewise\n"
	"  --nested[=LEVELS]   walks in two stages, the host's tables with LEVELS levels (4)\n"
	"  --json FILE         write JSON as well\n"
	"  --walk small|huge   with --synthetic: no model, but the same reads of real memory "
	"(after\n"
	"                      --warm; --limit 0: none), on 4 KiB pages or with 2 MiB asked for\n";

static int usage_error(const char *option, const char *value, const char *wanted)
{
	fprintf(stderr, "tlb-sim: %s %s: %s\n", option, value, wanted);
	return EXIT_USAGE;
}

static void take(struct run *run, const struct trace_access *access)
{
	struct report *report = &run->report;
	const uint64_t index = report->seen - report->skip;
	bool counted = index >= report->warm;

	if (report->seen++ < report->skip)
		return;
	if (report->every) {
		if (index % report->every >= report->window)
			return;
		counted = counted && index % report->every >= report->window / 8;
	}
	report->simulated++;
	report->counted += counted;
	if (access->load || !access->store)
		tlb_model_access(run->model, access->address, access->size_bytes, false, counted);
	if (access->store)
		tlb_model_access(run->model, access->address, access->size_bytes, true, counted);
}

static bool finished(const struct report *report)
{
	return report->limit && report->counted >= report->limit;
}

static int read_trace(struct run *run)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	uint64_t number = 0;
	int found = 0;

	while (!finished(&run->report) && (len = getline(&line, &room, stdin)) > 0) {
		struct trace_access access;

		number++;
		found = trace_parse(line, (size_t)len, &access);
		if (found < 0)
			break;
		if (found == 0)
			continue;
		run->report.loads += access.load;
		run->report.stores += access.store;
		run->report.instructions += !access.load && !access.store;
		if (access.load || access.store || run->instructions)
			take(run, &access);
	}
	if (found < 0)
		fprintf(stderr, "tlb-sim: line %" PRIu64 ": %s: %.*s\n", number,
			line[len - 1] == '\n' ? "not a line of lackey's" : "truncated",
			(int)strcspn(line, "\n"), line);
	free(line);
	return found < 0 ? EXIT_USAGE : 0;
}

static void run_synthetic(struct run *run)
{
	struct synthetic synthetic = run->synthetic;

	while (!finished(&run->report)) {
		struct trace_access access = {
			.address = SYNTHETIC_BASE + synthetic_next(&synthetic),
			.size_bytes = 1,
			.load = true,
		};

		run->report.loads++;
		take(run, &access);
	}
}

static int walk_only(const struct run *run)
{
	double huge_part;
	int error =
		walk(run->synthetic, run->report.warm + run->report.limit, run->huge, &huge_part);

	if (error) {
		fprintf(stderr, "tlb-sim: --walk: %s\n", strerror(-error));
		return 1;
	}
	printf("huge_part %.4f\n", huge_part);
	return 0;
}

enum {
	SKIP = 256,
	WARM,
	LIMIT,
	EVERY,
	WINDOW,
	MAPS,
	INSTRUCTIONS,
	RUN,
	COALESCE,
	REFERENCE,
	NESTED,
	JSON,
	WALK,
	SYNTHETIC,
	SOURCE,
	HELP
};

static const struct option options[] = {
	{"skip", required_argument, NULL, SKIP},
	{"warm", required_argument, NULL, WARM},
	{"limit", required_argument, NULL, LIMIT},
	{"every", required_argument, NULL, EVERY},
	{"window", required_argument, NULL, WINDOW},
	{"maps", required_argument, NULL, MAPS},
	{"instructions", no_argument, NULL, INSTRUCTIONS},
	{"run", required_argument, NULL, RUN},
	{"coalesce", required_argument, NULL, COALESCE},
	{"reference-cycles", required_argument, NULL, REFERENCE},
	{"nested", optional_argument, NULL, NESTED},
	{"json", required_argument, NULL, JSON},
	{"walk", required_argument, NULL, WALK},
	{"synthetic", required_argument, NULL, SYNTHETIC},
	{"source", required_argument, NULL, SOURCE},
	{"help", no_argument, NULL, HELP},
	{NULL, 0, NULL, 0},
};

static int load_maps(struct run *run, const char *path)
{
	unsigned int bad_line;
	int error = trace_ranges(path, &run->ranges, &run->options.nr_ranges, &bad_line);

	if (error && bad_line)
		fprintf(stderr, "tlb-sim: %s: line %u: not START-END in hexadecimal\n", path,
			bad_line);
	else if (error)
		fprintf(stderr, "tlb-sim: %s: %s\n", path, strerror(-error));
	else if (run->options.nr_ranges == 0)
		fprintf(stderr, "tlb-sim: %s: no ranges\n", path);
	run->options.ranges = run->ranges;
	run->report.maps = path;
	return error || run->options.nr_ranges == 0 ? EXIT_USAGE : 0;
}

static int set_small(struct run *run, int option, uint64_t value)
{
	const unsigned int small = (unsigned int)value;

	if (value == 0 || value > 1 << 21)
		return -EINVAL;
	switch (option) {
	case RUN:
		run->options.run_shift = 31 - (unsigned int)__builtin_clz(small);
		return small & (small - 1) || run->options.run_shift < TLB_SHIFT_4K ? -EINVAL : 0;
	case COALESCE:
		run->options.coalesce_pages = small;
		return small & (small - 1) || small > 16 ? -EINVAL : 0;
	case REFERENCE:
		run->options.reference_cycles = small;
		return 0;
	default:
		run->options.nested_levels = small;
		return small > 5 ? -EINVAL : 0;
	}
}

static int set_amount(struct run *run, int option, const char *text)
{
	struct report *report = &run->report;
	uint64_t *const amounts[] = {
		&report->skip, &report->warm, &report->limit, &report->every, &report->window};
	const char *end;
	uint64_t value;

	if (parse_amount(text, &value, &end) || *end)
		return -EINVAL;
	if (option > WINDOW)
		return set_small(run, option, value);
	*amounts[option - SKIP] = value;
	return 0;
}

/* One option. Returns 0, EXIT_USAGE, or -1 after --help. */
static int set_option(struct run *run, int option)
{
	switch (option) {
	case MAPS:
		return load_maps(run, optarg);
	case INSTRUCTIONS:
		run->instructions = true;
		return 0;
	case JSON:
		run->json = optarg;
		return 0;
	case WALK:
		run->walk = true;
		run->huge = !strcmp(optarg, "huge");
		return run->huge || !strcmp(optarg, "small")
			       ? 0
			       : usage_error("--walk", optarg, "not small or huge");
	case SOURCE:
		run->report.source = optarg;
		return 0;
	case SYNTHETIC:
		run->is_synthetic = true;
		run->report.source = optarg;
		return synthetic_parse(optarg, &run->synthetic)
			       ? usage_error("--synthetic", optarg,
					 "not random:BYTES, stride:BYTES:STEP or chase:BYTES")
			       : 0;
	case HELP:
		fputs(help, stdout);
		return -1;
	case '?':
		return EXIT_USAGE;
	default:
		if (option == NESTED && !optarg)
			optarg = (char *)"4";
		return set_amount(run, option, optarg)
			       ? usage_error("an option's value", optarg, "not allowed; see --help")
			       : 0;
	}
}

static int check_options(struct run *run, bool extra)
{
	struct report *report = &run->report;

	if (extra)
		return usage_error("too many", "words", "see --help");
	if ((report->every == 0) != (report->window == 0) || report->window > report->every)
		return usage_error("--every", "--window", "both, and E no less than W");
	if (run->is_synthetic && !run->walk && !report->limit)
		report->limit = SYNTHETIC_COUNT;
	if (run->walk && (!run->is_synthetic || report->every || report->skip || run->json))
		return usage_error(
			"--walk", "", "needs --synthetic, takes --warm and --limit only");
	return 0;
}

static int write_report(const struct run *run)
{
	FILE *file;

	report_table(stdout, &run->report);
	if (!run->json)
		return 0;
	file = fopen(run->json, "we");
	if (file) {
		report_json(file, &run->report);
		if (!ferror(file) && fclose(file) == 0)
			return 0;
	}
	fprintf(stderr, "tlb-sim: %s: %s\n", run->json, strerror(errno));
	return 1;
}

static int simulate(struct run *run)
{
	int error = tlb_model_new(&run->model, tlb_geometries, tlb_nr_geometries, &run->options);
	int result = 0;

	if (error) {
		fprintf(stderr, "tlb-sim: %s\n", strerror(-error));
		return 1;
	}
	run->report.model = run->model;
	run->report.nr_geometries = tlb_nr_geometries;
	run->report.options = &run->options;
	if (run->is_synthetic)
		run_synthetic(run);
	else
		result = read_trace(run);
	if (result == 0 && run->report.counted == 0) {
		fprintf(stderr, "tlb-sim: no access was counted, of %" PRIu64 " seen\n",
			run->report.seen);
		return 1;
	}
	if (result == 0)
		result = write_report(run);
	return result;
}

int main(int argc, char **argv)
{
	static struct run run = {
		.options = {.run_shift = 14},
		.report = {.source = "standard input", .warm = UINT64_MAX},
	};
	int option, result = 0;

	while (result == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
		result = set_option(&run, option);
	if (run.report.warm == UINT64_MAX)
		run.report.warm = run.is_synthetic ? SYNTHETIC_COUNT : 0;
	if (result == 0)
		result = check_options(&run, optind < argc);
	if (result == 0)
		result = run.walk ? walk_only(&run) : simulate(&run);
	tlb_model_free(run.model);
	free(run.ranges);
	return result < 0 ? 0 : result;
}
