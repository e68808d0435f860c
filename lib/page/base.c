/* SPDX-License-Identifier: MIT */
/*
 * Backend `base`: the kernel's base pages. Always works, asks for nothing.
 */
#include "page/probe.h"

static void probe_base(enum pg64_mem kind, struct pg64_probe *probe, bool deep)
{
	(void)kind;
	(void)deep;
	probe->touched_bytes = (uint32_t)pg64_page_bytes();
	if (pg64_page_bytes() >= PG64_GRANULE)
		pg64_probe_result(probe, 0, "base pages are %zu KiB here: there is nothing to do",
			pg64_page_bytes() / 1024);
	else
		pg64_probe_result(probe, 0, "base pages of %zu KiB", pg64_page_bytes() / 1024);
}

static int advise_base(void *addr, size_t len, enum pg64_mem kind)
{
	(void)addr;
	(void)len;
	(void)kind;
	return 0;
}

const struct pg64_page_backend pg64_page_base = {
	.id = PG64_BACKEND_BASE,
	.name = "base",
	.probe = probe_base,
	.advise = advise_base,
};
