/* SPDX-License-Identifier: MIT */
/*
 * How much memory this process can still use: the machine's, and what its cgroups leave it.
 */
#ifndef PG64_ROOM_H
#define PG64_ROOM_H

#include <stdint.h>

/**
 * The least of MemAvailable and, for each cgroup (v2) from this process's own upwards, what its
 * memory.max or memory.high leaves, page cache that can go at once counted as free. UINT64_MAX
 * where nothing can be seen. Reads a few files under the root of pg64_sysfs_root(); no allocation.
 */
uint64_t pg64_memory_room(void);

#endif /* PG64_ROOM_H */
