/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "synthetic.h"

#define LINE_BYTES 64
#define WORD_BYTES 8

int parse_amount(const char *text, uint64_t *value, const char **end)
{
	static const char units[] = "KMG";
	unsigned int shift = 0;
	char *rest;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*value = strtoull(text, &rest, 10);
	const char *unit = *rest ? strchr(units, *rest) : NULL;

	if (unit) {
		shift = 10 * (unsigned int)(unit - units + 1);
		rest++;
	}
	if (errno || *value > UINT64_MAX >> shift)
		return -EINVAL;
	*value <<= shift;
	*end = rest;
	return 0;
}

int synthetic_parse(const char *text, struct synthetic *synthetic)
{
	static const char *const names[] = {"random:", "stride:", "chase:"};
	const char *rest = NULL;

	*synthetic = (struct synthetic){.state = 1};
	for (int i = 0; i < 3; i++) {
		if (strncmp(text, names[i], strlen(names[i])))
			continue;
		synthetic->kind = (enum synthetic_kind)i;
		if (parse_amount(text + strlen(names[i]), &synthetic->bytes, &rest))
			return -EINVAL;
	}
	if (!rest || synthetic->bytes < LINE_BYTES || synthetic->bytes > UINT64_C(1) << 46)
		return -EINVAL;
	if (synthetic->kind == SYNTHETIC_STRIDE) {
		if (*rest != ':' || parse_amount(rest + 1, &synthetic->step, &rest) ||
			synthetic->step == 0 || synthetic->step > synthetic->bytes)
			return -EINVAL;
		synthetic->state = 0;
	}
	if (synthetic->kind == SYNTHETIC_CHASE && (synthetic->bytes & (synthetic->bytes - 1)))
		return -EINVAL;
	return *rest ? -EINVAL : 0;
}

uint64_t synthetic_next(struct synthetic *synthetic)
{
	uint64_t state = synthetic->state, lines;

	switch (synthetic->kind) {
	case SYNTHETIC_STRIDE:
		synthetic->state = state + synthetic->step;
		if (synthetic->state >= synthetic->bytes)
			synthetic->state = 0;
		return state;
	case SYNTHETIC_CHASE:
		/* A linear congruence with these constants has the full period of any power of two,
		 * but its low bits have a short one: they take in the high ones, reversibly. */
		synthetic->state =
			state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		lines = synthetic->bytes / LINE_BYTES;
		state = synthetic->state & (lines - 1);
		return (state ^ state >> (__builtin_ctzll(lines) + 1) / 2) * LINE_BYTES;
	default:
		/* xorshift64*. */
		state ^= state >> 12;
		state ^= state << 25;
		state ^= state >> 27;
		synthetic->state = state;
		return (uint64_t)((unsigned __int128)(state * UINT64_C(2685821657736338717)) *
					  (synthetic->bytes / WORD_BYTES) >>
				  64) *
		       WORD_BYTES;
	}
}
