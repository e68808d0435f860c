/* SPDX-License-Identifier: MIT */
/*
 * The record of what `pg64 enable` changed (see knobs.h).
 *
 * Two files: one below /run that a reboot takes away together with the values themselves, and with
 * --persist one for systemd-tmpfiles. The second notes the old values in comments: after a reboot
 * they are known from nowhere else.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "knobs.h"

#define BOOT_MARK "# Written by pg64 enable --persist; pg64 disable removes it.\n"
#define BOOT_OLD "# before: "

static const struct knob all_knobs[KNOBS_MAX] = {
	[KNOB_ENABLED] = {TOOL_THP_64K "/enabled", "madvise", ""},
	[KNOB_SHMEM] = {TOOL_THP_64K "/shmem_enabled", "advise", ""},
};

/* A value of a state file goes to sysfs again: only a plain word is taken. */
static void note_old(struct knobs *knobs, const char *path, const char *old)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";

	if (!old || !*old || old[strspn(old, letters)] || strlen(old) >= KNOB_VALUE_BYTES)
		return;
	for (size_t i = 0; i < KNOBS_MAX; i++)
		if (strcmp(knobs->list[i].path, path) == 0)
			snprintf(knobs->list[i].old, KNOB_VALUE_BYTES, "%s", old);
}

static int load_state(struct knobs *knobs)
{
	char path[PATH_MAX], text[4096];
	struct json_object *state, *list, *entry;
	int n = tool_path(path, knobs->root, KNOBS_STATE);

	if (!n)
		n = tool_read(path, text, sizeof(text));
	if (n == -ENOENT)
		return 0;
	if (n < 0) {
		tool_say("cannot read %s: %s", path, strerror(-n));
		return n;
	}
	state = json_tokener_parse(text);
	list = json_object_is_type(state, json_type_object) ? json_object_object_get(state, "knobs")
							    : NULL;
	if (!json_object_is_type(list, json_type_array)) {
		tool_say("%s is damaged: look at it, then remove it: sudo rm %s", path, path);
		json_object_put(state);
		return -EINVAL;
	}
	knobs->state_file = true;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		entry = json_object_array_get_idx(list, i);
		if (json_object_is_type(entry, json_type_object) &&
			json_object_object_get_ex(entry, "path", NULL))
			note_old(knobs,
				json_object_get_string(json_object_object_get(entry, "path")),
				json_object_get_string(json_object_object_get(entry, "old")));
	}
	json_object_put(state);
	return 0;
}

static int load_boot(struct knobs *knobs)
{
	char path[PATH_MAX], text[4096], *line, *save = NULL;
	int n = tool_path(path, knobs->root, KNOBS_BOOT);

	if (!n)
		n = tool_read(path, text, sizeof(text));
	/* A file of somebody else by that name is left alone. */
	if (n < 0 || strncmp(text, BOOT_MARK, strlen(BOOT_MARK)) != 0)
		return 0;
	knobs->boot_file = true;
	if (knobs->state_file)
		return 0;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *value;

		if (strncmp(line, BOOT_OLD, strlen(BOOT_OLD)) != 0)
			continue;
		line += strlen(BOOT_OLD);
		value = strchr(line, ' ');
		if (!value)
			continue;
		*value++ = '\0';
		note_old(knobs, line, value);
	}
	return 0;
}

int knobs_load(struct knobs *knobs, const char *root)
{
	int err;

	memset(knobs, 0, sizeof(*knobs));
	knobs->root = root;
	memcpy(knobs->list, all_knobs, sizeof(knobs->list));
	err = load_state(knobs);
	return err ? err : load_boot(knobs);
}

int knobs_save(const struct knobs *knobs)
{
	struct json_object *state = json_object_new_object();
	struct json_object *list = json_object_new_array();
	char path[PATH_MAX];
	int err;

	json_object_object_add(state, "pg64_knobs", json_object_new_int(1));
	for (size_t i = 0; i < KNOBS_MAX; i++) {
		const struct knob *knob = &knobs->list[i];
		struct json_object *entry;

		if (!knob->old[0])
			continue;
		entry = json_object_new_object();
		json_object_object_add(entry, "path", json_object_new_string(knob->path));
		json_object_object_add(entry, "old", json_object_new_string(knob->old));
		json_object_object_add(entry, "set", json_object_new_string(knob->wanted));
		json_object_array_add(list, entry);
	}
	json_object_object_add(state, "knobs", list);
	err = tool_path(path, knobs->root, KNOBS_STATE);
	if (!err)
		err = tool_replace(
			path, json_object_to_json_string_ext(state,
				      JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(state);
	return err;
}

int knobs_save_boot(const struct knobs *knobs)
{
	char path[PATH_MAX], value[KNOB_VALUE_BYTES], *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int err;

	if (!out)
		return -errno;
	fputs(BOOT_MARK, out);
	for (size_t i = 0; i < KNOBS_MAX; i++)
		if (knobs->list[i].old[0])
			fprintf(out, BOOT_OLD "%s %s\n", knobs->list[i].path, knobs->list[i].old);
	for (size_t i = 0; i < KNOBS_MAX; i++)
		if (knobs->list[i].old[0] && !knob_get(knobs, &knobs->list[i], value))
			fprintf(out, "w %s - - - - %s\n", knobs->list[i].path, value);
	err = fclose(out) ? -errno : tool_path(path, knobs->root, KNOBS_BOOT);
	if (!err)
		err = tool_replace(path, text);
	free(text);
	return err;
}

static int forget(const struct knobs *knobs, const char *file)
{
	char path[PATH_MAX];
	int err = tool_path(path, knobs->root, "%s", file);

	if (err)
		return err;
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

int knobs_forget(const struct knobs *knobs)
{
	int err = forget(knobs, KNOBS_STATE);

	if (knobs->boot_file && !err)
		err = forget(knobs, KNOBS_BOOT);
	return err;
}

int knob_get(const struct knobs *knobs, const struct knob *knob, char value[KNOB_VALUE_BYTES])
{
	char text[256];
	int n = tool_read_at(knobs->root, knob->path, text, sizeof(text));

	if (n < 0)
		return n;
	tool_selected(text, value, KNOB_VALUE_BYTES);
	return 0;
}

int knob_set(const struct knobs *knobs, const struct knob *knob, const char *value)
{
	char path[PATH_MAX];
	int err = tool_path(path, knobs->root, "%s", knob->path);

	return err ? err : tool_write(path, value);
}
