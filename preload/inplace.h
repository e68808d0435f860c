/* SPDX-License-Identifier: MIT */
/*
 * Memory that is advised where it lies: mappings over memory that is remembered, and what the
 * program opens of address space that it has reserved.
 */
#ifndef PG64_INPLACE_H
#define PG64_INPLACE_H

#include "base/base.h"

/** Flags of mmap(2) whose mappings are left alone. */
#ifdef MAP_32BIT
#define PG64_MAP_APART (MAP_GROWSDOWN | MAP_STACK | MAP_HUGETLB | MAP_LOCKED | MAP_32BIT)
#else
#define PG64_MAP_APART (MAP_GROWSDOWN | MAP_STACK | MAP_HUGETLB | MAP_LOCKED)
#endif

/**
 * Will pg64_inplace_mapped() advise [addr, addr + len), in whole pages, after this mmap(2)? Then it
 * must not be populated before. May probe; thread-safe, and safe in signal handlers.
 */
bool pg64_inplace_advises(uintptr_t addr, size_t len, int prot, int flags);

/**
 * After mmap(2) has put [addr, addr + len), in whole pages, where the program or the kernel wanted
 * it: forget what was there, advise it or remember it as reserved. False: neither, and no counter
 * says why. Thread-safe, and safe in signal handlers; never fails a call, leaves errno alone.
 */
bool pg64_inplace_mapped(uintptr_t addr, size_t len, int prot, int flags);

/**
 * After mprotect(2) of [addr, addr + len), in whole pages, to @prot: advise what it has opened of
 * reserved memory, and count a granule that it cuts. Not to be called after a failure: what an
 * mprotect(2) opened before it met a hole (ENOMEM) stays reserved memory, unadvised. Takes the
 * table's lock once for each reservation that it opens. Thread-safe, and safe in signal handlers;
 * leaves errno alone.
 */
void pg64_inplace_protected(uintptr_t addr, size_t len, int prot);

#endif /* PG64_INPLACE_H */
