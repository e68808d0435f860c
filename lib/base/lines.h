/* SPDX-License-Identifier: MIT */
/*
 * Reading a text file line by line through a small buffer on the stack: /proc files whose length
 * nobody knows, and the policy file. No allocation.
 */
#ifndef PG64_LINES_H
#define PG64_LINES_H

#include <stddef.h>

/** Longest line that is kept, with its NUL. What is longer is cut. */
#define PG64_LINE_BYTES 512

struct pg64_lines {
	int fd;
	unsigned int number; /* of the line in @line, from 1 */
	size_t read_bytes; /* of the file so far */
	int cut; /* @line was longer */
	size_t start; /* of what is unread in @chunk */
	size_t end;
	char line[PG64_LINE_BYTES];
	char chunk[PG64_LINE_BYTES];
};

/** Open @path. 0 or -errno; after an error nothing needs closing. */
int pg64_lines_open(struct pg64_lines *lines, const char *path);

/** Put the next line into ->line, NUL-terminated, without its newline. 1, 0 at the end, -errno. */
int pg64_lines_next(struct pg64_lines *lines);

void pg64_lines_close(struct pg64_lines *lines);

#endif /* PG64_LINES_H */
