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
