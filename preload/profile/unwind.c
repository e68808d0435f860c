/* SPDX-License-Identifier: MIT */
/*
 * libpg64-unwind.so: libunwind, kept from disturbing the program that is profiled.
 *
 * libpg64-profile.so opens this library with RTLD_LOCAL | RTLD_DEEPBIND. Local, because libunwind
 * exports _Unwind_RaiseException() and its kin, which must not take the place of libgcc's. Deep,
 * so that the functions of the C library that libunwind calls are looked up in this file first:
 *
 *  - dl_iterate_phdr() takes a lock of the dynamic linker. A thread that holds it, or held it when
 *    the process forked, would stop an allocation. _dl_find_object() needs no lock;
 *  - libunwind tests whether memory can be read by writing it into a pipe that it keeps open. Its
 *    descriptors would be seen by the program, and a program that closes all descriptors and
 *    opens its own would find them written to. No pipe is made: memory is tested by other means;
 *  - signals are blocked and unblocked at each step, against handlers that unwind as well. Here
 *    a thread cannot come back, see pg64_on_growth().
 */
#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stdbool.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "unwind.h"

#define EXPORT __attribute__((visibility("default")))

/* Stand for the two ends of the pipe that is not there. */
#define NO_PIPE_READ 0x7fffff00
#define NO_PIPE_WRITE 0x7fffff01

static long (*libc_syscall)(long number, ...);

/* Of the walk that this thread is in. */
static __thread struct {
	struct profile_stack stack;
	uintptr_t pc; /* the frame being left */
} walk;

/* Can the byte at @address be read? */
static bool is_readable(uintptr_t address)
{
	struct dl_find_object object;
	char byte;
	struct iovec here = {.iov_base = &byte, .iov_len = 1};
	struct iovec there = {.iov_base = (void *)address, .iov_len = 1};

	/* The stack from this frame up is mapped, and so is the image of a library. */
	if (address >= (uintptr_t)&byte && address < walk.stack.high)
		return true;
	if (_dl_find_object((void *)address, &object) == 0)
		return true;
	return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 1;
}

/* ---- the C library, as libunwind sees it ----------------------------------------------------- */

/* Only the object that the walk is in, and of that what the unwinder looks at. */
EXPORT int dl_iterate_phdr(int (*visit)(struct dl_phdr_info *, size_t, void *), void *data)
{
	struct dl_find_object object;
	struct dl_phdr_info info;
	ElfW(Phdr) phdr[2];

	if (_dl_find_object((void *)walk.pc, &object) || !object.dlfo_eh_frame)
		return 0;
	memset(&info, 0, sizeof(info));
	memset(phdr, 0, sizeof(phdr));
	info.dlpi_addr = object.dlfo_link_map->l_addr;
	info.dlpi_name = object.dlfo_link_map->l_name;
	info.dlpi_phdr = phdr;
	info.dlpi_phnum = 2;
	phdr[0].p_type = PT_LOAD;
	phdr[0].p_flags = PF_R | PF_X;
	phdr[0].p_vaddr = (uintptr_t)object.dlfo_map_start - info.dlpi_addr;
	phdr[0].p_memsz = (uintptr_t)object.dlfo_map_end - (uintptr_t)object.dlfo_map_start;
	phdr[0].p_filesz = phdr[0].p_memsz;
	phdr[1].p_type = PT_GNU_EH_FRAME;
	phdr[1].p_vaddr = (uintptr_t)object.dlfo_eh_frame - info.dlpi_addr;
	return visit(&info, sizeof(info), data);
}

EXPORT int pipe2(int fds[2], int flags)
{
	(void)flags;
	fds[0] = NO_PIPE_READ;
	fds[1] = NO_PIPE_WRITE;
	return 0;
}

EXPORT ssize_t read(int fd, void *buf, size_t len)
{
	if (fd != NO_PIPE_READ)
		return libc_syscall(SYS_read, fd, buf, len);
	errno = EAGAIN;
	return -1;
}

/* The test proper is the write that comes after these. */
EXPORT int mincore(void *addr, size_t len, unsigned char *pages)
{
	(void)addr;
	(void)len;
	*pages = 1;
	return 0;
}

EXPORT int msync(void *addr, size_t len, int flags)
{
	(void)addr;
	(void)len;
	(void)flags;
	return 0;
}

EXPORT long syscall(long number, ...)
{
	long word[6];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		word[i] = va_arg(args, long);
	va_end(args);
	if (number != SYS_write || (int)word[0] != NO_PIPE_WRITE)
		return libc_syscall(number, word[0], word[1], word[2], word[3], word[4], word[5]);
	errno = 0;
	if (is_readable((uintptr_t)word[1]))
		return 1;
	errno = EFAULT;
	return -1;
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	(void)how;
	(void)set;
	(void)old;
	return 0;
}

/* ---- the walk --------------------------------------------------------------------------- */

EXPORT unsigned int pg64_unwind(struct profile_stack stack, uintptr_t *pc, unsigned int max)
{
	unw_context_t context;
	unw_cursor_t cursor;
	unsigned int n = 0;
	unw_word_t ip;

	walk.stack = stack;
	if (unw_getcontext(&context) || unw_init_local(&cursor, &context))
		return 0;
	while (n < max) {
		if (unw_get_reg(&cursor, UNW_REG_IP, &ip) || !ip)
			break;
		pc[n++] = ip;
		/* A return address may be the first one after its function, and its object. */
		walk.pc = ip - 1;
		if (unw_step(&cursor) <= 0)
			break;
	}
	return n;
}

__attribute__((constructor)) static void start(void)
{
	struct profile_stack unknown = {0, 0};
	uintptr_t pc[4];

	libc_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	/* The cache has one lock for all threads, held over the search. */
	unw_set_caching_policy(unw_local_addr_space, UNW_CACHE_NONE);
	pg64_unwind(unknown, pc, 4);
}
