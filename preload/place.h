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

/**
 * Release what is left of a reservation from @p on after a call failed that would have put memory
 * over its first @doubtful bytes. Kernels unmap the target before they are sure (mremap() before
 * Linux 6.18), so that these may be still reserved, free, or another thread's by now; the other
 * bytes of @len are still reserved. In doubt they are left alone: address space that is lost does
 * no harm, memory of another thread that is unmapped does.
 */
void pg64_place_give_back(void *p, size_t doubtful, size_t len);

#endif /* PG64_PLACE_H */
