/* SPDX-License-Identifier: MIT */
/*
 * Formatting against the C library's, number parsing, and the lines of the log.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>

#include "test.h"

/* Both must write the same and return the same, at any size of the buffer. */
#define SAME(...)                                                                                  \
	do {                                                                                       \
		char ours_[128], theirs_[128];                                                     \
		for (size_t size_ = 0; size_ <= sizeof(ours_); size_ += 7) {                       \
			memset(ours_, '#', sizeof(ours_));                                         \
			memset(theirs_, '#', sizeof(theirs_));                                     \
			CHECK_EQ(pg64_snprintf(ours_, size_, __VA_ARGS__),                         \
				snprintf(theirs_, size_, __VA_ARGS__));                            \
			if (size_)                                                                 \
				CHECK_STR(ours_, theirs_);                                         \
		}                                                                                  \
	} while (0)

static void test_conversions(void)
{
	SAME("plain text that is longer than the smallest buffers");
	SAME("%s|%10s|%-10s|%.2s|%.*s|%5.1s", "a", "bc", "def", "ghi", 3, "jklm", "no");
	SAME("%c%c|%%|100%%", 'x', 'y');
	SAME("%d %d %d %d", 0, -1, INT_MAX, INT_MIN);
	SAME("%5d|%-5d|%05d|%05d|%*d", 42, 42, 42, -42, 6, 42);
	SAME("%u %u %8u|%-8u|%08u", 0u, UINT_MAX, 7u, 7u, 7u);
	SAME("%x %08x %lx", 0xabcdefu, 0xabcu, ULONG_MAX);
	SAME("%ld %ld %lld %lu %llu %zu", LONG_MIN, LONG_MAX, LLONG_MIN, ULONG_MAX, ULLONG_MAX,
		(size_t)SIZE_MAX);
	SAME("%p", (void *)0x1234abcd);
	SAME("%2d|%2s", 12345, "wider than asked");
}

static void test_numbers(void)
{
	static const struct {
		const char *text;
		int err;
		uint64_t bytes;
	} sizes[] = {
		{"0", 0, 0},
		{"4096", 0, 4096},
		{"64K", 0, 65536},
		{"64KiB", 0, 65536},
		{"64KB", 0, 65536},
		{"2M", 0, 2 << 20},
		{"1G", 0, 1 << 30},
		{"1T", 0, UINT64_C(1) << 40},
		{"12B", 0, 12},
		{"007", 0, 7},
		{"18446744073709551615", 0, UINT64_MAX},
		{"16777215T", 0, 16777215ULL << 40},
		{"18446744073709551616", -ERANGE, 0},
		{"16777216T", -ERANGE, 0},
		{"99999999999999999999K", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"K", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"1k", -EINVAL, 0},
		{"1Ki", -EINVAL, 0},
		{"1KK", -EINVAL, 0},
		{"1.5M", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"1MiBs", -EINVAL, 0},
	};
	uint64_t value;

	for (size_t i = 0; i < PG64_ARRAY_LEN(sizes); i++) {
		value = 99;
		CHECK_EQ(pg64_parse_size(sizes[i].text, &value), sizes[i].err);
		CHECK_EQ(value, sizes[i].err ? 99 : sizes[i].bytes);
	}
	CHECK_EQ(pg64_parse_uint("123", &value), 0);
	CHECK_EQ(value, 123);
	CHECK_EQ(pg64_parse_uint("18446744073709551615", &value), 0);
	CHECK_EQ(pg64_parse_uint("18446744073709551616", &value), -ERANGE);
	CHECK_EQ(pg64_parse_uint("12x", &value), -EINVAL);
	CHECK_EQ(pg64_parse_uint("", &value), -EINVAL);
}

static void test_log(void)
{
	char longest[2000];
	char text[2048];
	int fd = test_log_start();

	pg64_log("one %d", 1);
	pg64_log("bell\a, escape\033[1m and\nnewline");
	CHECK_STR(test_log_end(fd, text, sizeof(text)),
		"pg64: one 1\npg64: bell?, escape?[1m and?newline\n");

	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	fd = test_log_start();
	pg64_log("%s", longest);
	test_log_end(fd, text, sizeof(text));
	CHECK_EQ(strlen(text), 512);
	CHECK(text[511] == '\n' && text[510] == 'x');

	fd = test_log_start();
	pg64_verbose(2, "shown");
	pg64_verbose(3, "not shown");
	pg64_log_setup(0, fd);
	pg64_verbose(1, "not shown");
	CHECK_STR(test_log_end(fd, text, sizeof(text)), "pg64: shown\n");
}

/** A reader that is gone gives an error, not a signal; errno stays. */
static void test_broken_pipe(void)
{
	int ends[2];

	REQUIRE(pipe(ends) == 0);
	close(ends[0]);
	signal(SIGPIPE, SIG_DFL);
	pg64_log_setup(0, ends[1]);
	errno = EXDEV;
	pg64_log("to nobody");
	CHECK_EQ(errno, EXDEV);
	pg64_log_setup(0, -1);
	close(ends[1]);
}

int main(void)
{
	test_conversions();
	test_numbers();
	test_log();
	test_broken_pipe();
	return test_result();
}
