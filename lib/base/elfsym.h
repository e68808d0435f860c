/* SPDX-License-Identifier: MIT */
/*
 * Symbol look-up in one loaded object without dlsym(): no lock, no allocation, and no chance of
 * finding our own interposed definition.
 */
#ifndef PG64_ELFSYM_H
#define PG64_ELFSYM_H

/**
 * Address of the default definition of function @name in the loaded object whose file name starts
 * with @soname (say "libc.so."), or NULL. Usable as soon as the dynamic linker has mapped the
 * objects. NULL in a static program, and for functions that the dynamic linker picks (IFUNC).
 */
void *pg64_elf_symbol(const char *soname, const char *name);

#endif /* PG64_ELFSYM_H */
