/* SPDX-License-Identifier: MIT */
/*
 * The system call instruction itself. The C library's syscall() would do, but for errno: free()
 * must keep it, and the kernel's own -errno is what this library passes around.
 */
#ifndef PG64_SYSCALL_RAW_H
#define PG64_SYSCALL_RAW_H

#include <sys/syscall.h>

#if defined(__x86_64__) && defined(__LP64__)

static inline long pg64_syscall6(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	/* The instruction itself overwrites rcx (return address) and r11 (flags). */
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

#elif defined(__aarch64__) && defined(__LP64__)

static inline long pg64_syscall6(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}

#else
#error "pg64 knows the system call instruction of x86-64 and arm64 only"
#endif

static inline long pg64_syscall3(long number, long a, long b, long c)
{
	return pg64_syscall6(number, a, b, c, 0, 0, 0);
}

static inline long pg64_syscall0(long number)
{
	return pg64_syscall6(number, 0, 0, 0, 0, 0, 0);
}

#endif /* PG64_SYSCALL_RAW_H */
