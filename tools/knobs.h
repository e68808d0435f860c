/* SPDX-License-Identifier: MIT */
/*
 * The kernel knobs that `pg64 enable` sets, and the record of what they were, so that
 * `pg64 disable` undoes it exactly.
 */
#ifndef PG64_TOOL_KNOBS_H
#define PG64_TOOL_KNOBS_H

#include "tool.h"

#define KNOBS_STATE "/run/pg64/knobs.json"
#define KNOBS_BOOT "/etc/tmpfiles.d/pg64.conf"
#define KNOBS_MAX 2

#define KNOB_VALUE_BYTES 32

struct knob {
	const char *path;
	const char *wanted;
	char old[KNOB_VALUE_BYTES]; /* before pg64 changed it; "" : pg64 has not changed it */
};

struct knobs {
	const char *root;
	bool boot_file; /* KNOBS_BOOT is there, and ours */
	bool state_file;
	struct knob list[KNOBS_MAX];
};

/** Index into knobs.list. */
enum { KNOB_ENABLED, KNOB_SHMEM };

/**
 * Read what an earlier `pg64 enable` left: the state file of this boot, else the old values noted
 * in the file for later boots. 0, or -errno with one line on standard error.
 */
int knobs_load(struct knobs *knobs, const char *root);

/** Write the state file: the knobs with an old value. 0 or -errno. */
int knobs_save(const struct knobs *knobs);

/** Write the file that sets the knobs at each boot to what they are now. 0 or -errno. */
int knobs_save_boot(const struct knobs *knobs);

/** Remove both files, as far as they are there. 0 or -errno. */
int knobs_forget(const struct knobs *knobs);

/** The value that is set now. 0; -ENOENT: the kernel has no such knob; other -errno. */
int knob_get(const struct knobs *knobs, const struct knob *knob, char value[KNOB_VALUE_BYTES]);
int knob_set(const struct knobs *knobs, const struct knob *knob, const char *value);

#endif /* PG64_TOOL_KNOBS_H */
