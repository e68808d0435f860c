/* SPDX-License-Identifier: MIT */
/* What the model found, as JSON and as a table: each says that it is a model. */
#ifndef TLB_REPORT_H
#define TLB_REPORT_H

#include <stdio.h>

#include "model.h"

struct report {
	const struct tlb_model *model;
	unsigned int nr_geometries;
	const struct tlb_options *options;
	/* Where the addresses are from, how many there were, and which of them count. */
	const char *source, *maps;
	uint64_t loads, stores, instructions, seen, simulated, counted;
	uint64_t skip, warm, limit, every, window;
};

void report_json(FILE *file, const struct report *report);
void report_table(FILE *file, const struct report *report);

#endif
