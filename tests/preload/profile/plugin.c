/* SPDX-License-Identifier: MIT */
/*
 * A small library to be loaded and unloaded.
 */
int plugin_answer(void);

__attribute__((visibility("default"))) int plugin_answer(void)
{
	return 42;
}
