/* SPDX-License-Identifier: MIT */
/*
 * The system calls that pg64 uses, made directly: see sys.h.
 *
 * arm64 has only the *at() forms of the file calls, so these are used everywhere.
 */
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <time.h>

#include "syscall_raw.h"

/* Not in the headers of kernels before 5.17. */
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#ifndef PR_SET_VMA_ANON_NAME
#define PR_SET_VMA_ANON_NAME 0
#endif

/* The kernel's signal set, which is smaller than the C library's. */
#define KERNEL_SIGSET_BYTES 8
#define SIGNAL_BIT(signal) (UINT64_C(1) << ((signal)-1))

void *pg64_sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return (void *)pg64_syscall6(SYS_mmap, (long)addr, (long)len, prot, flags, fd, offset);
}

int pg64_sys_munmap(void *addr, size_t len)
{
	return (int)pg64_syscall3(SYS_munmap, (long)addr, (long)len, 0);
}

void *pg64_sys_mremap(void *addr, size_t old_len, size_t new_len, int flags, void *new_addr)
{
	return (void *)pg64_syscall6(
		SYS_mremap, (long)addr, (long)old_len, (long)new_len, flags, (long)new_addr, 0);
}

int pg64_sys_mprotect(void *addr, size_t len, int prot)
{
	return (int)pg64_syscall3(SYS_mprotect, (long)addr, (long)len, prot);
}

int pg64_sys_madvise(void *addr, size_t len, int advice)
{
	return (int)pg64_syscall3(SYS_madvise, (long)addr, (long)len, advice);
}

int pg64_sys_mincore(void *addr, size_t len, unsigned char *vec)
{
	return (int)pg64_syscall3(SYS_mincore, (long)addr, (long)len, (long)vec);
}

int pg64_sys_vma_name(void *addr, size_t len, const char *name)
{
	return (int)pg64_syscall6(
		SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, (long)addr, (long)len, (long)name, 0);
}

void *pg64_sys_shmat(int id, const void *addr, int flags)
{
	return (void *)pg64_syscall3(SYS_shmat, id, (long)addr, flags);
}

int pg64_sys_shmdt(const void *addr)
{
	return (int)pg64_syscall3(SYS_shmdt, (long)addr, 0, 0);
}

ssize_t pg64_sys_shm_bytes(int id)
{
	struct shmid_ds ds;
	long err = pg64_syscall3(SYS_shmctl, id, IPC_STAT, (long)&ds);

	return err < 0 ? (ssize_t)err : (ssize_t)ds.shm_segsz;
}

int pg64_sys_open(const char *path, int flags, unsigned int mode)
{
	return (int)pg64_syscall6(SYS_openat, AT_FDCWD, (long)path, flags, mode, 0, 0);
}

int pg64_sys_close(int fd)
{
	return (int)pg64_syscall3(SYS_close, fd, 0, 0);
}

ssize_t pg64_sys_read(int fd, void *buf, size_t len)
{
	return pg64_syscall3(SYS_read, fd, (long)buf, (long)len);
}

ssize_t pg64_sys_pread(int fd, void *buf, size_t len, off_t offset)
{
	return pg64_syscall6(SYS_pread64, fd, (long)buf, (long)len, offset, 0, 0);
}

ssize_t pg64_sys_write(int fd, const void *buf, size_t len)
{
	return pg64_syscall3(SYS_write, fd, (long)buf, (long)len);
}

static long signal_mask(int how, const uint64_t *set, uint64_t *old)
{
	return pg64_syscall6(
		SYS_rt_sigprocmask, how, (long)set, (long)old, KERNEL_SIGSET_BYTES, 0, 0);
}

uint64_t pg64_sys_block_signals(void)
{
	const uint64_t all = ~UINT64_C(0);
	uint64_t old = 0;

	signal_mask(SIG_BLOCK, &all, &old);
	return old;
}

void pg64_sys_restore_signals(uint64_t mask)
{
	signal_mask(SIG_SETMASK, &mask, NULL);
}

ssize_t pg64_sys_write_nosig(int fd, const void *buf, size_t len)
{
	const uint64_t pipe_bit = SIGNAL_BIT(SIGPIPE);
	const struct timespec now = {0, 0};
	uint64_t old = 0;
	uint64_t pending = 0;
	ssize_t done;

	if (signal_mask(SIG_BLOCK, &pipe_bit, &old) < 0)
		return pg64_sys_write(fd, buf, len);

	pg64_syscall3(SYS_rt_sigpending, (long)&pending, KERNEL_SIGSET_BYTES, 0);
	done = pg64_sys_write(fd, buf, len);
	/* One that was pending before is the program's own, and stays. */
	if (done == -EPIPE && !(pending & pipe_bit))
		pg64_syscall6(SYS_rt_sigtimedwait, (long)&pipe_bit, 0, (long)&now,
			KERNEL_SIGSET_BYTES, 0, 0);
	signal_mask(SIG_SETMASK, &old, NULL);
	return done;
}

ssize_t pg64_sys_readlink(const char *path, char *buf, size_t len)
{
	return pg64_syscall6(SYS_readlinkat, AT_FDCWD, (long)path, (long)buf, (long)len, 0, 0);
}

int pg64_sys_ioctl(int fd, unsigned long request, void *argument)
{
	return (int)pg64_syscall3(SYS_ioctl, fd, (long)request, (long)argument);
}

int pg64_sys_fd_identity(int fd, uint64_t *device, uint64_t *inode)
{
	struct stat st;
	long err = pg64_syscall3(SYS_fstat, fd, (long)&st, 0);

	if (err < 0)
		return (int)err;
	*device = st.st_dev;
	*inode = st.st_ino;
	return 0;
}

int pg64_sys_dup_high(int fd, int min)
{
	return (int)pg64_syscall3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, min);
}

int pg64_sys_getpid(void)
{
	return (int)pg64_syscall0(SYS_getpid);
}

int pg64_sys_getppid(void)
{
	return (int)pg64_syscall0(SYS_getppid);
}

int pg64_sys_gettid(void)
{
	return (int)pg64_syscall0(SYS_gettid);
}

uint64_t pg64_sys_rlimit(int resource)
{
	/* The kernel's struct rlimit64: current (soft) and maximum. */
	uint64_t limit[2];

	if (pg64_syscall6(SYS_prlimit64, 0, resource, 0, (long)limit, 0, 0) < 0)
		return UINT64_MAX;
	return limit[0];
}

void pg64_sys_faults(uint64_t *minor, uint64_t *major)
{
	struct rusage usage;

	*minor = 0;
	*major = 0;
	if (pg64_syscall3(SYS_getrusage, RUSAGE_SELF, (long)&usage, 0) < 0)
		return;
	*minor = (uint64_t)usage.ru_minflt;
	*major = (uint64_t)usage.ru_majflt;
}

void pg64_sys_yield(void)
{
	pg64_syscall0(SYS_sched_yield);
}
