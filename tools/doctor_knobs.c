/* SPDX-License-Identifier: MIT */
/*
 * pg64 doctor: the kernel and its transparent huge page knobs.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

#define ECHO_KNOB(value, path) "echo " value " | sudo tee " path

static int knob(const struct doctor *doctor, const char *path, char *word, size_t size)
{
	char text[256];
	int n = tool_read_at(doctor->root, path, text, sizeof(text));

	word[0] = '\0';
	if (n >= 0)
		tool_selected(text, word, size);
	return n < 0 ? n : 0;
}

void doctor_kernel(struct doctor *doctor)
{
	struct findings *out = &doctor->findings;
	char text[256], size[TOOL_BYTES_TEXT];

	if (tool_read_at(doctor->root, "/proc/sys/kernel/osrelease", text, sizeof(text)) < 0)
		snprintf(text, sizeof(text), "not known");
	finding_add(out, "kernel", "release", FINDING_OK, NULL,
		"%s (for information; nothing is decided by it)", text);
	tool_bytes(doctor->page_bytes, size);
	if (doctor->page_bytes >= PG64_GRANULE)
		finding_add(out, "kernel", "base page", FINDING_OK, NULL,
			"%s: this kernel's pages are that large already, there is nothing to do",
			size);
	else
		finding_add(out, "kernel", "base page", FINDING_OK, NULL, "%s%s", size,
			doctor_is_real(doctor) ? "" : " (of this machine, not of the capture)");
	if (tool_read_at(doctor->root, TOOL_THP "/hpage_pmd_size", text, sizeof(text)) >= 0)
		finding_add(out, "kernel", "PMD size", FINDING_OK, NULL, "%s",
			tool_bytes(strtoull(text, NULL, 10), size));
	else
		finding_add(out, "kernel", "PMD size", FINDING_NOTE, NULL,
			"not known: no %s; this kernel has no transparent huge pages, or /sys is "
			"not mounted",
			TOOL_THP);
}

/* The knobs of pg64's kernel patches; that they are there says that the patches are. */
static void check_patches(struct doctor *doctor)
{
	struct findings *out = &doctor->findings;
	bool base = doctor->best[PG64_MEM_HEAP] == PG64_BACKEND_BASE ||
		    doctor->best[PG64_MEM_HEAP] == PG64_BACKEND_UNKNOWN;
	char word[64];

	if (knob(doctor, "/proc/sys/vm/pagesize_64k", word, sizeof(word))) {
		finding_add(out, "kernel", "pagesize_64k", FINDING_NOTE, NULL,
			"no such knob: this kernel does not have pg64's patches");
		return;
	}
	if (strcmp(word, "0") == 0)
		finding_add(out, "kernel", "pagesize_64k", base ? FINDING_PROBLEM : FINDING_NOTE,
			"sudo sysctl vm.pagesize_64k=1",
			"0: this kernel has pg64's patches, but they are switched off");
	else
		finding_add(out, "kernel", "pagesize_64k", FINDING_OK, NULL,
			"%s: this kernel has pg64's patches, and they are on", word);
	if (knob(doctor, "/proc/sys/vm/pagesize_64k_cow", word, sizeof(word)))
		return;
	if (strcmp(word, "0") == 0)
		finding_add(out, "kernel", "pagesize_64k_cow", FINDING_NOTE,
			"sudo sysctl vm.pagesize_64k_cow=1",
			"0: a write after fork copies 4 KiB, and its 64 KiB page is lost");
	else
		finding_add(out, "kernel", "pagesize_64k_cow", FINDING_OK, NULL,
			"%s: a write after fork copies 64 KiB", word);
}

static void check_enabled(struct doctor *doctor)
{
	char word[64];

	if (knob(doctor, TOOL_THP "/enabled", word, sizeof(word)))
		return;
	finding_add(&doctor->findings, "knobs", "enabled",
		strcmp(word, "always") == 0 ? FINDING_NOTE : FINDING_OK, NULL,
		strcmp(word, "always") == 0 ? "%s: programs without pg64 get 2 MiB pages; pg64 "
					      "keeps them out of its memory"
					    : "%s (the sizes below that say 'inherit' follow it)",
		word);
}

static void check_defrag(struct doctor *doctor)
{
	char word[64];

	if (knob(doctor, TOOL_THP "/defrag", word, sizeof(word)))
		return;
	if (strcmp(word, "never") == 0)
		finding_add(&doctor->findings, "knobs", "defrag", FINDING_NOTE,
			ECHO_KNOB("madvise", TOOL_THP "/defrag"),
			"never: page faults take 64 KiB pages only where they lie ready; on a full "
			"or "
			"fragmented machine they become 4 KiB");
	else
		finding_add(&doctor->findings, "knobs", "defrag", FINDING_OK, NULL, "%s", word);
}

static void check_shmem(struct doctor *doctor)
{
	char word[64];

	if (knob(doctor, TOOL_THP "/shmem_enabled", word, sizeof(word)))
		return;
	if (strcmp(word, "deny") == 0)
		finding_add(&doctor->findings, "knobs", "shmem_enabled", FINDING_PROBLEM,
			ECHO_KNOB("never", TOOL_THP "/shmem_enabled"),
			"deny: no shared memory gets large pages, whatever the size below says");
	else
		finding_add(
			&doctor->findings, "knobs", "shmem_enabled", FINDING_OK, NULL, "%s", word);
}

static void check_khugepaged(struct doctor *doctor)
{
	char scan[64], none[64], defrag[64];

	if (knob(doctor, TOOL_THP "/khugepaged/defrag", defrag, sizeof(defrag)))
		return;
	knob(doctor, TOOL_THP "/khugepaged/pages_to_scan", scan, sizeof(scan));
	knob(doctor, TOOL_THP "/khugepaged/max_ptes_none", none, sizeof(none));
	finding_add(&doctor->findings, "knobs", "khugepaged", FINDING_OK, NULL,
		"defrag %s, pages_to_scan %s, max_ptes_none %s (pg64's fences keep it from making "
		"2 MiB pages)",
		defrag, scan, none);
}

static void missing_64k(struct doctor *doctor)
{
	bool other = doctor->best[PG64_MEM_HEAP] != PG64_BACKEND_BASE &&
		     doctor->best[PG64_MEM_HEAP] != PG64_BACKEND_UNKNOWN;

	finding_add(&doctor->findings, "knobs", "hugepages-64kB/enabled",
		other ? FINDING_NOTE : FINDING_PROBLEM, NULL,
		"no such knob: multi-size pages came with Linux 6.8; without it %s",
		other ? "pg64 uses another backend (below)"
		      : "heaps can be collapsed to 2 MiB pages at best (see backends)");
}

static void check_64k(struct doctor *doctor)
{
	struct findings *out = &doctor->findings;
	const char *name = "hugepages-64kB/enabled";
	bool base = doctor->best[PG64_MEM_HEAP] == PG64_BACKEND_BASE ||
		    doctor->best[PG64_MEM_HEAP] == PG64_BACKEND_UNKNOWN;
	char word[64], global[64];

	if (knob(doctor, TOOL_THP_64K "/enabled", word, sizeof(word))) {
		missing_64k(doctor);
		return;
	}
	knob(doctor, TOOL_THP "/enabled", global, sizeof(global));
	if (strcmp(word, "inherit") == 0 && strcmp(global, "never") != 0)
		finding_add(
			out, "knobs", name, FINDING_OK, NULL, "inherit, which gives %s", global);
	else if (strcmp(word, "madvise") == 0 || strcmp(word, "always") == 0)
		finding_add(out, "knobs", name, FINDING_OK, NULL, "%s", word);
	else
		finding_add(out, "knobs", name, base ? FINDING_PROBLEM : FINDING_NOTE,
			"sudo pg64 enable", "%s: the backend mthp is not to be had", word);
}

static void check_64k_shmem(struct doctor *doctor)
{
	struct findings *out = &doctor->findings;
	const char *name = "hugepages-64kB/shmem_enabled";
	enum pg64_backend best = doctor->best[PG64_MEM_SHARED];
	char word[64];

	if (knob(doctor, TOOL_THP_64K "/shmem_enabled", word, sizeof(word)))
		finding_add(out, "knobs", name, FINDING_NOTE, NULL,
			"no such knob: shared memory of 64 KiB pages came with Linux 6.11");
	else if (strcmp(word, "never") == 0)
		finding_add(out, "knobs", name,
			best == PG64_BACKEND_PATCHED ? FINDING_OK : FINDING_NOTE,
			best == PG64_BACKEND_PATCHED ? NULL : "sudo pg64 enable --shmem",
			"never: shared memory (PostgreSQL's buffers, say) stays on base pages");
	else
		finding_add(out, "knobs", name, FINDING_OK, NULL, "%s", word);
}

static int size_entry(const struct dirent *entry)
{
	return strncmp(entry->d_name, "hugepages-", 10) == 0;
}

static int by_size(const struct dirent **a, const struct dirent **b)
{
	unsigned long x = strtoul((*a)->d_name + 10, NULL, 10);
	unsigned long y = strtoul((*b)->d_name + 10, NULL, 10);

	return (x > y) - (x < y);
}

/* The other sizes: only what is on can matter, yet each is shown. */
static void check_size(struct doctor *doctor, const char *folder)
{
	char path[PATH_MAX], anon[64], shmem[64], name[64];
	unsigned long kib = strtoul(folder + 10, NULL, 10);
	const char *effect = "";

	if (kib * 1024 == PG64_GRANULE)
		return;
	if (tool_path(path, TOOL_THP, "/%s/enabled", folder) ||
		knob(doctor, path, anon, sizeof(anon)))
		snprintf(anon, sizeof(anon), "none");
	if (tool_path(path, TOOL_THP, "/%s/shmem_enabled", folder) ||
		knob(doctor, path, shmem, sizeof(shmem)))
		snprintf(shmem, sizeof(shmem), "none");
	if (kib >= 2048 && strcmp(anon, "never") != 0 && strcmp(anon, "none") != 0)
		effect = "; it would win over 64 KiB, so pg64 fences it out of its own memory";
	else if (kib > 64 && kib < 2048 && strcmp(anon, "never") != 0 && strcmp(anon, "none") != 0)
		effect = "; the kernel prefers it to 64 KiB, and it counts as 64 KiB";
	snprintf(name, sizeof(name), "%.60s", folder);
	finding_add(&doctor->findings, "knobs", name, FINDING_OK, NULL,
		"enabled %s, shmem_enabled %s%s", anon, shmem, effect);
}

void doctor_knobs(struct doctor *doctor)
{
	struct dirent **entries = NULL;
	char path[PATH_MAX];
	int n;

	check_patches(doctor);
	check_enabled(doctor);
	check_64k(doctor);
	check_64k_shmem(doctor);
	check_shmem(doctor);
	check_defrag(doctor);
	check_khugepaged(doctor);
	if (tool_path(path, doctor->root, "%s", TOOL_THP))
		return;
	n = scandir(path, &entries, size_entry, by_size);
	for (int i = 0; i < n; i++) {
		check_size(doctor, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}
