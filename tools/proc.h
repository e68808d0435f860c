/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID as `pg64 stat` needs it: the memory regions with their resident sizes, the fault
 * counts, the family of a process.
 */
#ifndef PG64_TOOL_PROC_H
#define PG64_TOOL_PROC_H

#include "tool.h"

enum region_kind {
	REGION_HEAP, /* arenas of pg64, where the kernel keeps the names of mappings */
	REGION_ANON,
	REGION_SHARED, /* shared anonymous memory, memfd, System V */
	REGION_STACK,
	REGION_FILE,
	REGION_KINDS,
};

const char *region_kind_name(enum region_kind kind);

/* Of VmFlags, what bears on large pages. */
/*
 * io: registers of a device; pf, mm: page frames that a driver or the kernel maps by itself; ht:
 * hugetlbfs; dp: droppable, the state of the vDSO's random numbers.
 */
#define REGION_DEVICE 1u
#define REGION_NO_HUGE 2u /* nh: MADV_NOHUGEPAGE; the stacks of threads have it from Linux 6.7 on */
#define REGION_GROWS 4u /* gd: a stack; ss: a shadow stack */

struct region {
	uintptr_t start;
	uintptr_t end;
	enum region_kind kind;
	bool advised; /* VmFlags hg or p6: asked for large pages */
	bool shared;
	unsigned int flags; /* REGION_... */
	uint64_t offset; /* of @start in the file */
	unsigned int major, minor; /* of the file's device */
	uint64_t resident_bytes;
	uint64_t pss_bytes;
	uint64_t swap_bytes;
};

struct process {
	int pid;
	int parent;
	char state;
	char exe[PATH_MAX]; /* or the name in brackets; made printable, so nothing to open */
	bool kernel_thread;
	uint64_t minor_faults;
	uint64_t major_faults;
};

/** A process id as typed; 0 when @word is none. */
int proc_pid(const char *word);

/**
 * Replace what is no printable ASCII by '?'. Names are the process's to choose: what root is shown
 * must hold no escape sequences and no rows of its own, and JSON is UTF-8.
 */
void proc_make_printable(char *text);

/** 0; -ESRCH: no such process, or a zombie. */
int proc_read(int pid, struct process *process);

/**
 * Call @visit for each region of the process, empty ones included. 0; -ESRCH: gone; -EACCES: not
 * allowed; other -errno.
 */
int proc_each_region(
	int pid, void (*visit)(void *context, const struct region *region), void *context);

/**
 * @pid and its descendants, in a fresh array that is the caller's. The count, or -errno.
 */
int proc_family(int pid, int **pids);

#endif /* PG64_TOOL_PROC_H */
