/* SPDX-License-Identifier: MIT */
/*
 * The library that test_elfsym looks symbols up in.
 */
#ifndef PG64_ELFSYM_LIB_H
#define PG64_ELFSYM_LIB_H

/** 2 in the default version, 1 in the old one. */
int elfsym_answer(void);
int elfsym_other(int value);

#endif /* PG64_ELFSYM_LIB_H */
