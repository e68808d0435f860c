/* SPDX-License-Identifier: MIT */
/*
 * The list of findings of `pg64 doctor` (see finding.h).
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "finding.h"

void finding_add(struct findings *findings, const char *group, const char *name,
	enum finding_status status, const char *mend, const char *fmt, ...)
{
	struct finding *list =
		realloc(findings->list, (findings->count + 1) * sizeof(*findings->list));
	struct finding *finding;
	va_list ap;
	int n;

	if (!list) {
		tool_say("out of memory: finding '%s' is left out", name);
		return;
	}
	findings->list = list;
	finding = &list[findings->count];
	finding->group = group;
	snprintf(finding->name, sizeof(finding->name), "%s", name);
	finding->status = status;
	finding->mend = mend ? strdup(mend) : NULL;
	va_start(ap, fmt);
	n = vasprintf(&finding->text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		free(finding->mend);
		tool_say("out of memory: finding '%s' is left out", name);
		return;
	}
	findings->count++;
}

const char *finding_status_name(enum finding_status status)
{
	static const char *const names[] = {"ok", "note", "problem"};

	return names[status];
}

void findings_print(const struct findings *findings)
{
	const char *group = "";

	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->list[i];

		if (strcmp(group, finding->group) != 0)
			printf("%s%s\n", i ? "\n" : "", finding->group);
		group = finding->group;
		printf("  %-8s %-30s %s\n", finding_status_name(finding->status), finding->name,
			finding->text);
		if (finding->mend)
			printf("  %-8s %-30s -> %s\n", "", "", finding->mend);
	}
}

void findings_free(struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++) {
		free(findings->list[i].text);
		free(findings->list[i].mend);
	}
	free(findings->list);
	memset(findings, 0, sizeof(*findings));
}
