/* SPDX-License-Identifier: MIT */
/*
 * The parts of `pg64 adopt`: what of a process can be moved to 64 KiB pages, the calls that do it,
 * what came of them.
 */
#ifndef PG64_TOOL_ADOPT_H
#define PG64_TOOL_ADOPT_H

#include "statview.h"

/* Advice of pg64's kernel patch series: kernel-patch/ABI.md. */
#define ADOPT_MADV_64K 164
#define ADOPT_MADV_DEFAULT 165

/* Why memory is left alone. */
enum adopt_reason {
	ADOPT_FILE,
	ADOPT_STACK,
	ADOPT_DEVICE,
	ADOPT_NO_HUGE,
	ADOPT_MISPLACED,
	ADOPT_SMALL,
	ADOPT_REASONS,
};

struct adopt_count {
	uint64_t ranges;
	uint64_t bytes; /* of address space */
	uint64_t resident_bytes;
};

/* What the kernel said no to, by errno. */
#define ADOPT_ERRORS 8
struct adopt_refusal {
	int error;
	uint64_t ranges;
	uint64_t bytes;
};

enum adopt_state {
	ADOPT_ADOPTED,
	ADOPT_ENDED, /* meanwhile: no error */
	ADOPT_FAILED, /* ->error */
	ADOPT_KERNEL_THREAD, /* has no memory of its own */
	ADOPT_THP_DISABLED, /* by prctl(PR_SET_THP_DISABLE), which wins */
};

struct adopt_device {
	unsigned int major, minor;
};

struct adopt_process {
	int pid;
	int fd; /* pidfd: takes the advice, and tells whether the pid is still this process's */
	enum adopt_state state;
	int error; /* -errno */
	bool done;
	struct stat_process before, after;
	uint64_t advised_bytes; /* of address space */
	struct adopt_count left[ADOPT_REASONS];
	struct adopt_refusal refused[ADOPT_ERRORS];
	unsigned int halved; /* ranges that were refused as a whole */
	bool mounts_read;
	struct adopt_device *tmpfs; /* what the process sees of them */
	size_t tmpfs_count;
	struct adopt_seen *seen; /* where shared memory was mapped before */
};

struct adopt {
	int advice;
	bool dry_run;
	bool all;
	bool unsettled; /* new processes kept coming */
	bool json;
	int kernel_error; /* of the probe: 0, -EINVAL: no patch, -EOPNOTSUPP: off */
	struct adopt_process **list;
	int count;
	int asked; /* of the list, the first ones: named by the user */
};

/* ---- one process (adopt_process.c) ---------------------------------------- */

/** Does this kernel know the advice? 0 or -errno; nothing is changed. */
int adopt_probe(int advice);

/** Open the process and measure it. ->state and ->error say what came of it. */
void adopt_look(struct adopt_process *process);

/** Advise its memory. */
void adopt_move(struct adopt_process *process, int advice, bool dry_run);

/** Measure it again. */
void adopt_look_again(struct adopt_process *process);

/** Has it ended since it was looked at? Then its number may be another's. */
bool adopt_has_ended(const struct adopt_process *process);

void adopt_close(struct adopt_process *process);

/* ---- shared memory that the kernel unmaps as it mends it (adopt_seen.c) ------------------- */

/** Add to @seen which granules of the region are mapped now. 0 or -errno. */
int adopt_seen_add(struct adopt_seen **seen, int pid, const struct region *region);

/** Have the kernel map them again. What cannot be is left to the process's own faults. */
void adopt_seen_touch(const struct adopt_seen *seen, int pid);

void adopt_seen_free(struct adopt_seen *seen);

/* ---- what is shown (adopt_view.c) ---------------------------------------- */

void adopt_print(const struct adopt *adopt);

#endif /* PG64_TOOL_ADOPT_H */
