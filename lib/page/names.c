/* SPDX-License-Identifier: MIT */
/*
 * Names of backends and kinds of memory, as users read and write them.
 */
#include "page/page.h"

PG64_EXPORT const char *pg64_backend_name(enum pg64_backend backend)
{
	static const char *const names[PG64_BACKENDS] = {
		"unknown", "patched", "mthp", "collapse", "base"};

	return (unsigned int)backend < PG64_BACKENDS ? names[backend] : "?";
}

PG64_EXPORT const char *pg64_mem_name(enum pg64_mem kind)
{
	static const char *const names[PG64_MEM_KINDS] = {"heap", "anon", "shared"};

	return (unsigned int)kind < PG64_MEM_KINDS ? names[kind] : "?";
}
