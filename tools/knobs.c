/* SPDX-License-Identifier: MIT */
/*
 * pg64 enable and pg64 disable: set the kernel's knobs for 64 KiB pages, and undo it exactly.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "knobs.h"

enum { OPT_PERSIST = 256, OPT_SHMEM, OPT_FORCE, OPT_ROOT };

struct request {
	bool persist, shmem, force;
	const char *root;
};

static const struct option enable_options[] = {
	{"help", no_argument, NULL, 'h'},
	{"persist", no_argument, NULL, OPT_PERSIST},
	{"shmem", no_argument, NULL, OPT_SHMEM},
	{"root", required_argument, NULL, OPT_ROOT}, /* for tests */
	{NULL, 0, NULL, 0},
};

static const struct option disable_options[] = {
	{"help", no_argument, NULL, 'h'},
	{"persist", no_argument, NULL, OPT_PERSIST},
	{"force", no_argument, NULL, OPT_FORCE},
	{"root", required_argument, NULL, OPT_ROOT}, /* for tests */
	{NULL, 0, NULL, 0},
};

static void enable_help(void)
{
	fputs("Usage: sudo pg64 enable [--shmem] [--persist]\n"
	      "Lets the kernel give 64 KiB pages to programs that ask for them: sets\n"
	      "  " TOOL_THP_64K "/enabled to madvise.\n"
	      "Other programs change only if they call madvise(MADV_HUGEPAGE) themselves. The old "
	      "values\n"
	      "are kept in " KNOBS_STATE "; 'pg64 disable' restores them.\n\n"
	      "Options:\n"
	      "      --shmem    shared memory too: sets hugepages-64kB/shmem_enabled to advise\n"
	      "      --persist  at each boot from now on (" KNOBS_BOOT ")\n"
	      "  -h, --help     show this help\n\n"
	      "Exit status: 0; 1 when the kernel has no such knob or it cannot be set; 2 for wrong "
	      "usage.\n\n"
	      "Example: sudo pg64 enable --shmem --persist\n",
		stdout);
}

static void disable_help(void)
{
	fputs("Usage: sudo pg64 disable [--persist] [--force]\n"
	      "Undoes 'pg64 enable': each knob gets the value that it had, and the file for later "
	      "boots\n"
	      "is removed. A knob that somebody else has set meanwhile is left alone.\n\n"
	      "Options:\n"
	      "      --persist  accepted for symmetry: the file for later boots goes in any case\n"
	      "      --force    also set knobs of which no old value is known, or that were set "
	      "by\n"
	      "                 somebody else: to the old value, or to never\n"
	      "  -h, --help     show this help\n\n"
	      "Exit status: 0; 1 when there is nothing to undo or it failed; 2 for wrong usage.\n\n"
	      "Example: sudo pg64 disable\n",
		stdout);
}

/* 0; -1: done; else an exit status. */
static int parse(struct request *request, int argc, char **argv, const struct option *options,
	void (*help)(void))
{
	int c;

	memset(request, 0, sizeof(*request));
	request->root = "";
	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (c == 'h') {
			help();
			return -1;
		}
		if (c == '?' || c == ':')
			return tool_getopt_error(c, argv);
		request->persist |= c == OPT_PERSIST;
		request->shmem |= c == OPT_SHMEM;
		request->force |= c == OPT_FORCE;
		if (c == OPT_ROOT)
			request->root = optarg;
	}
	if (optind < argc)
		return tool_usage_error("unknown argument '%s'", argv[optind]);
	return 0;
}

static bool need_root(const struct request *request)
{
	if (request->root[0] || geteuid() == 0)
		return false;
	tool_say("needs root; run: sudo %s%s%s%s", tool_name, request->shmem ? " --shmem" : "",
		request->persist ? " --persist" : "", request->force ? " --force" : "");
	return true;
}

/* Does the knob give 64 KiB pages to those who ask, as it is? */
static bool is_set(const struct knobs *knobs, const struct knob *knob, const char *value)
{
	bool shmem = knob == &knobs->list[KNOB_SHMEM];
	char text[256], word[KNOB_VALUE_BYTES];

	if (strcmp(value, "inherit") != 0)
		return strcmp(value, "never") != 0;
	if (tool_read_at(knobs->root, shmem ? TOOL_THP "/shmem_enabled" : TOOL_THP "/enabled", text,
		    sizeof(text)) < 0)
		return false;
	tool_selected(text, word, sizeof(word));
	return strcmp(word, "never") != 0 && strcmp(word, "deny") != 0;
}

static int missing_knob(const struct knobs *knobs, size_t index)
{
	if (index == KNOB_SHMEM)
		tool_say("this kernel has no %s (it came with Linux 6.11): nothing was changed; "
			 "without "
			 "shared memory: sudo pg64 enable",
			knobs->list[index].path);
	else
		tool_say("this kernel has no %s (it came with Linux 6.8): nothing was changed; see "
			 "what "
			 "works without it: pg64 doctor",
			knobs->list[index].path);
	return TOOL_FAILED;
}

static int failed(const char *what, const char *path, int err)
{
	tool_say("cannot %s %s: %s", what, path, strerror(-err));
	return TOOL_FAILED;
}

/* The record comes before the change: what is changed can be undone whatever happens between. */
static int set_knob(struct knobs *knobs, struct knob *knob, const char *value)
{
	bool recorded = knob->old[0];
	int err;

	if (is_set(knobs, knob, value)) {
		printf("%s: %s, left as it is%s\n", knob->path, value,
			recorded ? " (pg64 had set it)" : "");
		return 0;
	}
	if (!recorded)
		memcpy(knob->old, value, KNOB_VALUE_BYTES);
	err = knobs_save(knobs);
	if (err)
		return failed("write", KNOBS_STATE, err);
	err = knob_set(knobs, knob, knob->wanted);
	if (err)
		return failed("set", knob->path, err);
	printf("%s: %s -> %s\n", knob->path, value, knob->wanted);
	return 0;
}

static void explain(const struct request *request)
{
	fputs("Programs that call madvise(MADV_HUGEPAGE) themselves get 64 KiB pages now where 2 "
	      "MiB pages\n"
	      "are off or do not fit; all others stay as they were.\n",
		stdout);
	if (request->shmem)
		fputs("The same goes for shared anonymous memory, memfd and System V segments.\n",
			stdout);
	if (request->persist)
		fputs("At each boot: " KNOBS_BOOT "\n", stdout);
	fputs("To undo: sudo pg64 disable\n", stdout);
}

int cmd_enable(int argc, char **argv)
{
	struct request request;
	struct knobs knobs;
	char values[KNOBS_MAX][KNOB_VALUE_BYTES];
	size_t count;
	int err = parse(&request, argc, argv, enable_options, enable_help);

	if (err)
		return err < 0 ? TOOL_OK : err;
	if (need_root(&request) || knobs_load(&knobs, request.root))
		return TOOL_FAILED;
	count = request.shmem ? KNOBS_MAX : 1;
	for (size_t i = 0; i < count; i++) {
		err = knob_get(&knobs, &knobs.list[i], values[i]);
		if (err == -ENOENT)
			return missing_knob(&knobs, i);
		if (err)
			return failed("read", knobs.list[i].path, err);
	}
	for (size_t i = 0; i < count; i++)
		if (set_knob(&knobs, &knobs.list[i], values[i]))
			return TOOL_FAILED;
	if (request.persist) {
		/* A knob that is right today is set at boot too: what it was stays known. */
		for (size_t i = 0; i < count; i++)
			if (!knobs.list[i].old[0])
				memcpy(knobs.list[i].old, values[i], KNOB_VALUE_BYTES);
		err = knobs_save(&knobs);
		if (!err)
			err = knobs_save_boot(&knobs);
		if (err)
			return failed("write", KNOBS_BOOT, err);
	}
	explain(&request);
	return TOOL_OK;
}

/* 0 or TOOL_FAILED. */
static int restore_knob(const struct knobs *knobs, const struct knob *knob, bool force)
{
	const char *target = knob->old[0] ? knob->old : "never";
	char value[KNOB_VALUE_BYTES];
	int err;

	if (!knob->old[0] && !force)
		return 0;
	err = knob_get(knobs, knob, value);
	if (err == -ENOENT)
		return 0;
	if (err)
		return failed("read", knob->path, err);
	if (strcmp(value, target) == 0) {
		printf("%s: %s already\n", knob->path, value);
		return 0;
	}
	if (strcmp(value, knob->wanted) != 0 && !force) {
		printf("%s: somebody set it to %s since: left as it is (--force sets %s)\n",
			knob->path, value, target);
		return 0;
	}
	err = knob_set(knobs, knob, target);
	if (err)
		return failed("set", knob->path, err);
	printf("%s: %s -> %s\n", knob->path, value, target);
	return 0;
}

int cmd_disable(int argc, char **argv)
{
	struct request request;
	struct knobs knobs;
	int err = parse(&request, argc, argv, disable_options, disable_help);

	if (err)
		return err < 0 ? TOOL_OK : err;
	if (need_root(&request) || knobs_load(&knobs, request.root))
		return TOOL_FAILED;
	if (!knobs.state_file && !knobs.boot_file && !request.force) {
		tool_say("no %s: pg64 enable has changed nothing since boot, so nothing is undone; "
			 "to switch "
			 "64 KiB pages off all the same: sudo pg64 disable --force",
			KNOBS_STATE);
		return TOOL_FAILED;
	}
	for (size_t i = 0; i < KNOBS_MAX; i++)
		if (restore_knob(&knobs, &knobs.list[i], request.force))
			return TOOL_FAILED;
	err = knobs_forget(&knobs);
	if (err)
		return failed("remove the record of", KNOBS_STATE, err);
	if (knobs.boot_file)
		puts(KNOBS_BOOT ": removed");
	return TOOL_OK;
}
