/* SPDX-License-Identifier: MIT */
/* Streams of offsets into a piece of memory, for the model and for a real walk over real memory. */
#ifndef TLB_SYNTHETIC_H
#define TLB_SYNTHETIC_H

#include <stdint.h>

enum synthetic_kind { SYNTHETIC_RANDOM, SYNTHETIC_STRIDE, SYNTHETIC_CHASE };

struct synthetic {
	enum synthetic_kind kind;
	uint64_t bytes, step;
	uint64_t state;
};

/*
 * "random:BYTES", "stride:BYTES:STEP" or "chase:BYTES"; K, M and G are powers of 1024. random is
 * uniform over words of 8 bytes; chase visits each line of 64 bytes once, in a scattered order,
 * then all again (BYTES is a power of two). Returns 0 or -EINVAL.
 */
int synthetic_parse(const char *text, struct synthetic *synthetic);

/* The next offset, less than bytes. The same stream each time. */
uint64_t synthetic_next(struct synthetic *synthetic);

/* Digits and at most one of K, M and G, up to *end; 0 or -EINVAL. */
int parse_amount(const char *text, uint64_t *value, const char **end);

#endif
