/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "model.h"
#include "walk.h"

#define LARGE_PAGE_BYTES (UINT64_C(1) << TLB_SHIFT_2M)

/* What of the mapping smaps says is on 2 MiB pages. */
static uint64_t bytes_on_huge_pages(const void *memory, uint64_t bytes)
{
	char line[256];
	uint64_t start, huge_kb = 0, found;
	bool here = false;
	FILE *file = fopen("/proc/self/smaps", "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%" SCNx64 "-%*x ", &start) == 1 && strchr(line, '-'))
			here = start >= (uintptr_t)memory && start < (uintptr_t)memory + bytes;
		else if (here && sscanf(line, "AnonHugePages: %" SCNu64, &found) == 1)
			huge_kb += found;
	}
	if (file)
		fclose(file);
	return huge_kb << 10;
}

int walk(struct synthetic synthetic, uint64_t count, bool huge, double *huge_part)
{
	const uint64_t room = synthetic.bytes + LARGE_PAGE_BYTES;
	char *mapped = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mapped == MAP_FAILED)
		return -errno;
	char *memory = (char *)(((uintptr_t)mapped + LARGE_PAGE_BYTES - 1) &
				~(uintptr_t)(LARGE_PAGE_BYTES - 1));

	madvise(mapped, room, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	memset(memory, 1, synthetic.bytes);
	*huge_part = (double)bytes_on_huge_pages(mapped, room) / (double)synthetic.bytes;
	for (uint64_t i = 0; i < count; i++)
		(void)*(const volatile uint64_t *)(memory + synthetic_next(&synthetic));
	munmap(mapped, room);
	return 0;
}
