/* SPDX-License-Identifier: MIT */
/*
 * What `pg64 doctor` found: a list of findings, each with a status and the command line that mends
 * it, and its two forms, text and JSON.
 */
#ifndef PG64_TOOL_FINDING_H
#define PG64_TOOL_FINDING_H

#include "tool.h"

enum finding_status {
	FINDING_OK,
	FINDING_NOTE, /* works, or is by design; there may be something better */
	FINDING_PROBLEM, /* stands between memory and 64 KiB pages */
};

struct finding {
	const char *group; /* "kernel", "knobs", ...: static storage */
	char name[64];
	enum finding_status status;
	char *text;
	char *mend; /* a line to type, or NULL where nothing is to be mended */
};

struct findings {
	struct finding *list;
	size_t count;
};

/** Add one; @mend may be NULL. Out of memory is said once and the finding is dropped. */
void finding_add(struct findings *findings, const char *group, const char *name,
	enum finding_status status, const char *mend, const char *fmt, ...) TOOL_PRINTF(6, 7);

const char *finding_status_name(enum finding_status status);

void findings_print(const struct findings *findings);
void findings_free(struct findings *findings);

#endif /* PG64_TOOL_FINDING_H */
