/* SPDX-License-Identifier: MIT */
/*
 * The option table: names, defaults, checks of values, and the part of it that is public.
 *
 * What is allowed is said once, for people, in options.def; the checks read the same words.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/fmt.h"
#include "table.h"

#define SINK_BYTES 1024
/* Longer names than any that a slip of the finger could have meant. */
#define NAME_BYTES 32

enum option_type {
	TYPE_bool,
	TYPE_size,
	TYPE_uint,
	TYPE_string,
	TYPE_backend,
	TYPE_pmd,
	TYPE_stats_format,
};

static const struct option {
	const char *name;
	const char *values;
	const char *fallback;
	const char *help;
	enum option_type type;
	size_t offset;
} options[] = {
#define PG64_OPTION(name, type, value, text, values, help)                                         \
	{#name, values, text, help, TYPE_##type, offsetof(struct pg64_config, name)},
#include "options.def"
#undef PG64_OPTION
};

_Static_assert(PG64_ARRAY_LEN(options) <= PG64_ARRAY_LEN(((struct pg64_config *)0)->origin),
	"pg64_config.origin has no room for more options");

unsigned int pg64_config_count(void)
{
	return PG64_ARRAY_LEN(options);
}

const char *pg64_config_name(unsigned int index)
{
	return options[index].name;
}

bool pg64_config_is_string(unsigned int index)
{
	return options[index].type == TYPE_string;
}

int pg64_config_find(const char *name)
{
	for (unsigned int i = 0; i < PG64_ARRAY_LEN(options); i++)
		if (strcmp(options[i].name, name) == 0)
			return (int)i;
	return -ENOENT;
}

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int least = a < b ? a : b;

	return least < c ? least : c;
}

/** Insertions, deletions and replacements that make @a of @b; UINT_MAX when @a is too long. */
static unsigned int edit_distance(const char *a, const char *b)
{
	unsigned int row[NAME_BYTES + 1];
	size_t len = strlen(a);

	if (len > NAME_BYTES)
		return UINT_MAX;
	for (unsigned int i = 0; i <= len; i++)
		row[i] = i;
	for (; *b; b++) {
		unsigned int diagonal = row[0]++;

		for (size_t i = 1; i <= len; i++) {
			unsigned int above = row[i];

			row[i] = min3(above + 1, row[i - 1] + 1, diagonal + (a[i - 1] != *b));
			diagonal = above;
		}
	}
	return row[len];
}

const char *pg64_config_closest(const char *name)
{
	/* Two slips are a typing mistake; more is another word. */
	unsigned int least = 3;
	const char *closest = NULL;

	for (unsigned int i = 0; i < PG64_ARRAY_LEN(options); i++) {
		unsigned int distance = edit_distance(name, options[i].name);

		if (distance < least && distance < strlen(options[i].name)) {
			least = distance;
			closest = options[i].name;
		}
	}
	return closest;
}

/** Position of @value in "a|b|c", or -EINVAL. */
static int find_choice(const char *values, const char *value)
{
	size_t len = strlen(value);

	for (int i = 0; len && *values; i++) {
		size_t word = strcspn(values, "|");

		if (word == len && strncmp(values, value, len) == 0)
			return i;
		values += word + (values[word] == '|');
	}
	return -EINVAL;
}

/** Read one end of the range "64K to 1T, with K, M, G or T". */
static uint64_t parse_limit(const char *text)
{
	char number[24];
	size_t len = strcspn(text, " ,");
	uint64_t value = 0;

	if (len < sizeof(number)) {
		memcpy(number, text, len);
		number[len] = '\0';
		pg64_parse_size(number, &value);
	}
	return value;
}

static bool in_range(const char *values, uint64_t value)
{
	static const char to[] = " to ";
	const char *high = strstr(values, to);

	if (!high)
		return false;
	return value >= parse_limit(values) && value <= parse_limit(high + sizeof(to) - 1);
}

static bool is_sink(const char *value)
{
	uint64_t fd;

	if (strlen(value) >= SINK_BYTES)
		return false;
	if (strncmp(value, "fd:", 3) != 0)
		return true;
	return pg64_parse_uint(value + 3, &fd) == 0 && fd <= INT_MAX;
}

/** Check @value and store it at @target. */
static int store(const struct option *option, const char *value, void *target)
{
	uint64_t number = 0;
	int choice = 0;

	switch (option->type) {
	case TYPE_size:
		if (pg64_parse_size(value, &number) != 0 || !in_range(option->values, number))
			return -EINVAL;
		*(size_t *)target = (size_t)number;
		return 0;
	case TYPE_uint:
		if (pg64_parse_uint(value, &number) != 0 || !in_range(option->values, number))
			return -EINVAL;
		*(unsigned int *)target = (unsigned int)number;
		return 0;
	case TYPE_string:
		if (!is_sink(value))
			return -EINVAL;
		*(const char **)target = value;
		return 0;
	default:
		break;
	}

	/* The rest is lists of words, in the order of the C enumeration. */
	choice = find_choice(option->values, value);
	if (choice < 0)
		return choice;
	if (option->type == TYPE_bool)
		*(bool *)target = choice != 0;
	else if (option->type == TYPE_backend)
		*(enum pg64_backend *)target = (enum pg64_backend)choice;
	else if (option->type == TYPE_pmd)
		*(enum pg64_pmd *)target = (enum pg64_pmd)choice;
	else
		*(enum pg64_format *)target = (enum pg64_format)choice;
	return 0;
}

int pg64_config_set_index(struct pg64_config *config, unsigned int index, const char *value,
	char *message, size_t message_size)
{
	const struct option *option = &options[index];
	int err = store(option, value, (char *)config + option->offset);

	if (err)
		pg64_snprintf(message, message_size, "\"%.80s\" is not allowed; give %s", value,
			option->values);
	return err;
}

void pg64_config_defaults(struct pg64_config *config)
{
	*config = (struct pg64_config){
#define PG64_OPTION(name, type, value, text, values, help) .name = value,
#include "options.def"
#undef PG64_OPTION
	};
	for (unsigned int i = 0; i < PG64_ARRAY_LEN(options); i++)
		config->origin[i] = "default";
}

int pg64_config_set(struct pg64_config *config, const char *name, const char *value, char *message,
	size_t message_size)
{
	int index = pg64_config_find(name);
	char why[PG64_CONFIG_MESSAGE];
	const char *closest;
	int err;

	if (index < 0) {
		closest = pg64_config_closest(name);
		pg64_snprintf(message, message_size, "%.80s: no such option; %s%s%s", name,
			closest ? "did you mean " : "pg64(7) lists them", closest ? closest : "",
			closest ? "?" : "");
		return -EINVAL;
	}
	err = pg64_config_set_index(config, (unsigned int)index, value, why, sizeof(why));
	if (err)
		pg64_snprintf(message, message_size, "%s: %s", name, why);
	return err;
}

/** The largest unit that loses nothing. */
static int print_size(char *buf, size_t size, const char *name, size_t value)
{
	static const char *const units[] = {"", "K", "M", "G", "T"};
	unsigned int unit = 0;

	while (value && value % 1024 == 0 && unit + 1 < PG64_ARRAY_LEN(units)) {
		value /= 1024;
		unit++;
	}
	return pg64_snprintf(buf, size, "%s = %zu%s", name, value, units[unit]);
}

int pg64_config_print(const struct pg64_config *config, unsigned int index, char *buf, size_t size)
{
	const struct option *option;
	const char *word;
	const void *value;
	unsigned int choice;

	if (index >= PG64_ARRAY_LEN(options))
		return -ENOENT;
	option = &options[index];
	value = (const char *)config + option->offset;
	switch (option->type) {
	case TYPE_size:
		return print_size(buf, size, option->name, *(const size_t *)value);
	case TYPE_uint:
		return pg64_snprintf(
			buf, size, "%s = %u", option->name, *(const unsigned int *)value);
	case TYPE_string:
		return pg64_snprintf(
			buf, size, "%s = %s", option->name, *(const char *const *)value);
	case TYPE_bool:
		choice = *(const bool *)value;
		break;
	case TYPE_backend:
		choice = *(const enum pg64_backend *)value;
		break;
	case TYPE_pmd:
		choice = *(const enum pg64_pmd *)value;
		break;
	default:
		choice = *(const enum pg64_format *)value;
	}

	for (word = option->values; choice > 0; choice--)
		word += strcspn(word, "|") + 1;
	return pg64_snprintf(buf, size, "%s = %.*s", option->name, (int)strcspn(word, "|"), word);
}

PG64_EXPORT int pg64_option_get(unsigned int index, struct pg64_option *option)
{
	if (!option || option->size < sizeof(*option))
		return -EINVAL;
	if (index >= PG64_ARRAY_LEN(options))
		return -ENOENT;
	option->name = options[index].name;
	option->values = options[index].values;
	option->fallback = options[index].fallback;
	option->help = options[index].help;
	return 0;
}

PG64_EXPORT int pg64_option_check(
	const char *name, const char *value, char *message, size_t message_size)
{
	struct pg64_config scratch;

	if (!message)
		message_size = 0;
	if (message_size)
		message[0] = '\0';
	if (!name || !value) {
		pg64_snprintf(message, message_size, "an option has a name and a value");
		return -EINVAL;
	}
	pg64_config_defaults(&scratch);
	return pg64_config_set(&scratch, name, value, message, message_size);
}
