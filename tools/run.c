/* SPDX-License-Identifier: MIT */
/*
 * pg64 run: put libpg64.so in front of a program, and say afterwards what it got.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collect.h"
#include "program.h"
#include "launch.h"
#include "tool.h"

#define NAME_MAX_BYTES 64
#define OPTIONS_MAX 64
#define CHANGES_MAX (OPTIONS_MAX + 8)

struct change {
	char name[NAME_MAX_BYTES];
	char *value; /* NULL: taken out */
};

struct run {
	bool dry_run;
	bool stats; /* --stats, with or without a file */
	const char *stats_file; /* absolute path, "stderr" or "fd:N"; NULL: ours to print */
	const char *stats_format;
	bool profile;
	bool require;
	uint64_t require_ppm;
	struct change changes[CHANGES_MAX];
	size_t change_count;
	char program[PATH_MAX];
	char **argv;
};

/* Long options: the fixed ones, then --name=value for each entry of the option table. */
enum {
	OPT_REQUIRE = 256,
	OPT_STATS,
	OPT_PROFILE,
	OPT_DRY_RUN,
	OPT_NO_MALLOC,
	OPT_NO_MMAP,
	OPT_TABLE
};

static const struct option fixed_options[] = {
	{"help", no_argument, NULL, 'h'},
	{"require", required_argument, NULL, OPT_REQUIRE},
	{"stats", optional_argument, NULL, OPT_STATS},
	{"profile", required_argument, NULL, OPT_PROFILE},
	{"dry-run", no_argument, NULL, OPT_DRY_RUN},
	{"no-malloc", no_argument, NULL, OPT_NO_MALLOC},
	{"no-mmap", no_argument, NULL, OPT_NO_MMAP},
};

static int table_entry(unsigned int index, struct pg64_option *entry)
{
	memset(entry, 0, sizeof(*entry));
	entry->size = sizeof(*entry);
	return pg64_option_get(index, entry);
}

/* "mmap_min" -> "mmap-min" */
static void dashed(const char *name, char out[NAME_MAX_BYTES])
{
	snprintf(out, NAME_MAX_BYTES, "%s", name);
	for (; *out; out++)
		if (*out == '_')
			*out = '-';
}

/* @text in lines of at most 98 columns, with an indent of 25. */
static void print_wrapped(const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t len = strcspn(text, " ");

		if (column && column + 1 + len > 98) {
			column = 0;
			putchar('\n');
		}
		column += (size_t)printf("%*s%.*s", column ? 1 : 25, "", (int)len, text);
		text += len + strspn(text + len, " ");
	}
	putchar('\n');
}

static void print_table(void)
{
	struct pg64_option entry;

	for (unsigned int i = 0; table_entry(i, &entry) == 0; i++) {
		bool words = strchr(entry.values, '|') != NULL;
		char name[NAME_MAX_BYTES], text[512];

		if (strcmp(entry.name, "stats") == 0)
			continue;
		dashed(entry.name, name);
		snprintf(text, sizeof(text), "%s (%s%sdefault: %s)", entry.help,
			words ? "" : entry.values, words ? "" : "; ",
			*entry.fallback ? entry.fallback : "none");
		printf("      --%s=%s\n", name, words ? entry.values : "VALUE");
		print_wrapped(text);
	}
}

static void print_help(void)
{

	fputs("Usage: pg64 run [OPTIONS] -- COMMAND [ARGUMENTS]\n"
	      "Runs COMMAND with libpg64.so preloaded, so that its heap and its large anonymous "
	      "memory\n"
	      "are on 64 KiB pages. An LD_PRELOAD that is set is kept. A program that cannot run "
	      "with\n"
	      "it runs without, and one line on standard error says so.\n\n"
	      "Options:\n"
	      "      --require=PERCENT  exit with status 125 when less of the resident memory was "
	      "on\n"
	      "                         64 KiB pages, or when that could not be measured\n"
	      "      --stats[=FILE]     write statistics of each process when it ends to FILE, or "
	      "to\n"
	      "                         standard error after COMMAND has ended\n"
	      "      --profile=FILE     write to FILE which stacks made the heap grow: for pprof, "
	      "or\n"
	      "                         folded when its name ends in .folded\n"
	      "      --no-malloc        leave the malloc family to the C library\n"
	      "      --no-mmap          leave the mmap family alone\n"
	      "      --dry-run          print the command that would be run, and run nothing\n"
	      "  -h, --help             show this help\n\n"
	      "The option table, for this program only (see pg64(7)):\n",
		stdout);
	print_table();
	fputs("\nExit status: that of COMMAND, 128 + N when signal N killed it; 125 when --require "
	      "was not\n"
	      "met, 126 when COMMAND cannot be run, 127 when it is not found, 2 for wrong "
	      "usage.\n\n"
	      "Example: pg64 run --require=90 -- python3 program.py\n",
		stdout);
}

static int change(struct run *run, const char *name, const char *value)
{
	struct change *entry = NULL;

	for (size_t i = 0; i < run->change_count; i++)
		if (strcmp(run->changes[i].name, name) == 0)
			entry = &run->changes[i];
	if (!entry) {
		if (run->change_count == CHANGES_MAX)
			return -ENOSPC;
		entry = &run->changes[run->change_count++];
	}
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	free(entry->value);
	entry->value = value ? strdup(value) : NULL;
	return value && !entry->value ? -ENOMEM : 0;
}

/* Set an option of the table by its variable. Returns 0 or TOOL_USAGE. */
static int set_option(struct run *run, const char *name, const char *value)
{
	char variable[NAME_MAX_BYTES], message[256];

	if (pg64_option_check(name, value, message, sizeof(message)))
		return tool_usage_error("%s", message);
	snprintf(variable, sizeof(variable), "PG64_%s", name);
	for (char *c = variable; *c; c++)
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
	if (strcmp(name, "stats_format") == 0)
		run->stats_format = value;
	if (change(run, variable, value))
		return tool_usage_error("out of memory");
	return 0;
}

static int set_require(struct run *run, const char *text)
{
	char *end = NULL;
	double percent = strtod(text, &end);

	if (end != text && *end == '%')
		end++;
	if (end == text || *end || !(percent >= 0 && percent <= 100))
		return tool_usage_error(
			"--require wants a percentage from 0 to 100, not '%s'", text);
	run->require = true;
	run->require_ppm = (uint64_t)(percent * 1e4 + 0.5);
	return 0;
}

/* The program may change its folder before it ends. 0 or TOOL_USAGE. */
static int make_absolute(char path[PATH_MAX], const char *file)
{
	char folder[PATH_MAX] = "";
	bool relative = file[0] != '/';

	if ((relative && !getcwd(folder, sizeof(folder))) ||
		tool_path(path, folder, relative ? "/%s" : "%s", file))
		return tool_usage_error("cannot make '%s' an absolute path: %m", file);
	return 0;
}

static int set_profile(struct run *run, const char *file)
{
	char path[PATH_MAX];

	if (!*file)
		return tool_usage_error("--profile wants a file");
	run->profile = true;
	if (make_absolute(path, file))
		return TOOL_USAGE;
	return change(run, "PG64_PROFILE", path) ? tool_usage_error("out of memory") : 0;
}

static int set_stats(struct run *run, const char *value)
{
	static char path[PATH_MAX];
	char message[256];

	run->stats = true;
	run->stats_file = NULL;
	if (!value)
		return 0;
	if (!*value)
		return tool_usage_error(
			"--stats= wants a file; without '=' it writes to standard error");
	if (pg64_option_check("stats", value, message, sizeof(message)))
		return tool_usage_error("%s", message);
	run->stats_file = value;
	if (value[0] == '/' || strncmp(value, "fd:", 3) == 0 || strcmp(value, "stderr") == 0)
		return 0;
	run->stats_file = path;
	return make_absolute(path, value);
}

/* The names live as long as the process: both spellings of each entry of the table. */
static size_t long_options(struct option options[], char names[][NAME_MAX_BYTES])
{
	struct pg64_option entry;
	size_t n = TOOL_ARRAY_LEN(fixed_options);

	memcpy(options, fixed_options, sizeof(fixed_options));
	for (unsigned int i = 0; i < OPTIONS_MAX && table_entry(i, &entry) == 0; i++) {
		if (strcmp(entry.name, "stats") == 0)
			continue;
		options[n++] =
			(struct option){entry.name, required_argument, NULL, OPT_TABLE + (int)i};
		dashed(entry.name, names[i]);
		if (strcmp(names[i], entry.name) != 0)
			options[n++] = (struct option){
				names[i], required_argument, NULL, OPT_TABLE + (int)i};
	}
	memset(&options[n], 0, sizeof(options[n]));
	return n;
}

static int take_option(struct run *run, int c)
{
	struct pg64_option entry;

	switch (c) {
	case OPT_REQUIRE:
		return set_require(run, optarg);
	case OPT_STATS:
		return set_stats(run, optarg);
	case OPT_PROFILE:
		return set_profile(run, optarg);
	case OPT_DRY_RUN:
		run->dry_run = true;
		return 0;
	case OPT_NO_MALLOC:
		return set_option(run, "malloc", "0");
	case OPT_NO_MMAP:
		return set_option(run, "mmap", "0");
	default:
		if (table_entry((unsigned int)(c - OPT_TABLE), &entry))
			return TOOL_USAGE;
		return set_option(run, entry.name, optarg);
	}
}

/* 0; -1: done, --help was shown; else an exit status. */
static int parse(struct run *run, int argc, char **argv)
{
	struct option options[TOOL_ARRAY_LEN(fixed_options) + 2 * OPTIONS_MAX + 1];
	static char names[OPTIONS_MAX][NAME_MAX_BYTES];
	int c, err;

	long_options(options, names);
	run->stats_format = getenv("PG64_STATS_FORMAT");
	while ((c = getopt_long(argc, argv, "+:h", options, NULL)) != -1) {
		if (c == '?' || c == ':')
			return tool_getopt_error(c, argv);
		if (c == 'h') {
			print_help();
			return -1;
		}
		err = take_option(run, c);
		if (err)
			return err;
	}
	if (optind == argc)
		return tool_usage_error("no command to run");
	run->argv = argv + optind;
	if (run->require && run->stats && run->stats_format &&
		strcmp(run->stats_format, "openmetrics") == 0)
		return tool_usage_error(
			"--require reads JSON: with --stats use --stats-format=json or text");
	if (run->require && run->stats_file && strstr(run->stats_file, "%p"))
		return tool_usage_error(
			"with --require all processes share one --stats file: leave '%%p' out");
	return 0;
}

/* Does LD_PRELOAD name a sanitizer's runtime, which wants to be first? */
static bool preload_has_sanitizer(const char *preload)
{
	return strstr(preload, "libasan.so") || strstr(preload, "libhwasan.so") ||
	       strstr(preload, "libtsan.so") || strstr(preload, "clang_rt.asan") ||
	       strstr(preload, "clang_rt.tsan");
}

static int preload(struct run *run, const char *library)
{
	const char *old = getenv("LD_PRELOAD");
	size_t len = strlen(library);
	char *value;
	int err;

	if (!old || !*old)
		return change(run, "LD_PRELOAD", library);
	if (strncmp(old, library, len) == 0 && (!old[len] || strchr(": ", old[len])))
		return 0; /* pg64 run under pg64 run */
	if (asprintf(&value, "%s:%s", library, old) < 0)
		return -ENOMEM;
	err = change(run, "LD_PRELOAD", value);
	free(value);
	return err;
}

/* Put libpg64-profile.so, which is in the same folder, behind @library. */
static void add_profiler(const struct run *run, char library[2 * PATH_MAX])
{
	size_t len = strlen(library);
	char profiler[PATH_MAX];

	if (tool_path(profiler, "", "%.*slibpg64-profile.so",
		    (int)(strrchr(library, '/') + 1 - library), library) ||
		access(profiler, R_OK) != 0)
		tool_say("no libpg64-profile.so beside %s (built without libunwind?): running '%s' "
			 "without a profile",
			library, run->argv[0]);
	else
		snprintf(library + len, 2 * PATH_MAX - len, ":%s", profiler);
}

/* Decide whether the program gets the preload; each reason against it is one line. */
static int prepare_preload(struct run *run)
{
	const char *old = getenv("LD_PRELOAD");
	char library[2 * PATH_MAX];
	struct program program;
	const char *why;

	if (tool_library(library)) {
		const char *env = getenv("PG64_LIBRARY");

		tool_say("no libpg64.so at %s: running '%s' without it; set PG64_LIBRARY to its "
			 "path",
			env && *env ? env : PG64_LIBDIR, run->argv[0]);
		return 0;
	}
	if (library[strcspn(library, ": ")]) {
		tool_say("LD_PRELOAD cannot hold the path '%s' (it has a space or colon): running "
			 "'%s' "
			 "without pg64; copy the library elsewhere and set PG64_LIBRARY",
			library, run->argv[0]);
		return 0;
	}
	if (run->profile)
		add_profiler(run, library);
	if (old && preload_has_sanitizer(old)) {
		tool_say("LD_PRELOAD has a sanitizer, which must come first: running '%s' without "
			 "pg64",
			run->argv[0]);
		return 0;
	}
	/* What cannot be read cannot be judged; the dynamic linker decides then. */
	if (program_inspect(run->program, &program))
		return preload(run, library);
	why = program_refuses_preload(&program);
	if (why) {
		tool_say("'%s' %s: running it without pg64", run->argv[0], why);
		return 0;
	}
	why = program_ignores_preload(&program);
	if (why)
		tool_say("'%s' %s; run: pg64 doctor %s", run->argv[0], why, run->argv[0]);
	return preload(run, library);
}

static int print_dry_run(const struct run *run)
{
	size_t size = 4096;
	char *line;
	int err = 0;

	/* A quote inside a word takes four bytes. */
	for (size_t i = 0; i < run->change_count; i++)
		size += 4 * strlen(run->changes[i].value ? run->changes[i].value : "") +
			2 * NAME_MAX_BYTES;
	for (char **arg = run->argv; *arg; arg++)
		size += 4 * strlen(*arg) + 3;
	line = calloc(1, size);
	if (!line)
		return TOOL_FAILED;
	tool_quote(line, size, "env");
	for (size_t i = 0; i < run->change_count; i++)
		if (!run->changes[i].value)
			err |= tool_quote(line, size, "-u") |
			       tool_quote(line, size, run->changes[i].name);
	for (size_t i = 0; i < run->change_count; i++) {
		char *word;

		if (!run->changes[i].value)
			continue;
		if (asprintf(&word, "%s=%s", run->changes[i].name, run->changes[i].value) < 0)
			break;
		err |= tool_quote(line, size, word);
		free(word);
	}
	for (char **arg = run->argv; *arg; arg++)
		err |= tool_quote(line, size, *arg);
	puts(line);
	free(line);
	return err ? TOOL_FAILED : TOOL_OK;
}

static int apply_changes(const struct run *run)
{
	for (size_t i = 0; i < run->change_count; i++) {
		const struct change *entry = &run->changes[i];

		if (entry->value ? setenv(entry->name, entry->value, 1) : unsetenv(entry->name))
			return -errno;
	}
	return 0;
}

/* Where --stats goes when we write it: a descriptor of our own, or -errno. */
static int open_stats(const struct run *run)
{
	const char *file = run->stats_file;
	int fd;

	if (!file || strcmp(file, "stderr") == 0)
		fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	else if (strncmp(file, "fd:", 3) == 0)
		fd = fcntl(atoi(file + 3), F_DUPFD_CLOEXEC, 3);
	else
		fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0) {
		fd = -errno;
		tool_say("cannot write statistics to '%s': %m", file ? file : "standard error");
	}
	return fd;
}

/* Are the statistics collected as JSON, to be judged or to be shown in short by us? */
static bool collects_json(const struct run *run)
{
	const char *format = run->stats_format;

	return run->require || !format || strcmp(format, "text") == 0;
}

/* What --stats asked for, to @fd. 0 or -errno. */
static int write_stats(
	const struct run *run, const struct collect *collect, struct json_object *processes, int fd)
{
	bool text = !run->stats_format || strcmp(run->stats_format, "text") == 0;

	return text ? collect_print(processes, fd) : collect_copy(collect, fd);
}

static int report(const struct run *run, const struct collect *collect, int status)
{
	struct json_object *processes = NULL;
	struct collect_sum sum;
	int fd = -1, err = 0;

	if (collects_json(run)) {
		processes = collect_read(collect, &err);
		if (!processes) {
			tool_say("cannot read the statistics: %s", strerror(-err));
			return status || !run->require ? status : TOOL_REQUIRE;
		}
	}
	if (run->stats)
		fd = open_stats(run);
	if (fd >= 0) {
		err = write_stats(run, collect, processes, fd);
		if (err)
			tool_say("cannot write the statistics: %s", strerror(-err));
		close(fd);
	}
	if (run->require) {
		collect_sum(processes, &sum);
		if (!status && !collect_judge(&sum, run->require_ppm, run->argv[0]))
			status = TOOL_REQUIRE;
	}
	json_object_put(processes);
	return status;
}

static int run_and_report(struct run *run)
{
	struct collect collect;
	int err = collect_open(&collect);
	int status;

	/* The program runs in any case; only the judgement on it is lost. */
	if (!err) {
		err = change(run, "PG64_STATS", collect.path);
		if (!err && collects_json(run))
			err = change(run, "PG64_STATS_FORMAT", "json");
	}
	if (apply_changes(run))
		tool_say("out of memory: the environment is not complete");
	status = launch_wait(run->program, run->argv);
	if (err)
		return status || !run->require ? status : TOOL_REQUIRE;
	status = report(run, &collect, status);
	collect_close(&collect);
	return status;
}

int cmd_run(int argc, char **argv)
{
	static struct run run;
	bool collects;
	int err = parse(&run, argc, argv);

	if (err)
		return err < 0 ? TOOL_OK : err;
	err = tool_find_program(run.argv[0], run.program);
	if (err == -ENOENT) {
		tool_say("command not found: '%s'", run.argv[0]);
		return TOOL_NOT_FOUND;
	}
	if (err) {
		tool_say("cannot run '%s': %s", run.argv[0], strerror(-err));
		return TOOL_CANNOT_RUN;
	}
	collects = run.require || (run.stats && !run.stats_file);
	err = prepare_preload(&run);
	if (!err && getenv("PG64_LIBRARY"))
		err = change(&run, "PG64_LIBRARY",
			NULL); /* for this command, no option of the library */
	if (!err && run.stats && !collects)
		err = change(&run, "PG64_STATS", run.stats_file);
	if (!err && collects && run.dry_run)
		err = change(&run, "PG64_STATS", "TEMPORARY-FILE");
	if (!err && collects && run.dry_run && collects_json(&run))
		err = change(&run, "PG64_STATS_FORMAT", "json");
	if (err)
		tool_say("out of memory: the environment is not complete");
	if (run.dry_run)
		return print_dry_run(&run);
	if (collects)
		return run_and_report(&run);
	apply_changes(&run);
	return launch_exec(run.program, run.argv);
}
