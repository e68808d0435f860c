/* SPDX-License-Identifier: MIT */
/*
 * The start-up block, found through the address that the C library keeps of it: see args.h.
 */
#include "args.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

#include "base.h"

/*
 * Where the stack began. In a program with a dynamic linker this is the address of argc. In a
 * static one it is what _start passes on: the address of argc on arm64, one word below on x86-64.
 * Set before the first constructor and before the first relocated call in either case.
 */
extern void *__libc_stack_end;

/* The kernel allows 0x7fffffff arguments; a count that large is rather a word that is none. */
#define MAX_ARGC (1L << 26)

/** Address of argc, or NULL when there is nothing that looks like it. */
static char *const *find_argc(void)
{
	char *const *words = __libc_stack_end;

	if (!words || !pg64_is_aligned((uintptr_t)words, sizeof(*words)))
		return NULL;

	for (int i = 0; i < 2; i++, words++) {
		long argc = (long)(intptr_t)words[0];

		if (argc < 1 || argc > MAX_ARGC || !words[1])
			continue;
		if (!words[1 + argc])
			return words;
	}
	return NULL;
}

char *const *pg64_env_all(void)
{
	static char *const nothing[1];
	char *const *words = find_argc();

	if (!words)
		return nothing;
	return words + 1 + (long)(intptr_t)words[0] + 1;
}

const char *pg64_env(const char *name)
{
	size_t len = strlen(name);

	for (char *const *entry = pg64_env_all(); *entry; entry++)
		if (strncmp(*entry, name, len) == 0 && (*entry)[len] == '=')
			return *entry + len + 1;
	return NULL;
}

unsigned long pg64_auxval(unsigned long type, unsigned long fallback)
{
	char *const *entry = pg64_env_all();
	const ElfW(auxv_t) * aux;

	if (!find_argc())
		return fallback;

	while (*entry)
		entry++;
	for (aux = (const void *)(entry + 1); aux->a_type != AT_NULL; aux++)
		if (aux->a_type == type)
			return aux->a_un.a_val;
	return fallback;
}

bool pg64_secure(void)
{
	/* Where nothing can be known, nothing is trusted. */
	return pg64_auxval(AT_SECURE, 1) != 0;
}
