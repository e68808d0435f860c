/* SPDX-License-Identifier: MIT */
/*
 * The emitter: one sequence of calls gives text for people, one line of JSON, or an OpenMetrics
 * exposition. Writes into a buffer of the caller; allocates nothing.
 */
#ifndef PG64_EMIT_H
#define PG64_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

enum pg64_emit_kind {
	PG64_EMIT_GAUGE, /* goes up and down */
	PG64_EMIT_COUNTER, /* only grows; text leaves it out while it is 0 */
	PG64_EMIT_META, /* about the document: JSON only */
};

struct pg64_emit {
	enum pg64_format format;
	char *buf;
	size_t size;
	size_t len; /* of the whole document, also where it does not fit */
	int pid;
	bool separate; /* JSON: a comma comes first */
	const char *prefix; /* text and OpenMetrics: before the names in this object */
};

/** Start a document of process @pid in @buf. */
void pg64_emit_start(
	struct pg64_emit *emit, enum pg64_format format, char *buf, size_t size, int pid);

/** End it. The length in bytes, or -ENOSPC when the buffer is too small. */
int pg64_emit_finish(struct pg64_emit *emit);

/**
 * An object, one level deep. @prefix goes before the names of its members outside of JSON, with
 * static storage: "memory_".
 */
void pg64_emit_begin(struct pg64_emit *emit, const char *key, const char *prefix);
void pg64_emit_end(struct pg64_emit *emit);

/** Members. @help is one line for people; a value whose key ends in _bytes is one of bytes. */
void pg64_emit_u64(struct pg64_emit *emit, const char *key, uint64_t value,
	enum pg64_emit_kind kind, const char *help);
void pg64_emit_bool(struct pg64_emit *emit, const char *key, bool value, const char *help);
void pg64_emit_string(struct pg64_emit *emit, const char *key, const char *value, const char *help);

/**
 * A share in parts per million: @key and ppm in JSON; elsewhere the name is "ratio", in text with
 * per cent and in OpenMetrics with 0..1. Not @known: null, "unknown", and left out.
 */
void pg64_emit_ppm(
	struct pg64_emit *emit, const char *key, bool known, uint64_t ppm, const char *help);

/** A line of text for people; nothing in the other forms. */
void pg64_emit_note(struct pg64_emit *emit, const char *line);

#endif /* PG64_EMIT_H */
