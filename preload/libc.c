/* SPDX-License-Identifier: MIT */
/*
 * Finds the malloc family that serves when pg64 steps aside, by reading symbol tables: that of a
 * sanitizer's run-time where there is one, or else the C library's.
 */
#include "base/elfsym.h"
#include "libc.h"
#include "preload.h"

struct pg64_libc pg64_libc;

/*
 * A sanitizer's blocks come from its strdup() and the like too, which only its own free() can take.
 */
static void *find(const char *name)
{
	static const char *const libraries[] = {"libasan.so.", "libhwasan.so.", "libtsan.so.",
		"liblsan.so.", "libclang_rt.asan", "libc.so."};
	void *symbol = NULL;

	for (size_t i = 0; i < PG64_ARRAY_LEN(libraries) && !symbol; i++)
		symbol = pg64_elf_symbol(libraries[i], name);
	return symbol;
}

bool pg64_libc_find(void)
{
	static const struct {
		const char *name;
		void **slot;
	} symbols[] = {
		{"malloc", (void **)&pg64_libc.malloc},
		{"calloc", (void **)&pg64_libc.calloc},
		{"realloc", (void **)&pg64_libc.realloc},
		{"free", (void **)&pg64_libc.free},
		{"memalign", (void **)&pg64_libc.memalign},
		{"malloc_usable_size", (void **)&pg64_libc.malloc_usable_size},
		{"mallinfo", (void **)&pg64_libc.mallinfo},
		{"mallinfo2", (void **)&pg64_libc.mallinfo2},
		{"mallopt", (void **)&pg64_libc.mallopt},
		{"malloc_trim", (void **)&pg64_libc.malloc_trim},
		{"malloc_stats", (void **)&pg64_libc.malloc_stats},
		{"malloc_info", (void **)&pg64_libc.malloc_info},
	};
	const size_t required = 6;

	for (size_t i = 0; i < PG64_ARRAY_LEN(symbols); i++) {
		*symbols[i].slot = find(symbols[i].name);
		if (!*symbols[i].slot && i < required)
			return false;
	}
	return true;
}
