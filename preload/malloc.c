/* SPDX-License-Identifier: MIT */
/*
 * The malloc family of glibc. Semantics and errno are glibc's; each function is a test of the mode
 * and a call of the heap. A pointer that is not ours is left alone and counted.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "arena/arena.h"
#include "base/counters.h"
#include "base/fmt.h"
#include "base/sys.h"
#include "heap/heap.h"
#include "libc.h"
#include "preload.h"

#undef mallinfo

static PG64_COLD void foreign(const void *block, const char *function)
{
	pg64_count(PG64_C_foreign_free);
	pg64_verbose(2, "%s(%p): not a block of pg64's heap, left alone", function, block);
}

PG64_EXPORT void *malloc(size_t size)
{
	if (pg64_unlikely(!pg64_serves_malloc()))
		return pg64_libc.malloc(size);
	return pg64_heap_malloc(size);
}

PG64_EXPORT void *calloc(size_t count, size_t size)
{
	if (pg64_unlikely(!pg64_serves_malloc()))
		return pg64_libc.calloc(count, size);
	return pg64_heap_calloc(count, size);
}

static PG64_COLD void free_other(void *block)
{
	if (!block)
		return;
	if (!pg64_serves_malloc())
		pg64_libc.free(block);
	else
		foreign(block, "free");
}

PG64_EXPORT void free(void *block)
{
	pg64_heap_free_or(block, free_other);
}

PG64_EXPORT void *realloc(void *block, size_t size)
{
	if (pg64_unlikely(!pg64_serves_malloc()))
		return pg64_libc.realloc(block, size);
	if (pg64_unlikely(block && !pg64_heap_owns(block))) {
		/*
		 * Its size is not known, so its contents cannot be moved: fail, and leave it
		 * alone.
		 */
		foreign(block, "realloc");
		errno = ENOMEM;
		return NULL;
	}
	if (block && size == 0) {
		pg64_heap_free(block);
		return NULL;
	}
	return pg64_heap_realloc(block, size);
}

PG64_EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(block, bytes);
}

/* glibc rounds an alignment up to the next power of two, and refuses what has none. */
static void *aligned(size_t align, size_t size)
{
	if (pg64_unlikely(!pg64_serves_malloc()))
		return pg64_libc.memalign(align, size);
	if (align > SIZE_MAX / 2 + 1) {
		errno = EINVAL;
		return NULL;
	}
	if (align < 2 * sizeof(void *))
		align = 2 * sizeof(void *);
	if (!pg64_is_pow2(align))
		align = (size_t)1 << (64 - __builtin_clzll(align));
	return pg64_heap_memalign(align, size);
}

PG64_EXPORT void *memalign(size_t align, size_t size)
{
	return aligned(align, size);
}

PG64_EXPORT void *aligned_alloc(size_t align, size_t size)
{
	return aligned(align, size);
}

PG64_EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	if (align % sizeof(void *) || !pg64_is_pow2(align / sizeof(void *)))
		return EINVAL;
	void *block = aligned(align, size);
	if (!block)
		return ENOMEM;
	*out = block;
	return 0;
}

PG64_EXPORT void *valloc(size_t size)
{
	return aligned(pg64_page_bytes(), size);
}

PG64_EXPORT void *pvalloc(size_t size)
{
	size_t page = pg64_page_bytes();

	if (size > SIZE_MAX - page) {
		errno = ENOMEM;
		return NULL;
	}
	return aligned(page, pg64_align_up(size, page));
}

PG64_EXPORT size_t malloc_usable_size(void *block)
{
	if (pg64_unlikely(!pg64_serves_malloc()))
		return pg64_libc.malloc_usable_size(block);
	return pg64_heap_owns(block) ? pg64_heap_usable_size(block) : 0;
}

/* Not declared by glibc's headers any more, or not yet. */
void cfree(void *block);
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t align, size_t size);

PG64_EXPORT void cfree(void *block)
{
	free(block);
}

PG64_EXPORT void free_sized(void *block, size_t size)
{
	(void)size;
	free(block);
}

PG64_EXPORT void free_aligned_sized(void *block, size_t align, size_t size)
{
	(void)align;
	(void)size;
	free(block);
}

/* ---- the same under the names that glibc's own parts and old programs use ---- */

#if __has_attribute(copy)
#define PG64_ALIAS(name) __attribute__((alias(#name), copy(name)))
#else
#define PG64_ALIAS(name) __attribute__((alias(#name)))
#endif

PG64_EXPORT void *__libc_malloc(size_t size) PG64_ALIAS(malloc);
PG64_EXPORT void *__libc_calloc(size_t count, size_t size) PG64_ALIAS(calloc);
PG64_EXPORT void *__libc_realloc(void *block, size_t size) PG64_ALIAS(realloc);
PG64_EXPORT void __libc_free(void *block) PG64_ALIAS(free);
PG64_EXPORT void *__libc_memalign(size_t align, size_t size) PG64_ALIAS(memalign);
PG64_EXPORT void *__libc_valloc(size_t size) PG64_ALIAS(valloc);
PG64_EXPORT void *__libc_pvalloc(size_t size) PG64_ALIAS(pvalloc);

/* ---- information and tuning ---- */

static void usage(size_t *reserved, size_t *in_use)
{
	uint64_t held, committed, advised, collapsed;

	pg64_arena_totals(&held, &committed, &advised, &collapsed);
	*reserved = held;
	*in_use = committed;
}

PG64_EXPORT struct mallinfo2 mallinfo2(void)
{
	struct mallinfo2 info = {0};

	if (!pg64_serves_malloc())
		return pg64_libc.mallinfo2 ? pg64_libc.mallinfo2() : info;
	/* Committed memory is what the heap holds of the system, in use or kept for reuse. */
	usage(&info.usmblks, &info.arena);
	info.uordblks = info.arena;
	info.usmblks = 0;
	return info;
}

static int clamp_int(size_t value)
{
	return value > __INT_MAX__ ? __INT_MAX__ : (int)value;
}

PG64_EXPORT struct mallinfo mallinfo(void)
{
	if (!pg64_serves_malloc()) {
		struct mallinfo none = {0};
		return pg64_libc.mallinfo ? pg64_libc.mallinfo() : none;
	}
	struct mallinfo2 wide = mallinfo2();
	return (struct mallinfo){
		.arena = clamp_int(wide.arena), .uordblks = clamp_int(wide.uordblks)};
}

/* glibc's tunables do not apply; saying "done" is what keeps programs that check going. */
PG64_EXPORT int mallopt(int param, int value)
{
	if (!pg64_serves_malloc())
		return pg64_libc.mallopt ? pg64_libc.mallopt(param, value) : 0;
	return 1;
}

PG64_EXPORT int malloc_trim(size_t pad)
{
	if (!pg64_serves_malloc())
		return pg64_libc.malloc_trim ? pg64_libc.malloc_trim(pad) : 0;
	return pg64_heap_trim();
}

PG64_EXPORT void malloc_stats(void)
{
	size_t reserved, in_use;

	if (!pg64_serves_malloc()) {
		if (pg64_libc.malloc_stats)
			pg64_libc.malloc_stats();
		return;
	}
	usage(&reserved, &in_use);
	pg64_log("heap: %zu bytes committed, %zu bytes of address space", in_use, reserved);
}

PG64_EXPORT int malloc_info(int options, FILE *stream)
{
	size_t reserved, in_use;

	if (!pg64_serves_malloc())
		return pg64_libc.malloc_info ? pg64_libc.malloc_info(options, stream) : -1;
	if (options != 0)
		return EINVAL; /* as glibc does, whatever its manual says */
	usage(&reserved, &in_use);
	fprintf(stream,
		"<malloc version=\"pg64-1\">\n<system type=\"current\" size=\"%zu\"/>\n"
		"<aspace type=\"total\" size=\"%zu\"/>\n</malloc>\n",
		in_use, reserved);
	return 0;
}
