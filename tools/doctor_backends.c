/* SPDX-License-Identifier: MIT */
/*
 * pg64 doctor: which backend each kind of memory gets, by probing; for a captured machine only
 * what the knobs let one expect.
 */
#include <stdio.h>
#include <string.h>

#include "doctor.h"

static void probe_one(struct doctor *doctor, enum pg64_mem kind, enum pg64_backend backend)
{
	struct pg64_probe *probe = &doctor->probes[kind][backend];

	memset(probe, 0, sizeof(*probe));
	probe->size = sizeof(*probe);
	if (pg64_probe(backend, kind, probe)) {
		probe->error = -1;
		snprintf(probe->reason, sizeof(probe->reason), "the probe could not be made");
	}
	probe->reason[sizeof(probe->reason) - 1] = '\0';
}

/* What a knob of 64 KiB memory promises, by its own word or the global one. */
static bool promises(const struct doctor *doctor, const char *path, const char *global_path)
{
	char text[256], word[64];

	if (tool_read_at(doctor->root, path, text, sizeof(text)) < 0)
		return false;
	tool_selected(text, word, sizeof(word));
	if (strcmp(word, "inherit") == 0) {
		if (tool_read_at(doctor->root, global_path, text, sizeof(text)) < 0)
			return false;
		tool_selected(text, word, sizeof(word));
	}
	return strcmp(word, "never") != 0 && strcmp(word, "deny") != 0;
}

static void expect(struct doctor *doctor)
{
	char patched[16] = "0";
	bool anon = promises(doctor, TOOL_THP_64K "/enabled", TOOL_THP "/enabled");
	bool shared = promises(doctor, TOOL_THP_64K "/shmem_enabled", TOOL_THP "/shmem_enabled");

	doctor->best[PG64_MEM_HEAP] = anon ? PG64_BACKEND_MTHP : PG64_BACKEND_UNKNOWN;
	doctor->best[PG64_MEM_ANON] = doctor->best[PG64_MEM_HEAP];
	doctor->best[PG64_MEM_SHARED] = shared ? PG64_BACKEND_MTHP : PG64_BACKEND_UNKNOWN;
	if (tool_read_at(doctor->root, "/proc/sys/vm/pagesize_64k", patched, sizeof(patched)) < 0 ||
		strcmp(patched, "0") == 0)
		return;
	for (int kind = 0; kind < PG64_MEM_KINDS; kind++)
		doctor->best[kind] = PG64_BACKEND_PATCHED;
}

void doctor_probe(struct doctor *doctor)
{
	if (!doctor_is_real(doctor)) {
		expect(doctor);
		return;
	}
	for (int kind = 0; kind < PG64_MEM_KINDS; kind++) {
		doctor->best[kind] = PG64_BACKEND_BASE;
		for (int backend = PG64_BACKEND_PATCHED; backend < PG64_BACKENDS; backend++) {
			const struct pg64_probe *probe = &doctor->probes[kind][backend];

			probe_one(doctor, (enum pg64_mem)kind, (enum pg64_backend)backend);
			if (!probe->error && doctor->best[kind] == PG64_BACKEND_BASE)
				doctor->best[kind] = (enum pg64_backend)backend;
		}
	}
}

const char *doctor_enable_line(const struct doctor *doctor, enum pg64_mem kind)
{
	bool shared = kind == PG64_MEM_SHARED;
	const char *path = shared ? TOOL_THP_64K "/shmem_enabled" : TOOL_THP_64K "/enabled";
	char text[256];

	if (tool_read_at(doctor->root, path, text, sizeof(text)) < 0 ||
		promises(doctor, path, shared ? TOOL_THP "/shmem_enabled" : TOOL_THP "/enabled"))
		return NULL;
	return shared ? "sudo pg64 enable --shmem" : "sudo pg64 enable";
}

static void add_expected(struct doctor *doctor)
{
	struct findings *out = &doctor->findings;

	finding_add(out, "backends", "probing", FINDING_NOTE, "pg64 doctor",
		"skipped: this is a captured machine; what follows is expected, not proved");
	for (int kind = 0; kind < PG64_MEM_KINDS; kind++) {
		const char *name = pg64_mem_name((enum pg64_mem)kind);

		if (doctor->best[kind] != PG64_BACKEND_UNKNOWN)
			finding_add(out, "backends", name, FINDING_OK, NULL,
				"%s to be expected from the knobs",
				pg64_backend_name(doctor->best[kind]));
		else
			finding_add(out, "backends", name,
				kind == PG64_MEM_HEAP ? FINDING_PROBLEM : FINDING_NOTE,
				doctor_enable_line(doctor, (enum pg64_mem)kind),
				"not mthp; whether patched or collapse works cannot be told "
				"without a probe");
	}
}

static void add_winner(struct doctor *doctor, enum pg64_mem kind)
{
	struct findings *out = &doctor->findings;
	const struct pg64_probe *probe = &doctor->probes[kind][doctor->best[kind]];
	const char *name = pg64_mem_name(kind);
	const char *enable = doctor_enable_line(doctor, kind);

	if (doctor->page_bytes >= PG64_GRANULE)
		finding_add(out, "backends", name, FINDING_OK, NULL,
			"the base pages are 64 KiB or more");
	else if (doctor->best[kind] == PG64_BACKEND_BASE)
		finding_add(out, "backends", name,
			kind == PG64_MEM_HEAP ? FINDING_PROBLEM : FINDING_NOTE, enable,
			"base: 4 KiB pages");
	else if (doctor->best[kind] == PG64_BACKEND_COLLAPSE)
		finding_add(out, "backends", name, FINDING_OK, enable,
			"collapse, 2 MiB at a time: %s%s", probe->reason,
			enable ? "; with 64 KiB pages enabled small heaps gain too" : "");
	else
		finding_add(out, "backends", name, FINDING_OK, NULL, "%s: %s",
			pg64_backend_name(doctor->best[kind]), probe->reason);
}

void doctor_backends(struct doctor *doctor)
{
	if (!doctor_is_real(doctor)) {
		add_expected(doctor);
		return;
	}
	for (int kind = 0; kind < PG64_MEM_KINDS; kind++) {
		add_winner(doctor, (enum pg64_mem)kind);
		for (int backend = PG64_BACKEND_PATCHED; backend < PG64_BACKENDS; backend++) {
			const struct pg64_probe *probe = &doctor->probes[kind][backend];
			char name[64], touched[48] = "";

			snprintf(name, sizeof(name), "  %s by %s",
				pg64_mem_name((enum pg64_mem)kind),
				pg64_backend_name((enum pg64_backend)backend));
			if (probe->touched_bytes)
				snprintf(touched, sizeof(touched), " [one touch: %u bytes]",
					probe->touched_bytes);
			finding_add(&doctor->findings, "backends", name,
				probe->error ? FINDING_NOTE : FINDING_OK, NULL, "%s: %s%s%s",
				probe->error ? "no" : "works", probe->reason,
				probe->pmd_wins && !probe->error && backend == PG64_BACKEND_MTHP
					? "; 2 MiB pages are fenced out"
					: "",
				touched);
		}
	}
}
