/* SPDX-License-Identifier: MIT */
/*
 * pg64 adopt: one process. Its memory is read from smaps, made into ranges of whole granules, and
 * given to process_madvise(). The process runs on meanwhile: by the time of the call a range may be
 * gone or have become something else, and the process may have ended.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "adopt.h"

#define GIB ((uintptr_t)1 << 30)
#define BATCH_RANGES 1024 /* IOV_MAX */
/*
 * The kernel silently cuts a call's ranges to INT_MAX without its last page, which is no whole
 * granule and would be refused: stay below.
 */
#define BATCH_BYTES ((size_t)0x7fff0000)
/* Of a process that has become another by execve() nothing is left to be found. */
#define HALVED_MAX 50000

struct ranges {
	struct iovec *list;
	size_t count, room;
	struct adopt_process *process;
	uintptr_t start, end; /* of the run of neighbouring regions that is being collected */
	uint64_t resident_bytes;
	int error;
};

/* Not by the C library's name, which libpg64 may stand in front of. */
int adopt_probe(int advice)
{
	return syscall(SYS_madvise, NULL, 0, advice) ? -errno : 0;
}

static void append(struct ranges *ranges, uintptr_t start, size_t len)
{
	if (ranges->count == ranges->room) {
		size_t room = ranges->room * 2 + 64;
		void *more = realloc(ranges->list, room * sizeof(*ranges->list));

		if (!more) {
			ranges->error = -ENOMEM;
			return;
		}
		ranges->list = more;
		ranges->room = room;
	}
	ranges->list[ranges->count++] = (struct iovec){.iov_base = (void *)start, .iov_len = len};
}

static void count_left(struct adopt_process *process, enum adopt_reason reason, uint64_t bytes,
	uint64_t resident_bytes)
{
	struct adopt_count *count = &process->left[reason];

	count->ranges++;
	count->bytes += bytes;
	count->resident_bytes += resident_bytes;
}

/* The run's whole granules, in pieces that fit into a call. */
static void end_run(struct ranges *ranges)
{
	uintptr_t start = (ranges->start + PG64_GRANULE - 1) & ~(PG64_GRANULE - 1);
	uintptr_t end = ranges->end & ~(PG64_GRANULE - 1);

	if (ranges->end > ranges->start && start >= end)
		count_left(ranges->process, ADOPT_SMALL, ranges->end - ranges->start,
			ranges->resident_bytes);
	while (start < end) {
		size_t len = end - start < GIB ? end - start : GIB;

		append(ranges, start, len);
		start += len;
	}
	ranges->start = ranges->end = 0;
	ranges->resident_bytes = 0;
}

/* The devices of the tmpfs mounts that the process sees. */
static void read_mounts(struct adopt_process *process)
{
	char path[64], *line = NULL;
	size_t size = 0;
	FILE *mounts;

	process->mounts_read = true;
	snprintf(path, sizeof(path), "/proc/%d/mountinfo", process->pid);
	mounts = fopen(path, "re");
	while (mounts && getline(&line, &size, mounts) > 0) {
		struct adopt_device device, *more;

		/* Blanks in a path are written as \040. */
		if (!strstr(line, " - tmpfs ") ||
			sscanf(line, "%*d %*d %u:%u", &device.major, &device.minor) != 2)
			continue;
		more = realloc(process->tmpfs, (process->tmpfs_count + 1) * sizeof(*more));
		if (!more)
			break;
		process->tmpfs = more;
		process->tmpfs[process->tmpfs_count++] = device;
	}
	free(line);
	if (mounts)
		fclose(mounts);
}

/*
 * A file that is mapped shared: is it one that lives in memory? The file itself is not asked: it
 * may be on a server that is dead, and whoever asks then hangs.
 */
static bool on_tmpfs(struct adopt_process *process, const struct region *region)
{
	if (!region->shared)
		return false;
	if (!process->mounts_read)
		read_mounts(process);
	for (size_t i = 0; i < process->tmpfs_count; i++)
		if (process->tmpfs[i].major == region->major &&
			process->tmpfs[i].minor == region->minor)
			return true;
	return false;
}

/*
 * ADOPT_REASONS: to be adopted. PROT_NONE memory is: allocators reserve with it and open it with
 * mprotect() as they grow, and the flag stays, so that what grows starts on 64 KiB pages. It costs
 * nothing before. MADV_NOHUGEPAGE is not overruled, by the kernel neither.
 */
static enum adopt_reason judge(struct adopt_process *process, const struct region *region)
{
	if (region->flags & REGION_DEVICE)
		return ADOPT_DEVICE;
	if (region->kind == REGION_STACK || region->flags & REGION_GROWS)
		return ADOPT_STACK;
	/* A program that was started from a memfd is a file like others: private. */
	if ((region->kind == REGION_FILE && !on_tmpfs(process, region)) ||
		(region->kind == REGION_SHARED && !region->shared))
		return ADOPT_FILE;
	if (region->flags & REGION_NO_HUGE)
		return ADOPT_NO_HUGE;
	/* A file's granules are by offset: elsewhere no folio can be mapped as a whole. */
	if (region->shared && (region->start - region->offset) % PG64_GRANULE)
		return ADOPT_MISPLACED;
	return ADOPT_REASONS;
}

/*
 * Neighbours make one run, whose ends alone are cut to whole granules: a granule on the border of
 * two mappings counts once they are one, as with the open and the reserved part of a heap.
 */
static void add_region(void *context, const struct region *region)
{
	struct ranges *ranges = context;
	enum adopt_reason reason = judge(ranges->process, region);

	if (reason != ADOPT_REASONS) {
		count_left(ranges->process, reason, region->end - region->start,
			region->resident_bytes);
		return;
	}
	if (region->start != ranges->end) {
		end_run(ranges);
		ranges->start = region->start;
	}
	ranges->end = region->end;
	ranges->resident_bytes += region->resident_bytes;
}

static void count_refused(struct adopt_process *process, int error, size_t bytes)
{
	struct adopt_refusal *refusal = process->refused;

	/* There are not that many errors; the last place takes whatever comes. */
	while (refusal < &process->refused[ADOPT_ERRORS - 1] && refusal->error &&
		refusal->error != error)
		refusal++;
	refusal->error = error;
	refusal->ranges++;
	refusal->bytes += bytes;
}

/* How many of the ranges, at least one, go into a call. */
static size_t batch(const struct iovec *list, size_t count)
{
	size_t bytes = 0, n = 0;

	while (n < count && n < BATCH_RANGES && list[n].iov_len <= BATCH_BYTES - bytes)
		bytes += list[n++].iov_len;
	return n;
}

/* 0 or errno. Bytes of the ranges before the first that the kernel refused are in @done. */
static int call(const struct adopt_process *process, const struct iovec *list, size_t count,
	int advice, size_t *done)
{
	long ret = syscall(SYS_process_madvise, process->fd, list, count, advice, 0);

	*done = ret > 0 ? (size_t)ret : 0;
	return ret < 0 ? errno : 0;
}

/* Is this the end, whatever the range? */
static bool is_over(struct adopt_process *process, int error)
{
	if (error == ESRCH) {
		process->state = ADOPT_ENDED;
	} else if (error == EPERM || error == EACCES) {
		/* The right to do this does not depend on the range. */
		process->state = ADOPT_FAILED;
		process->error = -error;
	}
	return process->state != ADOPT_ADOPTED;
}

/*
 * @error is what the kernel said to the range. One mapping in it that has changed or gone is enough
 * for EINVAL and ENOMEM, so it is halved until the granules concerned are found.
 */
static void advise_apart(
	struct adopt_process *process, const struct iovec *range, int advice, int error)
{
	size_t low = range->iov_len / 2 & ~(PG64_GRANULE - 1), done;
	const struct iovec halves[] = {
		{range->iov_base, low}, {(char *)range->iov_base + low, range->iov_len - low}};

	if ((error != EINVAL && error != ENOMEM) || !low || process->halved == HALVED_MAX) {
		count_refused(process, error, range->iov_len);
		return;
	}
	process->halved++;
	for (size_t i = 0; i < TOOL_ARRAY_LEN(halves); i++) {
		error = call(process, &halves[i], 1, advice, &done);
		if (is_over(process, error))
			return;
		if (error)
			advise_apart(process, &halves[i], advice, error);
		if (process->state != ADOPT_ADOPTED)
			return;
		process->advised_bytes += done;
	}
}

/*
 * The kernel stops at the first range that it refuses and says how many bytes it has done before; a
 * call that begins with such a range gives the errno.
 */
static void advise(struct adopt_process *process, const struct ranges *ranges, int advice)
{
	for (size_t i = 0; i < ranges->count;) {
		const struct iovec *next = ranges->list + i;
		size_t done;
		int error = call(process, next, batch(next, ranges->count - i), advice, &done);

		if (is_over(process, error))
			return;
		if (!done) {
			advise_apart(process, next, advice, error);
			if (process->state != ADOPT_ADOPTED)
				return;
			i++;
			continue;
		}
		process->advised_bytes += done;
		for (; done && i < ranges->count; i++)
			done -= done < ranges->list[i].iov_len ? done : ranges->list[i].iov_len;
	}
}

static void finish(struct adopt_process *process, int err)
{
	if (!err)
		return;
	process->state = err == -ESRCH ? ADOPT_ENDED : ADOPT_FAILED;
	process->error = err;
}

/*
 * Everything in /proc goes by the number, which another process has once this one has ended and was
 * waited for; the descriptor is of this one for good.
 */
bool adopt_has_ended(const struct adopt_process *process)
{
	struct pollfd poll_fd = {.fd = process->fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) != 0;
}

static bool thp_disabled(int pid)
{
	char path[64], status[8192];
	const char *line;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (tool_read(path, status, sizeof(status)) <= 0)
		return false;
	line = strstr(status, "\nTHP_enabled:");
	return line && strtol(line + strlen("\nTHP_enabled:"), NULL, 10) == 0;
}

void adopt_move(struct adopt_process *process, int advice, bool dry_run)
{
	struct ranges ranges = {.process = process};
	int err;

	process->done = true;
	if (process->state == ADOPT_ADOPTED && advice == ADOPT_MADV_64K &&
		thp_disabled(process->pid))
		process->state = ADOPT_THP_DISABLED;
	if (process->state != ADOPT_ADOPTED)
		return;
	err = proc_each_region(process->pid, add_region, &ranges);
	end_run(&ranges);
	if (!err && adopt_has_ended(process))
		err = -ESRCH;
	finish(process, err ? err : ranges.error);
	for (size_t i = 0; dry_run && i < ranges.count; i++)
		process->advised_bytes += ranges.list[i].iov_len;
	if (process->state == ADOPT_ADOPTED && !dry_run) {
		advise(process, &ranges, advice);
		if (adopt_has_ended(process))
			process->state = ADOPT_ENDED;
		else if (advice == ADOPT_MADV_64K)
			adopt_seen_touch(process->seen, process->pid);
	}
	free(ranges.list);
}

static void see_region(void *context, const struct region *region)
{
	struct adopt_process *process = context;

	if (region->shared && region->resident_bytes && judge(process, region) == ADOPT_REASONS)
		adopt_seen_add(&process->seen, process->pid, region);
}

void adopt_look(struct adopt_process *process)
{
	int err = 0;

	process->fd = (int)syscall(SYS_pidfd_open, process->pid, 0);
	if (process->fd < 0)
		err = -errno;
	if (!err)
		err = proc_read(process->pid, &process->before.info);
	if (!err && process->before.info.kernel_thread) {
		process->state = ADOPT_KERNEL_THREAD;
		process->before.info.pid = 0;
		return;
	}
	if (!err)
		err = stat_gather(process->pid, &process->before);
	if (!err)
		err = proc_each_region(process->pid, see_region, process);
	if (!err && adopt_has_ended(process))
		err = -ESRCH;
	finish(process, err);
	if (err)
		process->before.info.pid = 0; /* nothing is known */
	process->after = process->before;
}

void adopt_look_again(struct adopt_process *process)
{
	if (process->state != ADOPT_ADOPTED)
		return;
	/* Asked last: what was read is of this process if it is there still. */
	if (stat_gather(process->pid, &process->after) || adopt_has_ended(process)) {
		process->after = process->before;
		process->state = ADOPT_ENDED;
	}
}

void adopt_close(struct adopt_process *process)
{
	if (process->fd >= 0)
		close(process->fd);
	adopt_seen_free(process->seen);
	free(process->tmpfs);
	free(process);
}
