/* SPDX-License-Identifier: MIT */
/*
 * Run a program as a child that looks to the outside as if it were this process.
 */
#ifndef PG64_TOOL_LAUNCH_H
#define PG64_TOOL_LAUNCH_H

/**
 * Become the program. Returns only on failure: TOOL_NOT_FOUND or TOOL_CANNOT_RUN, with one line
 * on standard error. @path: the file; @argv: what it is given, argv[0] as typed.
 */
int launch_exec(const char *path, char **argv);

/**
 * Run it as a child, forward the signals that other processes send us, and wait.
 * Returns its exit status, 128 + N when signal N killed it, or what launch_exec() returns;
 * TOOL_REQUIRE when no process could be made.
 */
int launch_wait(const char *path, char **argv);

#endif /* PG64_TOOL_LAUNCH_H */
