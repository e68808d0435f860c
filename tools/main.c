/* SPDX-License-Identifier: MIT */
/*
 * pg64: the command. Finds the subcommand and hands over.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

static const struct command {
	const char *name;
	const char *full_name;
	int (*run)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{"run", "pg64 run", cmd_run, "run a program on 64 KiB pages"},
	{"doctor", "pg64 doctor", cmd_doctor, "say what stands between a program and 64 KiB pages"},
	{"stat", "pg64 stat", cmd_stat, "show how much of a process really stands on 64 KiB pages"},
	{"adopt", "pg64 adopt", cmd_adopt,
		"move a running program to 64 KiB pages (patched kernel, root)"},
	{"enable", "pg64 enable", cmd_enable, "set the kernel's knobs for 64 KiB pages (root)"},
	{"disable", "pg64 disable", cmd_disable, "undo `pg64 enable` exactly (root)"},
};

static void print_help(FILE *out)
{
	fputs("Usage: pg64 COMMAND [OPTIONS] [ARGUMENTS]\n"
	      "Gives programs 64 KiB pages on a kernel with 4 KiB pages.\n\n"
	      "Commands:\n",
		out);
	for (size_t i = 0; i < TOOL_ARRAY_LEN(commands); i++)
		fprintf(out, "  %-8s  %s\n", commands[i].name, commands[i].summary);
	fputs("\nOptions:\n"
	      "  -h, --help     show this help; 'pg64 COMMAND --help' shows a command's\n"
	      "  -V, --version  show the version\n\n"
	      "Example: pg64 doctor && pg64 run -- python3 program.py\n"
	      "Manual:  pg64(1), pg64(7)\n",
		out);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < TOOL_ARRAY_LEN(commands); i++)
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	return NULL;
}

static int dispatch(int argc, char **argv)
{
	const struct command *command;
	char help[] = "--help";
	char *help_argv[] = {argv[1], help, NULL};

	if (argc < 2) {
		print_help(stderr);
		return TOOL_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
		(strcmp(argv[1], "help") == 0 && argc == 2)) {
		print_help(stdout);
		return TOOL_OK;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		printf("pg64 %s\n", pg64_version());
		return TOOL_OK;
	}
	if (strcmp(argv[1], "help") == 0) {
		command = find_command(argv[2]);
		if (!command)
			return tool_usage_error("unknown command '%s'", argv[2]);
		tool_name = command->full_name;
		help_argv[0] = argv[2];
		return command->run(2, help_argv);
	}
	if (argv[1][0] == '-')
		return tool_usage_error("unknown option '%s'", argv[1]);
	command = find_command(argv[1]);
	if (!command)
		return tool_usage_error("unknown command '%s'", argv[1]);
	tool_name = command->full_name;
	return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	int status;

	opterr = 0;
	status = dispatch(argc, argv);
	if (fflush(stdout) && status == TOOL_OK) {
		tool_say("cannot write to standard output: %m");
		status = TOOL_FAILED;
	}
	/* Past the library's own exit-time statistics: they belong to the program that is run. */
	_exit(status);
}
