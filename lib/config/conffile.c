/* SPDX-License-Identifier: MIT */
/*
 * Loading: the defaults, then the policy file, then a second one that PG64_CONFIG names, then the
 * environment. Each wins over what came before, but for `deny`, which stays.
 *
 * May run inside the first malloc() of the process: no allocation, no stdio, no getenv(); the
 * largest thing on the stack is one buffer of lines, since it may be a thread's small stack.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/args.h"
#include "base/counters.h"
#include "base/fmt.h"
#include "base/lines.h"
#include "base/sys.h"
#include "config.h"
#include "table.h"

#define FILE_LIMIT 65536
#define POOL_BYTES 4096
#define EXE_BYTES 4096
#define NAME_BYTES 64
/* A file that is no policy at all would fill the screen. */
#define MISTAKES_SHOWN 8

#define DELETED " (deleted)"

/* Copies of the values that are text: programs write over their environment to set their title. */
static char pool[POOL_BYTES];
static size_t pool_used;

/* Too large for the stack; the configuration is loaded once. */
static char exe_path[EXE_BYTES];

struct policy {
	struct pg64_config *config;
	const struct pg64_config_source *source;
	const char *path; /* static storage */
	const char *exe; /* NULL: not asked for yet */
	bool in_force; /* the section applies to this program */
	bool denied;
	unsigned int line;
	unsigned int mistakes;
};

bool pg64_glob(const char *pattern, const char *text)
{
	const char *after_star = NULL;
	const char *retry = NULL;

	while (*text) {
		if (*pattern == '*') {
			after_star = ++pattern;
			retry = text;
		} else if (*pattern == '?' || (*pattern && *pattern == *text)) {
			pattern++;
			text++;
		} else if (after_star) {
			pattern = after_star;
			text = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/** A copy of @text that lives as long as the process, or NULL when the pool is full. */
static const char *keep(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = pool + pool_used;

	if (size > sizeof(pool) - pool_used)
		return NULL;
	memcpy(copy, text, size);
	pool_used += size;
	return copy;
}

/**
 * Set option @index, or say what is wrong in @message. @origin has static storage.
 */
static int set_option(struct pg64_config *config, unsigned int index, const char *value,
	const char *origin, char *message, size_t size)
{
	size_t mark = pool_used;
	const char *kept = value;
	int err;

	if (pg64_config_is_string(index)) {
		kept = keep(value);
		if (!kept) {
			pg64_snprintf(message, size, "\"%.80s\" is too long", value);
			return -EINVAL;
		}
	}
	err = pg64_config_set_index(config, index, kept, message, size);
	if (err)
		pool_used = mark;
	else
		config->origin[index] = origin;
	return err;
}

static void policy_mistake(struct policy *policy, const char *text, const char *message)
{
	pg64_count(PG64_C_bad_option);
	if (policy->mistakes++ >= MISTAKES_SHOWN) {
		if (policy->mistakes == MISTAKES_SHOWN + 1)
			pg64_log("%s:%u: more mistakes from here on, not shown", policy->path,
				policy->line);
		return;
	}
	pg64_log("%s:%u: %.80s%s%s", policy->path, policy->line, text, *text ? ": " : "", message);
}

static void find_exe(struct policy *policy)
{
	const char *execfn = (const char *)pg64_auxval(AT_EXECFN, 0);
	const size_t deleted = sizeof(DELETED) - 1;
	ssize_t len;

	if (policy->exe)
		return;
	policy->exe = policy->source->exe;
	if (policy->exe)
		return;

	len = pg64_sys_readlink("/proc/self/exe", exe_path, sizeof(exe_path) - 1);
	if (len <= 0) {
		/* No /proc: what exec() was called with is the best there is. */
		policy->exe = execfn ? execfn : "";
		return;
	}
	/* The file was replaced while its program runs. */
	if ((size_t)len > deleted && memcmp(exe_path + len - deleted, DELETED, deleted) == 0)
		len -= (ssize_t)deleted;
	exe_path[len] = '\0';
	policy->exe = exe_path;
}

/** A pattern with a slash is one of paths, any other is one of file names. */
static bool is_this_program(struct policy *policy, const char *pattern)
{
	const char *slash;

	if (strcmp(pattern, "*") == 0)
		return true;
	find_exe(policy);
	if (strchr(pattern, '/'))
		return pg64_glob(pattern, policy->exe);
	slash = strrchr(policy->exe, '/');
	return pg64_glob(pattern, slash ? slash + 1 : policy->exe);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/** Cut blanks from both ends of @text, in place. */
static char *trim(char *text)
{
	size_t len;

	while (is_blank(*text))
		text++;
	len = strlen(text);
	while (len && is_blank(text[len - 1]))
		len--;
	text[len] = '\0';
	return text;
}

/** Cut a comment: a `#` at the start of the line or after a blank. */
static void cut_comment(char *line)
{
	for (char *c = line; *c; c++) {
		if (*c == '#' && (c == line || is_blank(c[-1]))) {
			*c = '\0';
			return;
		}
	}
}

static void policy_section(struct policy *policy, char *line)
{
	size_t len = strlen(line);
	char *pattern;

	/* Whom the lines after a header that makes no sense are for, nobody knows. */
	policy->in_force = false;
	if (line[len - 1] != ']') {
		policy_mistake(policy, line, "a section starts with [PROGRAM]");
		return;
	}
	line[len - 1] = '\0';
	pattern = trim(line + 1);
	if (!*pattern) {
		policy_mistake(policy, "[]", "a section starts with [PROGRAM]");
		return;
	}
	policy->in_force = is_this_program(policy, pattern);
}

static void policy_option(struct policy *policy, char *line, char *equals)
{
	char message[PG64_CONFIG_MESSAGE];
	char suggestion[NAME_BYTES];
	const char *closest;
	const char *name;
	int index;

	*equals = '\0';
	name = trim(line);
	index = pg64_config_find(name);
	if (index < 0) {
		closest = pg64_config_closest(name);
		pg64_snprintf(suggestion, sizeof(suggestion), "no such option; %s%s%s",
			closest ? "did you mean " : "pg64(7) lists them", closest ? closest : "",
			closest ? "?" : "");
		policy_mistake(policy, name, suggestion);
		return;
	}
	if (set_option(policy->config, (unsigned int)index, trim(equals + 1), policy->path, message,
		    sizeof(message)) != 0)
		policy_mistake(policy, name, message);
}

static void policy_line(struct policy *policy, char *line)
{
	char *equals;

	cut_comment(line);
	line = trim(line);
	if (!*line)
		return;
	if (*line == '[') {
		policy_section(policy, line);
		return;
	}
	if (!policy->in_force)
		return;

	equals = strchr(line, '=');
	if (equals)
		policy_option(policy, line, equals);
	else if (strcmp(line, "deny") == 0)
		policy->denied = true;
	else if (strcmp(line, "allow") == 0)
		policy->denied = false;
	else
		policy_mistake(policy, line,
			"not understood; give name = value, deny, allow or [PROGRAM]");
}

/** Apply the file @path. Returns whether it denies pg64 to this program. */
static bool apply_file(struct pg64_config *config, const struct pg64_config_source *source,
	const char *path, bool must_exist)
{
	/* What comes before the first section is for every program. */
	struct policy policy = {
		.config = config,
		.source = source,
		.path = path,
		.in_force = true,
	};
	struct pg64_lines lines;
	int err = pg64_lines_open(&lines, path);

	if (err) {
		if (must_exist || (err != -ENOENT && err != -ENOTDIR)) {
			pg64_count(PG64_C_bad_option);
			pg64_log("%s: cannot be read (error %d); running without it", path, -err);
		}
		return false;
	}

	while ((err = pg64_lines_next(&lines)) > 0) {
		policy.line = lines.number;
		if (lines.read_bytes - (lines.end - lines.start) > FILE_LIMIT) {
			policy_mistake(&policy, "", "longer than 64 KiB; the rest is ignored");
			break;
		}
		if (lines.cut)
			policy_mistake(&policy, "", "longer than 511 bytes; the line is ignored");
		else
			policy_line(&policy, lines.line);
	}
	if (err < 0) {
		policy.line = lines.number + 1;
		policy_mistake(&policy, "", "cannot be read from here on");
	}
	pg64_lines_close(&lines);
	return policy.denied;
}

/** Write the environment's name of @option into @buf: "PG64_MMAP_MIN". */
static void env_name(const char *option, char *buf, size_t size)
{
	size_t len = (size_t)pg64_snprintf(buf, size, PG64_ENV_PREFIX "%s", option);

	for (size_t i = 0; i < len && i < size - 1; i++)
		if (buf[i] >= 'a' && buf[i] <= 'z')
			buf[i] = (char)(buf[i] - 'a' + 'A');
}

static int find_env_option(const char *name)
{
	char candidate[NAME_BYTES];

	for (unsigned int i = 0; i < pg64_config_count(); i++) {
		env_name(pg64_config_name(i), candidate, sizeof(candidate));
		if (strcmp(candidate, name) == 0)
			return (int)i;
	}
	return -ENOENT;
}

static void unknown_env(const char *name)
{
	char lower[NAME_BYTES];
	char suggestion[NAME_BYTES];
	const char *closest;

	/* In lower case, so that a name in the wrong case is a slip too. */
	pg64_snprintf(lower, sizeof(lower), "%s", name + strlen(PG64_ENV_PREFIX));
	for (char *c = lower; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');

	pg64_count(PG64_C_bad_option);
	closest = pg64_config_closest(lower);
	if (!closest) {
		pg64_log("%s: no such option; pg64(7) lists them", name);
		return;
	}
	env_name(closest, suggestion, sizeof(suggestion));
	pg64_log("%s: no such option; did you mean %s?", name, suggestion);
}

/** The policy file's name, and what libpg64-profile.so, the pg64 command and the tests are told. */
static bool is_read_elsewhere(const char *name)
{
	static const char *const names[] = {
		"PG64_CONFIG", "PG64_LIBRARY", "PG64_PROFILE", "PG64_PROFILE_UNWIND", "PG64_TOOL"};

	for (size_t i = 0; i < PG64_ARRAY_LEN(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static void apply_env_entry(struct pg64_config *config, const char *entry)
{
	char message[PG64_CONFIG_MESSAGE];
	char kept[128];
	char name[NAME_BYTES];
	size_t len = strcspn(entry, "=");
	int index;

	if (entry[len] != '=')
		return;
	pg64_snprintf(
		name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name)), entry);
	if (is_read_elsewhere(name))
		return;
	index = find_env_option(name);
	if (index < 0) {
		unknown_env(name);
		return;
	}
	if (set_option(config, (unsigned int)index, entry + len + 1, "environment", message,
		    sizeof(message)) == 0)
		return;

	pg64_count(PG64_C_bad_option);
	pg64_config_print(config, (unsigned int)index, kept, sizeof(kept));
	pg64_log("%s: %s; running with %s", name, message, kept);
}

/** The second policy file, or NULL. */
static const char *named_file(char *const *env)
{
	static const char name[] = "PG64_CONFIG=";

	for (; *env; env++)
		if (strncmp(*env, name, sizeof(name) - 1) == 0 && (*env)[sizeof(name) - 1])
			return *env + sizeof(name) - 1;
	return NULL;
}

static void deny(struct pg64_config *config, const char *path)
{
	int index = pg64_config_find("enable");

	config->denied = true;
	config->enable = false;
	if (index >= 0)
		config->origin[index] = path;
}

void pg64_config_load_from(struct pg64_config *config, const struct pg64_config_source *source)
{
	const char *denied_by = NULL;
	const char *second = NULL;

	pg64_config_defaults(config);
	if (source->conf_path && apply_file(config, source, source->conf_path, false))
		denied_by = source->conf_path;

	if (!source->secure) {
		second = named_file(source->env);
		second = second ? keep(second) : NULL;
		/* The user's file may deny too, but not lift the administrator's ban. */
		if (second && apply_file(config, source, second, true) && !denied_by)
			denied_by = second;
		for (char *const *entry = source->env; *entry; entry++)
			if (strncmp(*entry, PG64_ENV_PREFIX, strlen(PG64_ENV_PREFIX)) == 0)
				apply_env_entry(config, *entry);
	}
	if (denied_by)
		deny(config, denied_by);
}

void pg64_config_load(struct pg64_config *config, const char *conf_path)
{
	struct pg64_config_source source = {
		.conf_path = conf_path,
		.env = pg64_env_all(),
		.secure = pg64_secure(),
	};

	pg64_config_load_from(config, &source);
}
