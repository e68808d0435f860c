/* SPDX-License-Identifier: MIT */
/*
 * Page sizes, as the kernel told them at exec.
 */
#include "base.h"

#include <elf.h>

#include "args.h"

/* Used only where the start-up block cannot be found: the smallest page of both architectures. */
#define FALLBACK_PAGE_BYTES 4096

/* 0: not looked up yet. Threads that race here store the same value. */
static size_t page_bytes;

size_t pg64_page_bytes(void)
{
	size_t bytes = __atomic_load_n(&page_bytes, __ATOMIC_RELAXED);

	if (pg64_likely(bytes != 0))
		return bytes;

	bytes = pg64_auxval(AT_PAGESZ, FALLBACK_PAGE_BYTES);
	__atomic_store_n(&page_bytes, bytes, __ATOMIC_RELAXED);
	return bytes;
}

size_t pg64_pmd_bytes(void)
{
	/* A page table is one page of 8-byte entries. */
	return pg64_page_bytes() * (pg64_page_bytes() / 8);
}
