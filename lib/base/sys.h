/* SPDX-License-Identifier: MIT */
/*
 * System calls made directly, so that an interposed libc function is never entered from inside
 * pg64. Each returns the kernel's result, or -errno; none touches errno.
 */
#ifndef PG64_SYS_H
#define PG64_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** Result of pg64_sys_mmap() and friends: an address, or -errno in the last page of the range. */
static inline int pg64_sys_is_err(const void *p)
{
	return (uintptr_t)p >= (uintptr_t)-4095;
}

static inline int pg64_sys_err(const void *p)
{
	return (int)(intptr_t)p;
}

void *pg64_sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int pg64_sys_munmap(void *addr, size_t len);
void *pg64_sys_mremap(void *addr, size_t old_len, size_t new_len, int flags, void *new_addr);
int pg64_sys_mprotect(void *addr, size_t len, int prot);
int pg64_sys_madvise(void *addr, size_t len, int advice);
/** @vec gets one byte a base page; bit 0 tells that it is present. */
int pg64_sys_mincore(void *addr, size_t len, unsigned char *vec);
/** prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME); @name NULL takes the name away. */
int pg64_sys_vma_name(void *addr, size_t len, const char *name);
void *pg64_sys_shmat(int id, const void *addr, int flags);
int pg64_sys_shmdt(const void *addr);
/** Size in bytes of System V segment @id, or -errno. */
ssize_t pg64_sys_shm_bytes(int id);
int pg64_sys_open(const char *path, int flags, unsigned int mode);
int pg64_sys_close(int fd);
ssize_t pg64_sys_read(int fd, void *buf, size_t len);
ssize_t pg64_sys_pread(int fd, void *buf, size_t len, off_t offset);
ssize_t pg64_sys_write(int fd, const void *buf, size_t len);
/** Block all signals for this thread. Returns what was blocked before, for restoring. */
uint64_t pg64_sys_block_signals(void);
void pg64_sys_restore_signals(uint64_t mask);
/** write(2) without SIGPIPE: a reader that went away must not end the program. */
ssize_t pg64_sys_write_nosig(int fd, const void *buf, size_t len);
ssize_t pg64_sys_readlink(const char *path, char *buf, size_t len);
int pg64_sys_ioctl(int fd, unsigned long request, void *argument);
/** What tells whether @fd is still the file that it was: its device and inode. 0 or -errno. */
int pg64_sys_fd_identity(int fd, uint64_t *device, uint64_t *inode);
/** A duplicate of @fd at or above @min, close-on-exec; or -errno. */
int pg64_sys_dup_high(int fd, int min);
int pg64_sys_getpid(void);
int pg64_sys_getppid(void);
int pg64_sys_gettid(void);
/** Soft limit of @resource (RLIMIT_*) of this process; UINT64_MAX when unlimited or unknown. */
uint64_t pg64_sys_rlimit(int resource);
/** Page faults of this process since its start. */
void pg64_sys_faults(uint64_t *minor, uint64_t *major);
void pg64_sys_yield(void);

#endif /* PG64_SYS_H */
