/* SPDX-License-Identifier: MIT */
/*
 * The block that the counters live in, and their names. It is written from the first allocation
 * on, so it needs no constructor; the magic is set by whoever starts the library.
 */
#include "counters.h"

PG64_EXPORT struct pg64_live pg64_live = {
	.version = 1,
	.size = sizeof(struct pg64_live),
};

static const struct {
	const char *name;
	const char *help;
} counters[] = {
#define PG64_COUNTER(name, help) {#name, help},
#include "counters.def"
#undef PG64_COUNTER
};

_Static_assert(PG64_ARRAY_LEN(counters) == PG64_COUNTERS, "one name for each counter");

PG64_EXPORT const char *pg64_counter_name(unsigned int index)
{
	return index < PG64_COUNTERS ? counters[index].name : NULL;
}

PG64_EXPORT const char *pg64_counter_help(unsigned int index)
{
	return index < PG64_COUNTERS ? counters[index].help : NULL;
}

PG64_EXPORT uint64_t pg64_counter_value(unsigned int index)
{
	return index < PG64_COUNTERS ? pg64_counted((enum pg64_counter)index) : 0;
}
