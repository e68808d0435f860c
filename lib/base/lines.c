/* SPDX-License-Identifier: MIT */
/*
 * Reading a text file line by line: see lines.h.
 */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "sys.h"

#define LONGEST_LINE 65536

int pg64_lines_open(struct pg64_lines *lines, const char *path)
{
	/* O_NONBLOCK: the path may name a FIFO, which must not stop a program from starting. */
	lines->fd = pg64_sys_open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
	if (lines->fd < 0)
		return lines->fd;

	lines->number = 0;
	lines->read_bytes = 0;
	lines->cut = 0;
	lines->start = 0;
	lines->end = 0;
	return 0;
}

/** Read on when nothing is left. Bytes that can be taken, 0 at the end, or -errno. */
static ssize_t refill(struct pg64_lines *lines)
{
	ssize_t len;

	if (lines->start < lines->end)
		return (ssize_t)(lines->end - lines->start);

	do {
		len = pg64_sys_read(lines->fd, lines->chunk, sizeof(lines->chunk));
	} while (len == -EINTR);
	if (len > 0) {
		lines->start = 0;
		lines->end = (size_t)len;
		lines->read_bytes += (size_t)len;
	}
	return len;
}

int pg64_lines_next(struct pg64_lines *lines)
{
	size_t len = 0;
	size_t seen = 0;
	int any = 0;

	lines->cut = 0;
	for (;;) {
		ssize_t available = refill(lines);
		const char *from = lines->chunk + lines->start;
		const char *newline;
		size_t take;
		size_t keep;

		if (available < 0)
			return (int)available;
		if (available == 0)
			break;
		any = 1;
		newline = memchr(from, '\n', (size_t)available);
		take = newline ? (size_t)(newline - from) : (size_t)available;
		keep = sizeof(lines->line) - 1 - len;
		if (take > keep)
			lines->cut = 1;
		else
			keep = take;
		memcpy(lines->line + len, from, keep);
		len += keep;
		lines->start += take + (newline != NULL);
		seen += take;
		/* A line without end, as of /dev/zero, must not take for ever. */
		if (newline || seen > LONGEST_LINE)
			break;
	}
	lines->line[len] = '\0';
	lines->number += (unsigned int)any;
	return any;
}

void pg64_lines_close(struct pg64_lines *lines)
{
	pg64_sys_close(lines->fd);
}
