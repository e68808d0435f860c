/* SPDX-License-Identifier: MIT */
/*
 * The configuration: one option table (options.def), filled in from the defaults, /etc/pg64.conf
 * and the environment, in this order, and immutable from then on.
 */
#ifndef PG64_CONFIG_H
#define PG64_CONFIG_H

#include "base/base.h"

enum pg64_pmd { PG64_PMD_OFF, PG64_PMD_ALLOW, PG64_PMD_AUTO };
enum pg64_format { PG64_FORMAT_TEXT, PG64_FORMAT_JSON, PG64_FORMAT_OPENMETRICS };

/* C types of the option types of options.def. */
typedef bool pg64_type_bool;
typedef size_t pg64_type_size;
typedef unsigned int pg64_type_uint;
typedef const char *pg64_type_string;
typedef enum pg64_backend pg64_type_backend;
typedef enum pg64_pmd pg64_type_pmd;
typedef enum pg64_format pg64_type_stats_format;

struct pg64_config {
#define PG64_OPTION(name, type, value, text, values, help) pg64_type_##type name;
#include "options.def"
#undef PG64_OPTION
	/** The policy file denies pg64 to this program; `enable` is 0 then. */
	bool denied;
	/** Where each value comes from: "default", "environment" or the path of a policy file. */
	const char *origin[16];
};

/**
 * Load the configuration of this process. Called once, by the composition root, possibly inside
 * the process's very first malloc: allocates nothing, and opens only @conf_path and the file that
 * PG64_CONFIG names, which is applied after it and cannot lift a `deny` of it.
 *
 * Each mistake gives one line on standard error that names the option, the value and what is
 * allowed, counts bad_option, and leaves the earlier value. In a set-id process the environment is
 * not read. Strings have static storage: programs write over their environment block.
 *
 * @conf_path: the policy file, "/etc/pg64.conf"; its absence is no mistake.
 */
void pg64_config_load(struct pg64_config *config, const char *conf_path);

/** The configuration with every default; for tests and as a starting point. */
void pg64_config_defaults(struct pg64_config *config);

/**
 * Set one option from text; one that is text keeps the pointer. 0, or -EINVAL with one line in
 * @message; the option then keeps its value.
 */
int pg64_config_set(struct pg64_config *config, const char *name, const char *value, char *message,
	size_t message_size);

/**
 * Write option @index as "name = value" into @buf. Returns the length, or -ENOENT past the last.
 * Used by PG64_VERBOSE=1 and by the statistics.
 */
int pg64_config_print(const struct pg64_config *config, unsigned int index, char *buf, size_t size);

#endif /* PG64_CONFIG_H */
