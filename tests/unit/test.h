/* SPDX-License-Identifier: MIT */
/*
 * A small test harness: CHECK macros that print file and line and go on, and an exit status of 0
 * (all held), 1 (one did not) or 77 (nothing could be tested here: a skip, never a pass).
 */
#ifndef PG64_TEST_H
#define PG64_TEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fmt.h"

#define TEST_SKIP 77

static unsigned int test_failures;
static unsigned int test_checks;

static inline void __attribute__((format(printf, 4, 5)))
test_judge(bool good, const char *file, int line, const char *fmt, ...)
{
	va_list args;

	test_checks++;
	if (good)
		return;
	test_failures++;
	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

static inline bool test_same(const char *got, const char *wanted)
{
	return got && strcmp(got, wanted) == 0;
}

#define CHECK(condition) test_judge((condition), __FILE__, __LINE__, "%s", #condition)

#define CHECK_EQ(got, wanted)                                                                      \
	do {                                                                                       \
		long long got_ = (long long)(got);                                                 \
		long long wanted_ = (long long)(wanted);                                           \
		test_judge(got_ == wanted_, __FILE__, __LINE__, "%s is %lld, not %lld", #got,      \
			got_, wanted_);                                                            \
	} while (0)

#define CHECK_STR(got, wanted)                                                                     \
	do {                                                                                       \
		const char *got_ = (got);                                                          \
		const char *wanted_ = (wanted);                                                    \
		test_judge(test_same(got_, wanted_), __FILE__, __LINE__,                           \
			"%s is \"%s\", not \"%s\"", #got, got_ ? got_ : "(null)", wanted_);        \
	} while (0)

/** Stop here: without this step nothing after it means anything. */
#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: required: %s\n", __FILE__, __LINE__, #condition);  \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static inline int test_result(void)
{
	printf("%u checks, %u failed\n", test_checks, test_failures);
	return test_failures ? 1 : 0;
}

static inline int test_skip(const char *why)
{
	printf("skipped: %s\n", why);
	return test_failures ? 1 : TEST_SKIP;
}

/** From now on pg64's log goes into memory; returns the descriptor for test_log_end(). */
static inline int test_log_start(void)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	REQUIRE(fd >= 0);
	pg64_log_setup(2, fd);
	return fd;
}

/** What was logged since test_log_start(), in @buf. */
static inline const char *test_log_end(int fd, char *buf, size_t size)
{
	ssize_t len = pread(fd, buf, size - 1, 0);

	REQUIRE(len >= 0);
	buf[len] = '\0';
	close(fd);
	pg64_log_setup(0, -1);
	return buf;
}

/** Is this build watched by AddressSanitizer? */
#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifndef TEST_ASAN
#define TEST_ASAN 0
#endif

#endif /* PG64_TEST_H */
