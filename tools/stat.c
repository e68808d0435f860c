/* SPDX-License-Identifier: MIT */
/*
 * pg64 stat: how much of a running process really stands on 64 KiB pages.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "statview.h"

enum { OPT_JSON = 256, OPT_ALL };

static const struct option options[] = {
	{"help", no_argument, NULL, 'h'},
	{"json", no_argument, NULL, OPT_JSON},
	{"all", no_argument, NULL, OPT_ALL},
	{NULL, 0, NULL, 0},
};

static void print_help(void)
{
	fputs("Usage: pg64 stat [--json] [--all] PID\n"
	      "Shows the resident memory of process PID by kind, how much of it really stands on "
	      "pages of\n"
	      "64 KiB and more, its faults, and what pg64 counted in it. Which pages back it is "
	      "read page\n"
	      "by page from /proc/PID/pagemap and /proc/kpageflags; only root may.\n\n"
	      "Options:\n"
	      "      --all   PID and its descendants, shared pages counted once (PSS)\n"
	      "      --json  write one JSON object instead of text\n"
	      "  -h, --help  show this help\n\n"
	      "Exit status: 0; 1 when the process is gone or may not be looked at; 2 for wrong "
	      "usage.\n\n"
	      "Example: sudo pg64 stat --all $(pgrep -o postgres)\n",
		stdout);
}

struct gather {
	struct stat_process *process;
	int error;
};

static void add_region(void *context, const struct region *region)
{
	struct gather *gather = context;
	struct stat_kind *sum = &gather->process->kinds[region->kind];
	struct pg64_coverage coverage = {.size = sizeof(coverage)};
	double share = region->resident_bytes
			       ? (double)region->pss_bytes / (double)region->resident_bytes
			       : 0;
	int err;

	sum->resident_bytes += region->resident_bytes;
	sum->pss_bytes += region->pss_bytes;
	sum->swap_bytes += region->swap_bytes;
	if (region->advised)
		sum->advised_bytes += region->resident_bytes;
	if (gather->error || !region->resident_bytes)
		return;
	err = pg64_coverage(
		gather->process->info.pid, region->start, region->end - region->start, &coverage);
	if (!err && coverage.source == PG64_COVERAGE_NONE)
		err = -EPERM;
	if (err) {
		gather->error = err;
		return;
	}
	sum->backed_bytes += coverage.backed_bytes;
	sum->pmd_bytes += coverage.pmd_bytes;
	sum->backed_pss_bytes += (uint64_t)((double)coverage.backed_bytes * share);
}

int stat_gather(int pid, struct stat_process *process)
{
	struct gather gather = {.process = process};
	int err;

	memset(process, 0, sizeof(*process));
	err = proc_read(pid, &process->info);
	if (!err)
		err = proc_each_region(pid, add_region, &gather);
	if (err)
		return err;
	process->live_error = live_read(pid, &process->live);
	/* A process that ends under our eyes looks empty. */
	if (gather.error == -ESRCH || process->live_error == -ESRCH)
		return -ESRCH;
	process->coverage_error = gather.error;
	for (int kind = 0; kind < REGION_FILE; kind++) {
		const struct stat_kind *sum = &process->kinds[kind];

		process->total.resident_bytes += sum->resident_bytes;
		process->total.pss_bytes += sum->pss_bytes;
		process->total.swap_bytes += sum->swap_bytes;
		process->total.advised_bytes += sum->advised_bytes;
		process->total.backed_bytes += sum->backed_bytes;
		process->total.backed_pss_bytes += sum->backed_pss_bytes;
		process->total.pmd_bytes += sum->pmd_bytes;
	}
	return 0;
}

static int say_error(int pid, int err)
{
	if (err == -ESRCH)
		tool_say("no process %d: it has ended, or never was; list them: ps -e", pid);
	else if (err == -EACCES || err == -EPERM)
		tool_say("process %d cannot be seen without privilege; run: sudo pg64 stat %d", pid,
			pid);
	else
		tool_say("cannot look at process %d: %s", pid, strerror(-err));
	return TOOL_FAILED;
}

static int stat_one(int pid, bool json)
{
	static struct stat_process process;
	int err = stat_gather(pid, &process);

	if (err)
		return say_error(pid, err);
	if (json) {
		struct json_object *object = stat_json(&process);

		puts(json_object_to_json_string_ext(
			object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
		json_object_put(object);
	} else {
		stat_print(&process);
	}
	return TOOL_OK;
}

static int stat_family(int pid, bool json)
{
	struct stat_process *list;
	int *pids, n, err = -ESRCH, used = 0, denied = 0;

	n = proc_family(pid, &pids);
	if (n <= 0) {
		free(pids);
		return say_error(pid, n ? n : -ESRCH);
	}
	list = calloc((size_t)n, sizeof(*list));
	for (int i = 0; list && i < n; i++) {
		int one = stat_gather(pids[i], &list[used]);

		if (!one)
			used++;
		denied += one && one != -ESRCH;
		if (one && (pids[i] == pid || err == -ESRCH))
			err = one;
	}
	free(pids);
	if (!used) {
		free(list);
		return say_error(pid, list ? err : -ENOMEM);
	}
	stat_print_family(pid, list, used, denied, json);
	free(list);
	return TOOL_OK;
}

int cmd_stat(int argc, char **argv)
{
	bool json = false, all = false;
	int c, pid;

	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (c == 'h') {
			print_help();
			return TOOL_OK;
		}
		if (c == '?' || c == ':')
			return tool_getopt_error(c, argv);
		json |= c == OPT_JSON;
		all |= c == OPT_ALL;
	}
	if (optind == argc)
		return tool_usage_error("no PID");
	if (argc - optind > 1)
		return tool_usage_error("one PID at a time, not also '%s'", argv[optind + 1]);
	pid = proc_pid(argv[optind]);
	if (!pid)
		return tool_usage_error("'%s' is no process id", argv[optind]);
	return all ? stat_family(pid, json) : stat_one(pid, json);
}
