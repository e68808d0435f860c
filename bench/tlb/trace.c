/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "trace.h"

/* Hexadecimal digits and nothing else: strtoull() would take spaces, signs and 0x. */
static const char *read_hex(const char *text, uint64_t *value)
{
	char *end;

	if (!isxdigit((unsigned char)*text) || text[1] == 'x' || text[1] == 'X')
		return NULL;
	errno = 0;
	*value = strtoull(text, &end, 16);
	return errno ? NULL : end;
}

static bool own_line(const char *line)
{
	const char *rest;

	if (strncmp(line, "==", 2) && strncmp(line, "--", 2))
		return false;
	rest = line + 2 + strspn(line + 2, "0123456789");
	return rest > line + 2 && !strncmp(rest, line[0] == '=' ? "==" : "--", 2);
}

int trace_parse(const char *line, size_t len, struct trace_access *access)
{
	unsigned long size;
	char *end;

	if (len == 0 || line[len - 1] != '\n' || strlen(line) != len)
		return -EINVAL;
	if (len == 1 || own_line(line))
		return 0;
	if (strncmp(line, "I  ", 3) && strncmp(line, " L ", 3) && strncmp(line, " S ", 3) &&
		strncmp(line, " M ", 3))
		return -EINVAL;
	const char *rest = read_hex(line + 3, &access->address);
	if (!rest || *rest != ',' || !isdigit((unsigned char)rest[1]))
		return -EINVAL;
	size = strtoul(rest + 1, &end, 10);
	if (*end != '\n' || size == 0 || size > 1 << 16 || access->address + size < size)
		return -EINVAL;
	access->size_bytes = (unsigned int)size;
	access->load = line[1] == 'L' || line[1] == 'M';
	access->store = line[1] == 'S' || line[1] == 'M';
	return 1;
}

static int by_start(const void *one, const void *other)
{
	const struct tlb_range *a = one, *b = other;

	return a->start < b->start ? -1 : a->start > b->start;
}

/* 1 for a range, 0 for a line without one, -EINVAL. */
static int parse_range(const char *line, struct tlb_range *range)
{
	const char *rest;

	if (line[0] == '#' || line[0] == '\n')
		return 0;
	rest = read_hex(line, &range->start);
	if (!rest || *rest != '-')
		return -EINVAL;
	rest = read_hex(rest + 1, &range->end);
	if (!rest || (*rest && !isspace((unsigned char)*rest)) || range->start >= range->end)
		return -EINVAL;
	return 1;
}

static int read_ranges(
	FILE *file, struct tlb_range **ranges, size_t *nr_ranges, unsigned int *bad_line)
{
	char *line = NULL;
	size_t room = 0;
	int found = 0;

	for (unsigned int number = 1; getline(&line, &room, file) > 0; number++) {
		struct tlb_range range, *more;

		found = parse_range(line, &range);
		if (found < 0)
			*bad_line = number;
		if (found < 0)
			break;
		if (found == 0)
			continue;
		more = realloc(*ranges, (*nr_ranges + 1) * sizeof(*more));
		if (!more) {
			found = -ENOMEM;
			break;
		}
		*ranges = more;
		more[(*nr_ranges)++] = range;
	}
	free(line);
	return found < 0 ? found : 0;
}

/* Neighbours become one, so that a large page may lie across their border. */
static size_t join(struct tlb_range *ranges, size_t nr_ranges)
{
	size_t last = 0;

	qsort(ranges, nr_ranges, sizeof(*ranges), by_start);
	for (size_t i = 1; i < nr_ranges; i++) {
		if (ranges[i].start > ranges[last].end)
			ranges[++last] = ranges[i];
		else if (ranges[i].end > ranges[last].end)
			ranges[last].end = ranges[i].end;
	}
	return nr_ranges ? last + 1 : 0;
}

int trace_ranges(
	const char *path, struct tlb_range **ranges, size_t *nr_ranges, unsigned int *bad_line)
{
	FILE *file = fopen(path, "re");
	int error;

	*ranges = NULL;
	*nr_ranges = 0;
	*bad_line = 0;
	if (!file)
		return -errno;
	error = read_ranges(file, ranges, nr_ranges, bad_line);
	fclose(file);
	if (error) {
		free(*ranges);
		*ranges = NULL;
		*nr_ranges = 0;
		return error;
	}
	*nr_ranges = join(*ranges, *nr_ranges);
	return 0;
}
