/* SPDX-License-Identifier: MIT */
/*
 * Text, JSON and OpenMetrics from one sequence of calls: see emit.h.
 */
#include "emit.h"

#include <errno.h>
#include <string.h>

#include "base/fmt.h"

#define METRIC_PREFIX "pg64_"
#define NAME_COLUMN "  %s%-*s "
#define NAME_WIDTH 29

static void put(struct pg64_emit *emit, char c)
{
	if (emit->len < emit->size)
		emit->buf[emit->len] = c;
	emit->len++;
}

static void puts_plain(struct pg64_emit *emit, const char *text)
{
	while (*text)
		put(emit, *text++);
}

/** For short pieces only. */
static void PG64_PRINTF(2, 3) putf(struct pg64_emit *emit, const char *fmt, ...)
{
	char piece[160];
	va_list args;

	va_start(args, fmt);
	pg64_vsnprintf(piece, sizeof(piece), fmt, args);
	va_end(args);
	puts_plain(emit, piece);
}

/** Bytes of the valid UTF-8 sequence at @text (NUL-terminated), or 0: it is none. */
static unsigned int utf8_length(const unsigned char *text)
{
	uint32_t code = text[0];
	unsigned int len;

	if (code < 0x80)
		return 1;
	if (code >= 0xc2 && code <= 0xdf)
		len = 2;
	else if (code >= 0xe0 && code <= 0xef)
		len = 3;
	else if (code >= 0xf0 && code <= 0xf4)
		len = 4;
	else
		return 0;

	code &= 0x7f >> len;
	for (unsigned int i = 1; i < len; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	/* Longer than need be, a surrogate, or past the last one. */
	if ((len == 3 && (code < 0x800 || (code >= 0xd800 && code <= 0xdfff))) ||
		(len == 4 && (code < 0x10000 || code > 0x10ffff)))
		return 0;
	return len;
}

static void put_special(struct pg64_emit *emit, char c)
{
	bool control = (unsigned char)c < ' ' || c == 0x7f;

	if (emit->format == PG64_FORMAT_TEXT)
		put(emit, control ? '?' : c);
	else if (c == '\n')
		puts_plain(emit, "\\n");
	else if (c == '"' || c == '\\')
		putf(emit, "\\%c", c);
	else if (control && emit->format == PG64_FORMAT_JSON)
		putf(emit, "\\u%04x", (unsigned int)(unsigned char)c);
	else
		put(emit, control ? '?' : c);
}

/** @text as all forms can hold it: valid UTF-8, and escaped as the form wants it. */
static void puts_escaped(struct pg64_emit *emit, const char *text)
{
	while (*text) {
		unsigned int len = utf8_length((const unsigned char *)text);

		if (len == 0) {
			/* U+FFFD, the replacement character. */
			puts_plain(emit, "\xef\xbf\xbd");
			text++;
		} else if (len == 1) {
			put_special(emit, *text++);
		} else {
			while (len--)
				put(emit, *text++);
		}
	}
}

static bool has_suffix(const char *text, const char *suffix)
{
	size_t len = strlen(text);
	size_t suffix_len = strlen(suffix);

	return len >= suffix_len && strcmp(text + len - suffix_len, suffix) == 0;
}

static void json_key(struct pg64_emit *emit, const char *key)
{
	if (emit->separate)
		put(emit, ',');
	emit->separate = true;
	put(emit, '"');
	puts_escaped(emit, key);
	puts_plain(emit, "\":");
}

/** Head of a metric family and its one sample, up to and without the value's label. */
static void metric(struct pg64_emit *emit, const char *key, const char *type, const char *help,
	const char *suffix)
{
	putf(emit, "# TYPE " METRIC_PREFIX "%s%s %s\n", emit->prefix, key, type);
	putf(emit, "# HELP " METRIC_PREFIX "%s%s ", emit->prefix, key);
	puts_escaped(emit, help);
	putf(emit, "\n" METRIC_PREFIX "%s%s%s{pid=\"%d\"", emit->prefix, key, suffix, emit->pid);
}

static void text_name(struct pg64_emit *emit, const char *key)
{
	int width = NAME_WIDTH - (int)strlen(emit->prefix);

	putf(emit, NAME_COLUMN, emit->prefix, width > 0 ? width : 0, key);
}

void pg64_emit_start(
	struct pg64_emit *emit, enum pg64_format format, char *buf, size_t size, int pid)
{
	*emit = (struct pg64_emit){
		.format = format,
		.buf = buf,
		.size = size,
		.pid = pid,
		.prefix = "",
	};
	if (format == PG64_FORMAT_JSON)
		put(emit, '{');
}

int pg64_emit_finish(struct pg64_emit *emit)
{
	if (emit->format == PG64_FORMAT_JSON)
		puts_plain(emit, "}\n");
	else if (emit->format == PG64_FORMAT_OPENMETRICS)
		puts_plain(emit, "# EOF\n");
	return emit->len <= emit->size ? (int)emit->len : -ENOSPC;
}

void pg64_emit_begin(struct pg64_emit *emit, const char *key, const char *prefix)
{
	emit->prefix = prefix;
	if (emit->format != PG64_FORMAT_JSON)
		return;
	json_key(emit, key);
	put(emit, '{');
	emit->separate = false;
}

void pg64_emit_end(struct pg64_emit *emit)
{
	emit->prefix = "";
	if (emit->format != PG64_FORMAT_JSON)
		return;
	put(emit, '}');
	emit->separate = true;
}

static void text_u64(struct pg64_emit *emit, const char *key, uint64_t value, const char *help)
{
	text_name(emit, key);
	if (has_suffix(key, "_bytes") && value >= PG64_MIB)
		putf(emit, "%10llu.%llu MiB  ", (unsigned long long)(value / PG64_MIB),
			(unsigned long long)(value % PG64_MIB * 10 / PG64_MIB));
	else
		putf(emit, "%16llu  ", (unsigned long long)value);
	puts_escaped(emit, help);
	put(emit, '\n');
}

void pg64_emit_u64(struct pg64_emit *emit, const char *key, uint64_t value,
	enum pg64_emit_kind kind, const char *help)
{
	bool counter = kind == PG64_EMIT_COUNTER;

	if (emit->format == PG64_FORMAT_JSON) {
		json_key(emit, key);
		putf(emit, "%llu", (unsigned long long)value);
	} else if (kind == PG64_EMIT_META) {
		return;
	} else if (emit->format == PG64_FORMAT_TEXT) {
		if (value || !counter)
			text_u64(emit, key, value, help);
	} else {
		metric(emit, key, counter ? "counter" : "gauge", help, counter ? "_total" : "");
		putf(emit, "} %llu\n", (unsigned long long)value);
	}
}

void pg64_emit_bool(struct pg64_emit *emit, const char *key, bool value, const char *help)
{
	if (emit->format == PG64_FORMAT_JSON) {
		json_key(emit, key);
		puts_plain(emit, value ? "true" : "false");
	} else if (emit->format == PG64_FORMAT_TEXT) {
		text_name(emit, key);
		puts_plain(emit, value ? "yes\n" : "no\n");
	} else {
		metric(emit, key, "gauge", help, "");
		putf(emit, "} %d\n", value);
	}
}

void pg64_emit_string(struct pg64_emit *emit, const char *key, const char *value, const char *help)
{
	if (emit->format == PG64_FORMAT_JSON) {
		json_key(emit, key);
		put(emit, '"');
		puts_escaped(emit, value);
		put(emit, '"');
	} else if (emit->format == PG64_FORMAT_TEXT) {
		text_name(emit, key);
		puts_escaped(emit, value);
		put(emit, '\n');
	} else {
		metric(emit, key, "info", help, "_info");
		puts_plain(emit, ",value=\"");
		puts_escaped(emit, value);
		puts_plain(emit, "\"} 1\n");
	}
}

void pg64_emit_ppm(
	struct pg64_emit *emit, const char *key, bool known, uint64_t ppm, const char *help)
{
	if (emit->format == PG64_FORMAT_JSON) {
		json_key(emit, key);
		if (known)
			putf(emit, "%llu", (unsigned long long)ppm);
		else
			puts_plain(emit, "null");
	} else if (emit->format == PG64_FORMAT_TEXT) {
		text_name(emit, "ratio");
		if (known)
			putf(emit, "%11llu.%02llu %%  ", (unsigned long long)(ppm / 10000),
				(unsigned long long)(ppm / 100 % 100));
		else
			puts_plain(emit, "         unknown  ");
		puts_escaped(emit, help);
		put(emit, '\n');
	} else if (known) {
		metric(emit, "ratio", "gauge", help, "");
		putf(emit, "} %llu.%06llu\n", (unsigned long long)(ppm / 1000000),
			(unsigned long long)(ppm % 1000000));
	}
}

void pg64_emit_note(struct pg64_emit *emit, const char *line)
{
	if (emit->format != PG64_FORMAT_TEXT)
		return;
	puts_escaped(emit, line);
	put(emit, '\n');
}
