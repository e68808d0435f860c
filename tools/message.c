/* SPDX-License-Identifier: MIT */
/*
 * Messages of the pg64 command: one line, what is wrong, and what to type next.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

const char *tool_name = "pg64";

static void say(const char *fmt, va_list ap)
{
	fflush(stdout);
	fprintf(stderr, "%s: ", tool_name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void tool_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

int tool_usage_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	fprintf(stderr, "Try '%s --help'.\n", tool_name);
	return TOOL_USAGE;
}

int tool_getopt_error(int c, char **argv)
{
	const char *word = argv[optind - 1];

	if (c == ':')
		return tool_usage_error("option '%s' needs a value", word);
	/* A short option inside a word leaves optind where it was. */
	if (optopt && isprint(optopt) && strncmp(word, "--", 2) != 0)
		return tool_usage_error("unknown option '-%c'", optopt);
	if (optopt)
		return tool_usage_error("option '%s' takes no value", word);
	return tool_usage_error("unknown option '%s'", word);
}

const char *tool_bytes(uint64_t bytes, char buf[TOOL_BYTES_TEXT])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < TOOL_ARRAY_LEN(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(buf, TOOL_BYTES_TEXT,
		value < 10 && value != (double)(int)value ? "%.1f %s" : "%.0f %s", value,
		units[unit]);
	return buf;
}

static bool append(char *buf, size_t size, size_t *used, const char *text, size_t len)
{
	if (*used + len >= size)
		return false;
	memcpy(buf + *used, text, len);
	*used += len;
	buf[*used] = '\0';
	return true;
}

int tool_quote(char *buf, size_t size, const char *word)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				    "_-+=:,./@%^";
	size_t used = strlen(buf);
	bool fits = !used || append(buf, size, &used, " ", 1);

	if (*word && word[strspn(word, plain)] == '\0')
		return fits && append(buf, size, &used, word, strlen(word)) ? 0 : -ENAMETOOLONG;
	fits = fits && append(buf, size, &used, "'", 1);
	for (; *word && fits; word++)
		fits = *word == '\'' ? append(buf, size, &used, "'\\''", 4)
				     : append(buf, size, &used, word, 1);
	return fits && append(buf, size, &used, "'", 1) ? 0 : -ENAMETOOLONG;
}
