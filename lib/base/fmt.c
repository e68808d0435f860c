/* SPDX-License-Identifier: MIT */
/*
 * Formatting, number parsing and logging for places where stdio cannot be used: see fmt.h.
 */
#include "fmt.h"

#include <errno.h>
#include <string.h>

#include "sys.h"

#define LINE_BYTES 512

struct out {
	char *buf;
	size_t size;
	size_t len; /* of the whole text, cut or not */
};

/* One conversion, as parsed. */
struct spec {
	bool left;
	bool zero;
	int width;
	int precision; /* -1: none */
	int longs; /* 2: 64 bits; on LP64 the same as 1 */
};

static unsigned int log_level;
static int log_fd = 2;

static void put(struct out *out, char c)
{
	if (out->len + 1 < out->size)
		out->buf[out->len] = c;
	out->len++;
}

static void put_repeated(struct out *out, char c, int count)
{
	while (count-- > 0)
		put(out, c);
}

static void put_text(struct out *out, const struct spec *spec, const char *text)
{
	int len = 0;

	if (!text)
		text = "(null)";
	while ((spec->precision < 0 || len < spec->precision) && text[len])
		len++;
	if (!spec->left)
		put_repeated(out, ' ', spec->width - len);
	for (int i = 0; i < len; i++)
		put(out, text[i]);
	if (spec->left)
		put_repeated(out, ' ', spec->width - len);
}

/** @prefix ("-", "0x" or "") goes before the zeros of a zero-padded number. */
static void put_number(struct out *out, const struct spec *spec, uint64_t value, unsigned int base,
	const char *prefix)
{
	char digits[20];
	int count = 0;
	int padding;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);

	padding = spec->width - count - (int)strlen(prefix);
	if (!spec->left && !spec->zero)
		put_repeated(out, ' ', padding);
	while (*prefix)
		put(out, *prefix++);
	if (!spec->left && spec->zero)
		put_repeated(out, '0', padding);
	while (count)
		put(out, digits[--count]);
	if (spec->left)
		put_repeated(out, ' ', padding);
}

static const char *parse_count(const char *fmt, int *value, va_list *args)
{
	*value = 0;
	if (*fmt == '*') {
		*value = va_arg(*args, int);
		return fmt + 1;
	}
	while (*fmt >= '0' && *fmt <= '9' && *value < 10000)
		*value = *value * 10 + (*fmt++ - '0');
	return fmt;
}

static const char *parse_spec(const char *fmt, struct spec *spec, va_list *args)
{
	*spec = (struct spec){.precision = -1};
	for (; *fmt == '-' || *fmt == '0'; fmt++) {
		if (*fmt == '-')
			spec->left = true;
		else
			spec->zero = true;
	}
	fmt = parse_count(fmt, &spec->width, args);
	if (*fmt == '.')
		fmt = parse_count(fmt + 1, &spec->precision, args);
	for (; *fmt == 'l' || *fmt == 'z'; fmt++)
		spec->longs++;
	return fmt;
}

static void put_signed(struct out *out, const struct spec *spec, va_list *args)
{
	int64_t value = spec->longs ? va_arg(*args, int64_t) : va_arg(*args, int);

	if (value < 0)
		put_number(out, spec, -(uint64_t)value, 10, "-");
	else
		put_number(out, spec, (uint64_t)value, 10, "");
}

static void put_conversion(struct out *out, const struct spec *spec, char conversion, va_list *args)
{
	switch (conversion) {
	case 's':
		put_text(out, spec, va_arg(*args, const char *));
		break;
	case 'c':
		put_text(out, spec, (char[]){(char)va_arg(*args, int), '\0'});
		break;
	case 'd':
	case 'i':
		put_signed(out, spec, args);
		break;
	case 'u':
	case 'x':
		put_number(out, spec,
			spec->longs ? va_arg(*args, uint64_t) : va_arg(*args, unsigned int),
			conversion == 'x' ? 16 : 10, "");
		break;
	case 'p':
		put_number(out, spec, (uintptr_t)va_arg(*args, void *), 16, "0x");
		break;
	default: /* '%' and whatever this subset lacks */
		put(out, conversion);
	}
}

int pg64_vsnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
	struct out out = {buf, size, 0};
	struct spec spec;
	va_list copy;

	/* As a parameter a va_list may be a pointer; a copy can have its address taken. */
	va_copy(copy, args);
	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			put(&out, *fmt);
			continue;
		}
		fmt = parse_spec(fmt + 1, &spec, &copy);
		if (!*fmt)
			break;
		put_conversion(&out, &spec, *fmt, &copy);
	}
	va_end(copy);
	if (size)
		buf[out.len < size ? out.len : size - 1] = '\0';
	return (int)out.len;
}

int pg64_snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = pg64_vsnprintf(buf, size, fmt, args);
	va_end(args);
	return len;
}

/** Parse the digits at @text into @value. The first character after them, or NULL: none. */
static const char *parse_digits(const char *text, uint64_t *value, int *err)
{
	const char *start = text;

	*value = 0;
	*err = 0;
	for (; *text >= '0' && *text <= '9'; text++) {
		uint64_t digit = (uint64_t)(*text - '0');

		if (__builtin_mul_overflow(*value, 10, value) ||
			__builtin_add_overflow(*value, digit, value))
			*err = -ERANGE;
	}
	return text == start ? NULL : text;
}

int pg64_parse_uint(const char *text, uint64_t *value)
{
	uint64_t parsed;
	int err;

	text = parse_digits(text, &parsed, &err);
	if (!text || *text)
		return -EINVAL;
	if (!err)
		*value = parsed;
	return err;
}

int pg64_parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	const char *unit;
	uint64_t parsed;
	int shift = 0;
	int err;

	text = parse_digits(text, &parsed, &err);
	if (!text)
		return -EINVAL;

	unit = *text ? strchr(units, *text) : NULL;
	if (unit) {
		shift = 10 * (int)(unit - units + 1);
		text++;
		if (text[0] == 'i' && text[1] == 'B')
			text++;
	}
	if (*text == 'B')
		text++;
	if (*text)
		return -EINVAL;
	if (err || parsed > UINT64_MAX >> shift)
		return -ERANGE;
	*bytes = parsed << shift;
	return 0;
}

static void log_line(const char *fmt, va_list args)
{
	static const char prefix[] = "pg64: ";
	const size_t start = sizeof(prefix) - 1;
	char line[LINE_BYTES];
	size_t room = sizeof(line) - start;
	size_t len;

	memcpy(line, prefix, start);
	/* The byte of the NUL is where the newline goes. */
	len = (size_t)pg64_vsnprintf(line + start, room, fmt, args);
	len = start + (len < room ? len : room - 1);
	/* What is printed may come from the environment: it stays one line and moves no cursor. */
	for (size_t i = start; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[len] = '\n';
	pg64_sys_write_nosig(log_fd, line, len + 1);
}

void pg64_log(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_line(fmt, args);
	va_end(args);
}

void pg64_verbose(unsigned int level, const char *fmt, ...)
{
	va_list args;

	if (level > log_level)
		return;
	va_start(args, fmt);
	log_line(fmt, args);
	va_end(args);
}

void pg64_log_setup(unsigned int level, int fd)
{
	log_level = level;
	log_fd = fd < 0 ? 2 : fd;
}
