/* SPDX-License-Identifier: MIT */
/*
 * The parts of `pg64 doctor`: the machine, a program's file, a running process.
 */
#ifndef PG64_TOOL_DOCTOR_H
#define PG64_TOOL_DOCTOR_H

#include "finding.h"
#include "program.h"

struct doctor {
	const char *root; /* "" for the running machine; else probing is skipped */
	int pid; /* the process that is looked at, 0: none */
	char command[PATH_MAX]; /* its command line */
	struct findings findings;
	struct pg64_probe probes[PG64_MEM_KINDS][PG64_BACKENDS];
	size_t page_bytes;
	enum pg64_backend best[PG64_MEM_KINDS]; /* UNKNOWN: not probed and not to be expected */
	bool program_blocked; /* the program's heap stays on base pages whatever the machine can */
	bool heap_is_foreign; /* the heap is the program's own; pg64 sees its mappings */
	enum pg64_backend live_heap; /* of the process; UNKNOWN: not known */
};

/** Is this not a capture but the machine we run on? */
static inline bool doctor_is_real(const struct doctor *doctor)
{
	return !doctor->root[0];
}

/** Probe each backend for each kind of memory, or guess from the knobs of a capture. */
void doctor_probe(struct doctor *doctor);

/**
 * The line that gives the backend mthp to @kind. NULL where the kernel has no such knob, or where
 * it is set and something else is in the way.
 */
const char *doctor_enable_line(const struct doctor *doctor, enum pg64_mem kind);

void doctor_kernel(struct doctor *doctor);
void doctor_knobs(struct doctor *doctor);
void doctor_limits(struct doctor *doctor);
void doctor_backends(struct doctor *doctor);
void doctor_options(struct doctor *doctor);

/** @command: as typed, for the lines to type. */
void doctor_program(struct doctor *doctor, const struct program *program, const char *command);

/** Is the process there, and not a zombie? */
bool doctor_has_process(const struct doctor *doctor);

/** 0, or -ESRCH when the process has gone meanwhile. */
int doctor_process(struct doctor *doctor);

#endif /* PG64_TOOL_DOCTOR_H */
