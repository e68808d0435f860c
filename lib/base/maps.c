/* SPDX-License-Identifier: MIT */
/*
 * One line of /proc/PID/maps: see maps.h.
 */
#include "maps.h"

#include <string.h>

/** The number in @base at @text; @text moves past it and the character after it. */
static uint64_t take_number(const char **text, unsigned int base)
{
	uint64_t value = 0;

	for (; **text; (*text)++) {
		unsigned int digit = (unsigned char)**text - '0';

		if (digit > 9)
			digit = (unsigned char)**text - 'a' + 10U;
		if (digit >= base)
			break;
		value = value * base + digit;
	}
	if (**text)
		(*text)++;
	return value;
}

void pg64_map_parse(const char *line, struct pg64_map *map)
{
	size_t len;

	map->start = take_number(&line, 16);
	map->end = take_number(&line, 16);
	len = strcspn(line, " ");
	memset(map->perms, 0, sizeof(map->perms));
	memcpy(map->perms, line, len < sizeof(map->perms) ? len : sizeof(map->perms) - 1);
	for (int skip = 0; skip < 3; skip++) { /* permissions, offset, device */
		line += strcspn(line, " ");
		line += *line == ' ';
	}
	map->inode = take_number(&line, 10);
	map->path = line + strspn(line, " ");
}
