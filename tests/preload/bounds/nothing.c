/* SPDX-License-Identifier: MIT */
/*
 * A library with nothing in it. Preloaded, it shows what the dynamic linker takes for any: the
 * least that a small program can pay.
 */
char pg64_nothing;
