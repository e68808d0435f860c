/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID as `pg64 stat` needs it (see proc.h). A process may end at any moment: what is read
 * then is empty or gives ESRCH, never an error of ours.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"

/* include/linux/sched.h; the kernel keeps it for /proc/PID/stat. */
#define PF_KTHREAD 0x00200000u

const char *region_kind_name(enum region_kind kind)
{
	static const char *const names[] = {"heap", "anon", "shared", "stack", "file"};

	return names[kind];
}

int proc_pid(const char *word)
{
	long pid;

	if (!*word || word[strspn(word, "0123456789")] || strlen(word) > 10)
		return 0;
	pid = strtol(word, NULL, 10);
	return pid > INT_MAX ? 0 : (int)pid;
}

void proc_make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

static void read_exe(struct process *process, const char *name, size_t name_len)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", process->pid);
	n = readlink(path, process->exe, sizeof(process->exe) - 1);
	if (n > 0)
		process->exe[n] = '\0';
	else
		snprintf(process->exe, sizeof(process->exe), "[%.*s]", (int)name_len, name);
	proc_make_printable(process->exe);
}

int proc_read(int pid, struct process *process)
{
	char path[64], text[2048], *name, *end;
	unsigned int flags;

	memset(process, 0, sizeof(*process));
	process->pid = pid;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (tool_read(path, text, sizeof(text)) <= 0)
		return -ESRCH;
	/* The name may hold anything, brackets and line ends included. */
	name = strchr(text, '(');
	end = strrchr(text, ')');
	if (!name || !end || end < name ||
		sscanf(end + 1, " %c %d %*d %*d %*d %*d %u %" SCNu64 " %*u %" SCNu64,
			&process->state, &process->parent, &flags, &process->minor_faults,
			&process->major_faults) != 5)
		return -ESRCH;
	process->kernel_thread = flags & PF_KTHREAD;
	if (process->state == 'Z' || process->state == 'X')
		return -ESRCH;
	read_exe(process, name + 1, (size_t)(end - name - 1));
	return 0;
}

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static enum region_kind classify(const char *permissions, const char *name)
{
	if (starts_with(name, "[anon:pg64-heap"))
		return REGION_HEAP;
	if (starts_with(name, "[stack"))
		return REGION_STACK;
	if (starts_with(name, "/dev/zero") || starts_with(name, "/memfd:") ||
		starts_with(name, "/SYSV") || starts_with(name, "/dev/shm/") ||
		starts_with(name, "[anon_shmem"))
		return REGION_SHARED;
	if (!*name || starts_with(name, "[heap]") || starts_with(name, "[anon"))
		return permissions[3] == 's' ? REGION_SHARED : REGION_ANON;
	return REGION_FILE;
}

/* The first line of a region. */
static bool parse_header(const char *line, struct region *region)
{
	char permissions[5];
	int name_at = 0;

	if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %" SCNx64 " %x:%x %*s %n", &region->start,
		    &region->end, permissions, &region->offset, &region->major, &region->minor,
		    &name_at) < 6 ||
		!name_at)
		return false;
	region->kind = classify(permissions, line + name_at);
	region->shared = permissions[3] == 's';
	region->advised = false;
	region->flags = 0;
	region->resident_bytes = region->pss_bytes = region->swap_bytes = 0;
	return true;
}

/* The words have two letters each, with a blank in front. */
static void parse_flags(const char *line, struct region *region)
{
	static const struct {
		const char *word;
		unsigned int flag;
	} words[] = {{" io", REGION_DEVICE}, {" pf", REGION_DEVICE}, {" mm", REGION_DEVICE},
		{" dp", REGION_DEVICE}, {" ht", REGION_DEVICE}, {" nh", REGION_NO_HUGE},
		{" gd", REGION_GROWS}, {" ss", REGION_GROWS}};

	region->advised = strstr(line, " hg") || strstr(line, " p6");
	for (size_t i = 0; i < TOOL_ARRAY_LEN(words); i++)
		if (strstr(line, words[i].word))
			region->flags |= words[i].flag;
}

static void parse_field(const char *line, struct region *region)
{
	uint64_t kib;

	if (sscanf(line, "Rss: %" SCNu64, &kib) == 1)
		region->resident_bytes = kib * 1024;
	else if (sscanf(line, "Pss: %" SCNu64, &kib) == 1)
		region->pss_bytes = kib * 1024;
	else if (sscanf(line, "Swap: %" SCNu64, &kib) == 1)
		region->swap_bytes = kib * 1024;
	else if (starts_with(line, "VmFlags:"))
		parse_flags(line, region);
}

int proc_each_region(
	int pid, void (*visit)(void *context, const struct region *region), void *context)
{
	char path[64], *line = NULL;
	struct region region = {0};
	size_t size = 0;
	FILE *smaps;
	int err;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	smaps = fopen(path, "re");
	if (!smaps)
		return errno == ENOENT ? -ESRCH : -errno;
	while (errno = 0, getline(&line, &size, smaps) > 0) {
		line[strcspn(line, "\n")] = '\0';
		/* A field's name starts with a capital, a region with an address. */
		if (line[0] >= 'A' && line[0] <= 'Z') {
			parse_field(line, &region);
			if (starts_with(line, "VmFlags:") && region.end)
				visit(context, &region);
		} else if (!parse_header(line, &region)) {
			region = (struct region){0};
		}
	}
	/* Without memory for a line there is no ferror() either. */
	err = feof(smaps) ? 0 : -errno;
	free(line);
	fclose(smaps);
	return err;
}

struct family_entry {
	int pid;
	int parent;
};

static int list_processes(struct family_entry **entries)
{
	struct family_entry *list = NULL;
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int count = 0, room = 0;

	if (!proc)
		return -errno;
	while ((entry = readdir(proc)) != NULL) {
		struct process process;

		if (entry->d_name[strspn(entry->d_name, "0123456789")] ||
			proc_read(atoi(entry->d_name), &process))
			continue;
		if (count == room) {
			void *more = realloc(list, (size_t)(room = room * 2 + 64) * sizeof(*list));

			if (!more) {
				free(list);
				closedir(proc);
				return -ENOMEM;
			}
			list = more;
		}
		list[count++] = (struct family_entry){process.pid, process.parent};
	}
	closedir(proc);
	*entries = list;
	return count;
}

static int by_pid(const void *a, const void *b)
{
	const struct family_entry *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* Does @entry descend from @pid? Bounded: the list was not read in one instant. */
static bool descends(
	const struct family_entry *entries, int count, const struct family_entry *entry, int pid)
{
	for (int depth = 0; entry && depth < count; depth++) {
		struct family_entry key = {.pid = entry->parent};

		if (entry->pid == pid)
			return true;
		entry = bsearch(&key, entries, (size_t)count, sizeof(*entries), by_pid);
	}
	return false;
}

int proc_family(int pid, int **pids)
{
	struct family_entry *entries = NULL;
	int count = list_processes(&entries);
	int n = 0;

	*pids = NULL;
	if (count < 0)
		return count;
	*pids = calloc((size_t)count + 1, sizeof(**pids));
	if (!*pids) {
		free(entries);
		return -ENOMEM;
	}
	if (count)
		qsort(entries, (size_t)count, sizeof(*entries), by_pid);
	for (int i = 0; i < count; i++)
		if (descends(entries, count, &entries[i], pid))
			(*pids)[n++] = entries[i].pid;
	free(entries);
	return n;
}
