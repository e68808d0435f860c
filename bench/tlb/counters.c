/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "counters.h"
#include "model.h"

#define LARGE_PAGE_BYTES (UINT64_C(1) << TLB_SHIFT_2M)

static int open_counter(int group, unsigned int result)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HW_CACHE,
		.size = sizeof(attr),
		.config =
			PERF_COUNT_HW_CACHE_DTLB | PERF_COUNT_HW_CACHE_OP_READ << 8 | result << 16,
		.disabled = group < 0,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
	};
	long fd = syscall(SYS_perf_event_open, &attr, 0, -1, group, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : (int)fd;
}

static void explain(struct measured *measured, int error)
{
	const char *hint = "";

	if (error == -ENOENT || error == -EOPNOTSUPP || error == -ENODEV)
		hint = ": the machine offers no such counter (a VM without a PMU?)";
	if (error == -EACCES || error == -EPERM)
		hint = ": see /proc/sys/kernel/perf_event_paranoid";
	snprintf(measured->why, sizeof(measured->why), "perf_event_open(dTLB-load-misses): %s%s",
		strerror(-error), hint);
}

/* The part of the mapping that smaps says is on 2 MiB pages. */
static double huge_part(const void *memory, uint64_t bytes)
{
	char line[256];
	uint64_t start, huge_kb = 0, found;
	bool here = false;
	FILE *file = fopen("/proc/self/smaps", "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%" SCNx64 "-%*x ", &start) == 1 && strchr(line, '-'))
			here = start >= (uintptr_t)memory && start < (uintptr_t)memory + bytes;
		else if (here && sscanf(line, "AnonHugePages: %" SCNu64, &found) == 1)
			huge_kb += found;
	}
	if (file)
		fclose(file);
	return (double)(huge_kb << 10) / (double)bytes;
}

static void walk_memory(const char *memory, struct synthetic *synthetic, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		(void)*(const volatile uint64_t *)(memory + synthetic_next(synthetic));
}

static int read_counters(int misses_fd, int reads_fd, struct measured *measured)
{
	struct {
		uint64_t value, enabled, running;
	} misses, reads = {0};

	if (read(misses_fd, &misses, sizeof(misses)) != sizeof(misses)) {
		snprintf(measured->why, sizeof(measured->why), "read of the counter: %s",
			strerror(errno));
		return -EIO;
	}
	if (reads_fd >= 0 && read(reads_fd, &reads, sizeof(reads)) != sizeof(reads))
		reads.value = 0;
	measured->misses = misses.value;
	measured->reads = reads.value;
	measured->enabled_ns = misses.enabled;
	measured->running_ns = misses.running;
	if (misses.running && misses.value)
		return 0;
	snprintf(measured->why, sizeof(measured->why), "the counter %s",
		misses.running ? "stands at 0 after the walk" : "was never on the processor");
	return -ENODATA;
}

int measure(struct synthetic synthetic, uint64_t warm, uint64_t count, bool huge,
	struct measured *measured)
{
	const uint64_t room = synthetic.bytes + LARGE_PAGE_BYTES;
	int misses_fd = open_counter(-1, PERF_COUNT_HW_CACHE_RESULT_MISS);

	memset(measured, 0, sizeof(*measured));
	if (misses_fd < 0) {
		explain(measured, misses_fd);
		return misses_fd;
	}
	int reads_fd = open_counter(misses_fd, PERF_COUNT_HW_CACHE_RESULT_ACCESS);
	char *mapped = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int error = -ENOMEM;

	if (mapped == MAP_FAILED) {
		snprintf(measured->why, sizeof(measured->why), "mmap: %s", strerror(errno));
	} else {
		char *memory = (char *)(((uintptr_t)mapped + LARGE_PAGE_BYTES - 1) &
					~(uintptr_t)(LARGE_PAGE_BYTES - 1));

		madvise(mapped, room, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		memset(memory, 1, synthetic.bytes);
		measured->huge_part = huge_part(mapped, room);
		walk_memory(memory, &synthetic, warm);
		ioctl(misses_fd, PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP);
		walk_memory(memory, &synthetic, count);
		ioctl(misses_fd, PERF_EVENT_IOC_DISABLE, PERF_IOC_FLAG_GROUP);
		error = read_counters(misses_fd, reads_fd, measured);
		/* Large pages may well have no miss; it was seen to count with small ones. */
		if (error == -ENODATA && huge && measured->running_ns)
			error = 0;
		munmap(mapped, room);
	}
	if (reads_fd >= 0)
		close(reads_fd);
	close(misses_fd);
	return error;
}
