/* SPDX-License-Identifier: MIT */
/*
 * pg64 adopt: shared memory that is mended is unmapped from every process that has it, and each
 * comes back to it by a fault of its own. What a process had mapped is remembered before anything
 * is moved, and read afterwards on its behalf, so that it does not pay those faults, and that the
 * coverage after is of the same memory as the one before.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "adopt.h"

#define PAGEMAP_PRESENT ((uint64_t)1 << 63)
#define BATCH 1024 /* IOV_MAX */

struct adopt_seen {
	struct adopt_seen *next;
	uintptr_t start; /* of a granule */
	size_t granules;
	unsigned char mapped[]; /* a bit for each */
};

static bool is_mapped(const struct adopt_seen *seen, size_t granule)
{
	return seen->mapped[granule / 8] & 1u << granule % 8;
}

static int read_pagemap(struct adopt_seen *seen, int fd, size_t page_bytes)
{
	const size_t per_granule = PG64_GRANULE / page_bytes;
	uint64_t entries[BATCH];

	for (size_t page = 0; page < seen->granules * per_granule;) {
		ssize_t n = pread(fd, entries, sizeof(entries),
			(off_t)((seen->start / page_bytes + page) * sizeof(*entries)));

		if (n < (ssize_t)sizeof(*entries))
			return n < 0 ? -errno : 0;
		for (size_t i = 0; i < (size_t)n / sizeof(*entries); i++, page++) {
			size_t granule = page / per_granule;

			if (granule < seen->granules && entries[i] & PAGEMAP_PRESENT)
				seen->mapped[granule / 8] |= (unsigned char)(1u << granule % 8);
		}
	}
	return 0;
}

int adopt_seen_add(struct adopt_seen **list, int pid, const struct region *region)
{
	uintptr_t start = (region->start + PG64_GRANULE - 1) & ~(PG64_GRANULE - 1);
	uintptr_t end = region->end & ~(PG64_GRANULE - 1);
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	struct adopt_seen *seen;
	char path[64];
	int fd, err;

	if (start >= end || page_bytes > PG64_GRANULE)
		return 0;
	seen = calloc(1, sizeof(*seen) + (end - start) / PG64_GRANULE / 8 + 1);
	if (!seen)
		return -ENOMEM;
	seen->start = start;
	seen->granules = (end - start) / PG64_GRANULE;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? -errno : read_pagemap(seen, fd, page_bytes);
	if (fd >= 0)
		close(fd);
	seen->next = *list;
	*list = seen;
	return err;
}

/* A byte of each; where one cannot be read, go on behind it. */
static void touch(int pid, struct iovec *remote, size_t count)
{
	char bytes[BATCH];

	while (count) {
		struct iovec local = {bytes, count};
		ssize_t n = process_vm_readv(pid, &local, 1, remote, count, 0);
		size_t done = n > 0 ? (size_t)n : 1;

		if (n < 0 && errno != EFAULT)
			return;
		remote += done;
		count -= done;
	}
}

void adopt_seen_touch(const struct adopt_seen *seen, int pid)
{
	struct iovec remote[BATCH];
	size_t count = 0;

	for (; seen; seen = seen->next) {
		for (size_t i = 0; i < seen->granules; i++) {
			if (!is_mapped(seen, i))
				continue;
			remote[count].iov_base = (void *)(seen->start + i * PG64_GRANULE);
			remote[count++].iov_len = 1;
			if (count == BATCH) {
				touch(pid, remote, count);
				count = 0;
			}
		}
	}
	touch(pid, remote, count);
}

void adopt_seen_free(struct adopt_seen *seen)
{
	while (seen) {
		struct adopt_seen *next = seen->next;

		free(seen);
		seen = next;
	}
}
