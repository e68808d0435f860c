/* SPDX-License-Identifier: MIT */
/*
 * The real kernel behind struct pg64_page_os.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/lines.h"
#include "base/room.h"
#include "base/sys.h"
#include "page/page.h"

#define PG64_MADV_POPULATE_WRITE 23

static void *os_mmap(void *addr, size_t len, int prot, int flags, int fd, long offset)
{
	return pg64_sys_mmap(addr, len, prot, flags, fd, offset);
}

static int os_vma_count(const char *name)
{
	struct pg64_lines lines;
	int more, count = 0;

	int ret = pg64_lines_open(&lines, "/proc/self/maps");
	if (ret < 0)
		return ret;
	while ((more = pg64_lines_next(&lines)) > 0)
		count += !name || strstr(lines.line, name);
	pg64_lines_close(&lines);
	return more < 0 ? more : count;
}

/*
 * By MADV_POPULATE_WRITE (Linux >= 5.14), because a stretch may hold memory that the program has
 * sealed with mprotect(): then it is an error, where a write would be a SIGSEGV.
 */
static void os_touch(char *addr)
{
	static _Atomic int known; /* 1: the kernel has it, 2: not */
	unsigned char nothing = 0;
	char *page = (char *)pg64_align_down((uintptr_t)addr, pg64_page_bytes());

	if (!known)
		known = pg64_sys_madvise(NULL, 0, PG64_MADV_POPULATE_WRITE) == 0 ? 1 : 2;
	if (known == 1) {
		pg64_sys_madvise(page, pg64_page_bytes(), PG64_MADV_POPULATE_WRITE);
		return;
	}
	/* Or else clang sees that the byte stays what it is, and makes it a load: a read fault. */
	__asm__("" : "+r"(nothing));
	__atomic_fetch_or((unsigned char *)addr, nothing, __ATOMIC_RELAXED);
}

/* Documentation/admin-guide/mm/pagemap.rst: these bits are there without privilege. */
#define PAGEMAP_PRESENT ((uint64_t)1 << 63)
#define PAGEMAP_EXCLUSIVE ((uint64_t)1 << 56)
#define PAGEMAP_CHUNK 256

static int look_at_pagemap(int fd, uintptr_t addr, size_t len, struct pg64_page_seen *seen)
{
	size_t page = pg64_page_bytes();
	uint64_t entries[PAGEMAP_CHUNK];

	for (size_t at = 0; at < len / page; at += PAGEMAP_CHUNK) {
		size_t n = len / page - at < PAGEMAP_CHUNK ? len / page - at : PAGEMAP_CHUNK;
		ssize_t want = (ssize_t)(n * sizeof(entries[0]));

		if (pg64_sys_pread(fd, entries, (size_t)want,
			    (off_t)((addr / page + at) * sizeof(entries[0]))) != want)
			return -EIO;
		for (size_t i = 0; i < n; i++) {
			bool present = entries[i] & PAGEMAP_PRESENT;

			seen->present += present ? page : 0;
			seen->shared += present && !(entries[i] & PAGEMAP_EXCLUSIVE) ? page : 0;
		}
	}
	seen->shared_known = true;
	return 0;
}

/* Without /proc: what is there, but not who has it. */
static int look_by_mincore(char *addr, size_t len, struct pg64_page_seen *seen)
{
	unsigned char vec[PAGEMAP_CHUNK];
	size_t page = pg64_page_bytes();

	for (size_t at = 0; at < len; at += PAGEMAP_CHUNK * page) {
		size_t n = len - at < PAGEMAP_CHUNK * page ? len - at : PAGEMAP_CHUNK * page;
		int ret = pg64_sys_mincore(addr + at, n, vec);

		if (ret < 0)
			return ret;
		for (size_t i = 0; i < n / page; i++)
			seen->present += vec[i] & 1 ? page : 0;
	}
	return 0;
}

static int os_look(void *addr, size_t len, struct pg64_page_seen *seen)
{
	int fd = pg64_sys_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);

	*seen = (struct pg64_page_seen){0};
	if (fd >= 0) {
		int ret = look_at_pagemap(fd, (uintptr_t)addr, len, seen);
		pg64_sys_close(fd);
		if (ret == 0)
			return 0;
		*seen = (struct pg64_page_seen){0};
	}
	return look_by_mincore(addr, len, seen);
}

static uint64_t os_now_ns(void)
{
	struct timespec now;

	/* In the vDSO: no system call. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

const struct pg64_page_os pg64_page_os_kernel = {
	.mmap = os_mmap,
	.munmap = pg64_sys_munmap,
	.mprotect = pg64_sys_mprotect,
	.madvise = pg64_sys_madvise,
	.mincore = pg64_sys_mincore,
	.vma_name = pg64_sys_vma_name,
	.vma_count = os_vma_count,
	.touch = os_touch,
	.look = os_look,
	.room = pg64_memory_room,
	.now_ns = os_now_ns,
};

static const struct pg64_page_os *current = &pg64_page_os_kernel;

void pg64_page_set_os(const struct pg64_page_os *os)
{
	current = os ? os : &pg64_page_os_kernel;
}

const struct pg64_page_os *pg64_page_os(void)
{
	return current;
}
