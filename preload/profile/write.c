/* SPDX-License-Identifier: MIT */
/*
 * The two forms of a profile, written at the end of the process.
 */
#include "profile.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_BYTES 512

struct out {
	int fd;
	int error; /* -errno of the first write that failed */
	size_t used;
	char buf[16384];
};

static void flush(struct out *out)
{
	size_t done = 0;

	while (done < out->used && !out->error) {
		ssize_t n = write(out->fd, out->buf + done, out->used - done);

		if (n > 0)
			done += (size_t)n;
		else if (n < 0 && errno != EINTR)
			out->error = -errno;
	}
	out->used = 0;
}

static void put(struct out *out, const char *text, size_t len)
{
	if (len > sizeof(out->buf) - out->used)
		flush(out);
	memcpy(out->buf + out->used, text, len);
	out->used += len;
}

/* At most LINE_BYTES at a time. */
__attribute__((format(printf, 2, 3))) static void print(struct out *out, const char *fmt, ...)
{
	char line[LINE_BYTES];
	va_list args;

	va_start(args, fmt);
	int len = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (len > 0)
		put(out, line, len < LINE_BYTES ? (size_t)len : LINE_BYTES - 1);
}

/* The end of pprof's form: which file is mapped where, to find names by. */
static void put_mappings(struct out *out)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	print(out, "\nMAPPED_LIBRARIES:\n");
	flush(out);
	while (fd >= 0 && (n = read(fd, out->buf, sizeof(out->buf))) > 0) {
		out->used = (size_t)n;
		flush(out);
	}
	if (fd >= 0)
		close(fd);
}

static void put_growthz(struct out *out, const struct profile_table *table, const char *unwinder)
{
	uint64_t count = 0, bytes = 0;

	for (uint32_t i = 0; i < table->count; i++) {
		const struct profile_slot *slot = profile_table_get(table, i);

		count += slot ? slot->count : 0;
		bytes += slot ? slot->bytes : 0;
	}
	print(out,
		"heap profile: %6" PRIu64 ": %8" PRIu64 " [%6" PRIu64 ": %8" PRIu64 "] @ growthz\n",
		count, bytes, count, bytes);
	print(out, "# pg64: process %d, unwinder %s, dropped %" PRIu64 ": %" PRIu64 "\n", getpid(),
		unwinder, table->dropped_count, table->dropped_bytes);
	for (uint32_t i = 0; i < table->count; i++) {
		const struct profile_slot *slot = profile_table_get(table, i);

		if (!slot)
			continue;
		print(out, "%6" PRIu64 ": %8" PRIu64 " [%6" PRIu64 ": %8" PRIu64 "] @", slot->count,
			slot->bytes, slot->count, slot->bytes);
		/* pprof takes one off each return address, but not off the first. */
		for (uint32_t d = 0; d < slot->depth; d++)
			print(out, " 0x%" PRIxPTR, slot->pc[d] - (d == 0));
		print(out, "\n");
	}
	put_mappings(out);
}

/* A name without what separates names and lines. */
static void put_name(struct out *out, const char *name)
{
	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;

		put(out, c <= ' ' || c == ';' ? "_" : name, 1);
	}
}

static void put_function(struct out *out, uintptr_t pc)
{
	Dl_info info;

	if (!dladdr((void *)(pc - 1), &info) || !info.dli_fname) {
		print(out, "0x%" PRIxPTR, pc - 1);
	} else if (info.dli_sname) {
		put_name(out, info.dli_sname);
	} else {
		const char *slash = strrchr(info.dli_fname, '/');

		put_name(out, slash ? slash + 1 : info.dli_fname);
		print(out, "+0x%" PRIxPTR, pc - 1 - (uintptr_t)info.dli_fbase);
	}
}

static void put_folded(struct out *out, const struct profile_table *table)
{
	for (uint32_t i = 0; i < table->count; i++) {
		const struct profile_slot *slot = profile_table_get(table, i);

		if (!slot)
			continue;
		if (!slot->depth)
			print(out, "[unknown]");
		for (uint32_t d = slot->depth; d-- > 0;) {
			put_function(out, slot->pc[d]);
			if (d)
				put(out, ";", 1);
		}
		print(out, " %" PRIu64 "\n", slot->bytes);
	}
	if (table->dropped_bytes)
		print(out, "[dropped] %" PRIu64 "\n", table->dropped_bytes);
}

/* Processes that share a file do not write into each other: it is renamed into place. */
static int open_target(const char *path, char *temporary, size_t size)
{
	struct stat st;
	int fd;

	temporary[0] = '\0';
	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		return fd < 0 ? -errno : fd;
	}
	if ((size_t)snprintf(temporary, size, "%s.%d~", path, getpid()) >= size)
		return -ENAMETOOLONG;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : fd;
}

int profile_write(const struct profile_table *table, const char *path, const char *unwinder)
{
	static const char folded[] = ".folded";
	static struct out out;
	char temporary[PATH_MAX];
	size_t len = strlen(path);

	out.fd = open_target(path, temporary, sizeof(temporary));
	if (out.fd < 0)
		return out.fd;
	out.error = 0;
	out.used = 0;
	if (len >= sizeof(folded) && strcmp(path + len - (sizeof(folded) - 1), folded) == 0)
		put_folded(&out, table);
	else
		put_growthz(&out, table, unwinder);
	flush(&out);
	close(out.fd);
	if (temporary[0] && !out.error && rename(temporary, path))
		out.error = -errno;
	if (temporary[0] && out.error)
		unlink(temporary);
	return out.error;
}
