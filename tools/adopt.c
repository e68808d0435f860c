/* SPDX-License-Identifier: MIT */
/*
 * pg64 adopt: move running programs to 64 KiB pages from outside, without a restart.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "adopt.h"

/* A family that forks and executes all the time never comes to an end. */
#define PASSES 10

enum { OPT_JSON = 256, OPT_ALL, OPT_DRY_RUN, OPT_UNDO };

static const struct option options[] = {
	{"help", no_argument, NULL, 'h'},
	{"json", no_argument, NULL, OPT_JSON},
	{"all", no_argument, NULL, OPT_ALL},
	{"tree", no_argument, NULL, OPT_ALL},
	{"dry-run", no_argument, NULL, OPT_DRY_RUN},
	{"undo", no_argument, NULL, OPT_UNDO},
	{NULL, 0, NULL, 0},
};

static void print_help(void)
{
	fputs("Usage: pg64 adopt [--all] [--dry-run] [--undo] [--json] PID...\n"
	      "Moves running programs to 64 KiB pages without a restart, and says how much of "
	      "their "
	      "memory\n"
	      "is on them before and after. It takes a kernel with pg64's patches, and root "
	      "(CAP_SYS_NICE\n"
	      "and the right to trace the process). Heap, anonymous and shared memory move; "
	      "stacks and\n"
	      "files stay. What a program maps later is not adopted: repeat it then.\n\n"
	      "Options:\n"
	      "      --all      each PID and its descendants; --tree is the same\n"
	      "      --dry-run  show what would be adopted, and change nothing\n"
	      "      --undo     back to the kernel's default, for pages that are still to come\n"
	      "      --json     write one JSON object instead of text\n"
	      "  -h, --help     show this help\n\n"
	      "Exit status: 0; 1 when a process is not there, may not be adopted, or the kernel "
	      "refused\n"
	      "some of its memory; 2 for wrong usage; 3 when this kernel cannot.\n\n"
	      "Example: sudo pg64 adopt --all $(head -1 data/postmaster.pid)\n",
		stdout);
}

static void say_no_kernel(const struct adopt *adopt)
{
	if (adopt->kernel_error == -EOPNOTSUPP)
		tool_say("this kernel has 64 KiB pages switched off (vm.pagesize_64k = 0); run: "
			 "sudo "
			 "sysctl vm.pagesize_64k=1");
	else if (adopt->kernel_error == -EINVAL)
		tool_say("this kernel has no MADV_PAGESIZE_64K and cannot move a running program: "
			 "boot one with pg64's patches (kernel-patch/README.md), or restart the "
			 "program by: pg64 run -- ...");
	else
		tool_say("this kernel refuses MADV_PAGESIZE_64K: %s; run: pg64 doctor",
			strerror(-adopt->kernel_error));
}

static bool known(const struct adopt *adopt, int pid)
{
	for (int i = 0; i < adopt->count; i++)
		if (adopt->list[i]->pid == pid && !adopt_has_ended(adopt->list[i]))
			return true;
	return false;
}

/* Look at a process that is new. 0 or -ENOMEM. */
static int add(struct adopt *adopt, int pid)
{
	struct adopt_process **list, *process;

	if (known(adopt, pid) || pid == getpid())
		return 0;
	list = realloc(adopt->list, ((size_t)adopt->count + 1) * sizeof(*list));
	process = list ? calloc(1, sizeof(*process)) : NULL;
	if (list)
		adopt->list = list;
	if (!process)
		return -ENOMEM;
	process->pid = pid;
	adopt->list[adopt->count++] = process;
	adopt_look(process);
	return 0;
}

/* Add the descendants of what was asked for. 0 or -errno. */
static int add_families(struct adopt *adopt)
{
	for (int i = 0; i < adopt->asked; i++) {
		int *pids, n, err;

		/* Its number may be another's by now. */
		if (adopt_has_ended(adopt->list[i]))
			continue;
		n = proc_family(adopt->list[i]->pid, &pids);
		err = n < 0 ? n : 0;
		for (int j = 0; j < n && !err; j++)
			err = add(adopt, pids[j]);
		free(pids);
		if (err)
			return err;
	}
	return 0;
}

/*
 * The heads of families come first: from then on their children start with the flag, which is kept
 * over fork. A child that came before that and was not seen is found by looking again, until there
 * is no new one. Everything is measured before anything is moved, since shared memory is mended for
 * all that have it at once.
 */
static int move_all(struct adopt *adopt)
{
	adopt->unsettled = true;
	for (int pass = 0; adopt->unsettled && pass < PASSES; pass++) {
		int before = adopt->count;
		int err = adopt->all ? add_families(adopt) : 0;

		if (err)
			return err;
		adopt->unsettled =
			adopt->all && !adopt->dry_run && (!pass || before != adopt->count);
		for (int i = 0; i < adopt->count; i++)
			if (!adopt->list[i]->done)
				adopt_move(adopt->list[i], adopt->advice, adopt->dry_run);
	}
	for (int i = 0; i < adopt->count && !adopt->dry_run; i++)
		adopt_look_again(adopt->list[i]);
	return 0;
}

/* A descriptor for each process is held. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* The options as they were given, for a command that is to be run again. */
static const char *options_given(const struct adopt *adopt)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s%s%s%s", adopt->all ? "--all " : "",
		adopt->dry_run ? "--dry-run " : "",
		adopt->advice == ADOPT_MADV_DEFAULT ? "--undo " : "", adopt->json ? "--json " : "");
	return text;
}

static void say_failed(const struct adopt *adopt, const struct adopt_process *process, int more)
{
	char others[32] = "";
	int pid = process->pid;

	if (more)
		snprintf(others, sizeof(others), " (and %d more)", more);
	if (process->state == ADOPT_KERNEL_THREAD)
		tool_say("%d%s is a thread of the kernel, which has no memory of its own: name a "
			 "program",
			pid, others);
	else if (process->state == ADOPT_THP_DISABLED)
		tool_say("process %d%s has large pages switched off for itself, by "
			 "prctl(PR_SET_THP_DISABLE), and is left alone: start it without",
			pid, others);
	else if (process->error == -ESRCH)
		tool_say("no process %d%s: it has ended, or never was; list them: ps -e", pid,
			others);
	else if ((process->error == -EPERM || process->error == -EACCES) && geteuid() != 0)
		tool_say("process %d%s may not be adopted without privilege; run: sudo pg64 adopt "
			 "%s%d",
			pid, others, options_given(adopt), pid);
	else if (process->error == -EPERM || process->error == -EACCES)
		tool_say("process %d%s may not be adopted by this root, which lacks CAP_SYS_NICE "
			 "or CAP_SYS_PTRACE; run where it has them: pg64 adopt %s%d",
			pid, others, options_given(adopt), pid);
	else if (process->error == -EINVAL || process->error == -ENOENT)
		tool_say("%d%s is a thread; give its process: grep Tgid /proc/%d/status", pid,
			others, pid);
	else
		tool_say("cannot adopt process %d%s: %s", pid, others, strerror(-process->error));
}

static bool is_failed(const struct adopt *adopt, int i)
{
	const struct adopt_process *process = adopt->list[i];

	/* Whoever ended before it was looked at is missed only where it was asked for by number. */
	return process->state == ADOPT_FAILED || process->state == ADOPT_THP_DISABLED ||
	       process->state == ADOPT_KERNEL_THREAD ||
	       (process->state == ADOPT_ENDED && i < adopt->asked && !process->before.info.pid);
}

/* One line for each kind of failure. Returns whether there was one. */
static bool say_failures(const struct adopt *adopt)
{
	bool any = false;

	for (int i = 0; i < adopt->count; i++) {
		const struct adopt_process *process = adopt->list[i];
		bool said = false;
		int more = 0;

		if (!is_failed(adopt, i))
			continue;
		for (int j = 0; j < adopt->count; j++) {
			bool same = is_failed(adopt, j) &&
				    adopt->list[j]->state == process->state &&
				    adopt->list[j]->error == process->error;

			said |= same && j < i;
			more += same && j > i;
		}
		if (!said)
			say_failed(adopt, process, more);
		any = true;
	}
	return any;
}

/* Memory that went away meanwhile is no refusal. */
static bool any_refused(const struct adopt *adopt)
{
	for (int i = 0; i < adopt->count; i++)
		for (int j = 0; j < ADOPT_ERRORS; j++)
			if (adopt->list[i]->refused[j].ranges &&
				adopt->list[i]->refused[j].error != ENOMEM)
				return true;
	return false;
}

/* 0; -1: done, --help was shown; else an exit status. */
static int parse(struct adopt *adopt, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (c == 'h') {
			print_help();
			return -1;
		}
		if (c == '?' || c == ':')
			return tool_getopt_error(c, argv);
		adopt->json |= c == OPT_JSON;
		adopt->all |= c == OPT_ALL;
		adopt->dry_run |= c == OPT_DRY_RUN;
		if (c == OPT_UNDO)
			adopt->advice = ADOPT_MADV_DEFAULT;
	}
	if (optind == argc)
		return tool_usage_error("no PID");
	for (int i = optind; i < argc; i++)
		if (!proc_pid(argv[i]))
			return tool_usage_error("'%s' is no process id", argv[i]);
	return 0;
}

static int run(struct adopt *adopt, char **words)
{
	bool failed;
	int err = 0;

	raise_limit();
	for (; *words && !err; words++)
		err = add(adopt, proc_pid(*words));
	adopt->asked = adopt->count;
	if (!err)
		err = move_all(adopt);
	if (err) {
		tool_say("cannot go on: %s", strerror(-err));
		return TOOL_FAILED;
	}
	adopt_print(adopt);
	failed = say_failures(adopt);
	if (adopt->unsettled)
		tool_say("new processes kept coming, and after looking %d times the last ones were "
			 "not looked at; those forked by adopted ones have the flag from the start",
			PASSES);
	if (adopt->kernel_error) {
		say_no_kernel(adopt);
		return TOOL_NO_KERNEL;
	}
	return failed || any_refused(adopt) ? TOOL_FAILED : TOOL_OK;
}

int cmd_adopt(int argc, char **argv)
{
	struct adopt adopt = {.advice = ADOPT_MADV_64K};
	int status = parse(&adopt, argc, argv);

	if (status)
		return status < 0 ? TOOL_OK : status;
	adopt.kernel_error = adopt_probe(adopt.advice);
	if (adopt.kernel_error && !adopt.dry_run) {
		say_no_kernel(&adopt);
		return TOOL_NO_KERNEL;
	}
	status = run(&adopt, argv + optind);
	for (int i = 0; i < adopt.count; i++)
		adopt_close(adopt.list[i]);
	free(adopt.list);
	return status;
}
