/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the pg64 command share: one function per subcommand, messages, exit statuses,
 * and files read under a settable root, so that captured machines can be test inputs.
 */
#ifndef PG64_TOOL_H
#define PG64_TOOL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg64.h"

#define TOOL_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define TOOL_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define TOOL_THP "/sys/kernel/mm/transparent_hugepage"
#define TOOL_THP_64K TOOL_THP "/hugepages-64kB"

enum tool_exit {
	TOOL_OK = 0,
	TOOL_FAILED = 1,
	TOOL_USAGE = 2,
	TOOL_NO_KERNEL = 3, /* `pg64 adopt`: this kernel cannot */
	TOOL_REQUIRE = 125, /* --require not met, or `pg64 run` itself failed */
	TOOL_CANNOT_RUN = 126, /* as env(1) has them */
	TOOL_NOT_FOUND = 127,
};

/* Each gets its name as argv[0] and returns the exit status. */
int cmd_run(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_enable(int argc, char **argv);
int cmd_disable(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_adopt(int argc, char **argv);

/* ---- messages (message.c) ---------------------------------------- */

/** Set by main(): "pg64" or "pg64 run", the prefix of each message. */
extern const char *tool_name;

/** One line on standard error, with the prefix. */
void tool_say(const char *fmt, ...) TOOL_PRINTF(1, 2);

/** The same, then the line that points to --help. Returns TOOL_USAGE. */
int tool_usage_error(const char *fmt, ...) TOOL_PRINTF(1, 2);

/**
 * What getopt_long() refused: @c is '?' or ':'. @argv as given to it. Returns TOOL_USAGE.
 * Needs opterr == 0 and a ':' in front of the short options.
 */
int tool_getopt_error(int c, char **argv);

/** "1.2 GiB" in @buf, which is returned. */
#define TOOL_BYTES_TEXT 32
const char *tool_bytes(uint64_t bytes, char buf[TOOL_BYTES_TEXT]);

/** Append @word to a command line in @buf, quoted. -ENAMETOOLONG when it does not fit. */
int tool_quote(char *buf, size_t size, const char *word);

/* ---- files (file.c) ---------------------------------------- */

/** Format a path below @root ("" is the running machine) into @path. 0 or -ENAMETOOLONG. */
int tool_path(char path[PATH_MAX], const char *root, const char *fmt, ...) TOOL_PRINTF(3, 4);

/** Read a small text file; trailing white space is cut. Length, or -errno. */
int tool_read(const char *path, char *buf, size_t size);

/** tool_path() and tool_read() in one. */
int tool_read_at(const char *root, const char *path, char *buf, size_t size);

/** Write @text, replacing the contents; the file must be there (sysfs). 0 or -errno. */
int tool_write(const char *path, const char *text);

/** Replace a file as a whole (mode 0644): a reader sees the old text or the new. 0 or -errno. */
int tool_replace(const char *path, const char *text);

/** mkdir -p for the folder that @path is in. 0 or -errno. */
int tool_make_parent(const char *path);

/** The word in brackets of a sysfs knob ("always [madvise] never"), else the whole. */
void tool_selected(const char *knob, char *word, size_t size);

/** Find a program as execvp() would. 0, -ENOENT or -EACCES. */
int tool_find_program(const char *name, char path[PATH_MAX]);

/** Path of libpg64.so (see pg64(1), PG64_LIBRARY). 0 or -ENOENT. */
int tool_library(char path[PATH_MAX]);

#endif /* PG64_TOOL_H */
