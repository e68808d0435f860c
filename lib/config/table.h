/* SPDX-License-Identifier: MIT */
/*
 * Inside of the config layer: the option table by index, and loading from a given environment, so
 * that tests need no process of their own for each case.
 */
#ifndef PG64_CONFIG_TABLE_H
#define PG64_CONFIG_TABLE_H

#include "config.h"

/** Room for the explanation of one mistake. */
#define PG64_CONFIG_MESSAGE 320

/** What is before the name of an option in the environment. */
#define PG64_ENV_PREFIX "PG64_"

/** Number of options. */
unsigned int pg64_config_count(void);

/** Name of option @index, which must be in the table. */
const char *pg64_config_name(unsigned int index);

/** Does option @index keep the pointer to its text? */
bool pg64_config_is_string(unsigned int index);

/** Index of @name, or -ENOENT. */
int pg64_config_find(const char *name);

/** The name most like @name, or NULL when none is. */
const char *pg64_config_closest(const char *name);

/**
 * Set option @index from text. 0, or -EINVAL with what is wrong with the value in @message, which
 * does not name the option.
 */
int pg64_config_set_index(struct pg64_config *config, unsigned int index, const char *value,
	char *message, size_t message_size);

/** What a configuration is made from. */
struct pg64_config_source {
	const char *conf_path; /* the administrator's policy file; NULL: none */
	char *const *env; /* NULL-terminated */
	const char *exe; /* path of the program; NULL: ask the kernel if need be */
	bool secure; /* a set-id process: its environment is not read */
};

/** pg64_config_load() from @source. */
void pg64_config_load_from(struct pg64_config *config, const struct pg64_config_source *source);

/** Does @text match @pattern, in which `*` is any text and `?` any one character? */
bool pg64_glob(const char *pattern, const char *text);

#endif /* PG64_CONFIG_TABLE_H */
