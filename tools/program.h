/* SPDX-License-Identifier: MIT */
/*
 * What can be known of a program from its file, as far as it matters to a preloaded allocator.
 */
#ifndef PG64_TOOL_PROGRAM_H
#define PG64_TOOL_PROGRAM_H

#include "tool.h"

enum program_allocator {
	ALLOCATOR_LIBC, /* none of its own */
	ALLOCATOR_NEEDED, /* a shared library that it asks for: pg64's malloc comes first */
	ALLOCATOR_EXPORTED, /* the program defines malloc for everybody: it comes before pg64's */
	ALLOCATOR_HIDDEN, /* compiled in for its own use: calls do not leave the program */
};

struct program {
	char path[PATH_MAX]; /* the file that the kernel runs: the interpreter of a script */
	char script[PATH_MAX]; /* the script, when it is one */
	char loader[PATH_MAX]; /* PT_INTERP */
	bool is_elf; /* of this machine's kind; what follows is known only then */
	bool foreign; /* ELF of another machine or word size */
	bool other_libc; /* its loader is not glibc's */
	bool is_static;
	bool go;
	bool set_id; /* set-user-id or set-group-id bits */
	bool secure; /* and they change the identity of whoever runs it now */
	bool file_caps;
	bool dlopen;
	bool valgrind;
	bool linked_pg64; /* asks for libpg64.so itself */
	bool holds_pg64; /* libpg64.a is linked in: needs no preload, static programs included */
	bool own_interface; /* uses calls that only its allocator has (mallocx, mi_malloc, ...) */
	enum program_allocator allocator;
	char allocator_name[64];
	char sanitizer[32]; /* "AddressSanitizer", or "" */
};

/** Look at the file @path. 0, or -errno when it cannot be read. */
int program_inspect(const char *path, struct program *program);

/** One sentence why the program must run without the preload, or NULL. */
const char *program_refuses_preload(const struct program *program);

/** One sentence why the preload will have no effect, or NULL. */
const char *program_ignores_preload(const struct program *program);

#endif /* PG64_TOOL_PROGRAM_H */
