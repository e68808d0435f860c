/* SPDX-License-Identifier: MIT */
/*
 * The process's start-up block: arguments, environment and auxiliary vector as the kernel laid
 * them out, found without the C library's help so that they can be read before any constructor.
 * The environment is the one at exec; later setenv() calls do not show.
 */
#ifndef PG64_ARGS_H
#define PG64_ARGS_H

#include <stdbool.h>

/** Value of @name at exec, or NULL. Valid as long as the program leaves its stack's top alone. */
const char *pg64_env(const char *name);

/** The whole environment at exec, NULL-terminated; never NULL itself. */
char *const *pg64_env_all(void);

/** Entry @type (AT_*) of the auxiliary vector, or @fallback. */
unsigned long pg64_auxval(unsigned long type, unsigned long fallback);

/** Set-id or otherwise privileged start (AT_SECURE): trust nothing of the environment. */
bool pg64_secure(void);

#endif /* PG64_ARGS_H */
