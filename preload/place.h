/* SPDX-License-Identifier: MIT */
/*
 * Placing the program's mappings on 64 KiB boundaries, without changing their length.
 */
#ifndef PG64_PLACE_H
#define PG64_PLACE_H

#include "base/base.h"

/**
 * Private anonymous memory at an aligned address: one call where the address below the last such
 * mapping is free, else more address space is mapped and the slack given back.
 * @flags as of mmap(2), without an address. The address, or -errno as pg64_sys_mmap().
 * Not aligned only where there is no room for the slack (see pg64_is_aligned()).
 */
void *pg64_place_anon(size_t len, int prot, int flags);

/**
 * Reserve @len bytes (a multiple of the base page) of inaccessible address space at an aligned
 * address, to be mapped over. The address, or -errno.
 */
void *pg64_place_reserve(size_t len);

#endif /* PG64_PLACE_H */
