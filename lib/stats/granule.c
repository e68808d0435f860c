/* SPDX-License-Identifier: MIT */
/*
 * Classification of one granule: see granule.h.
 */
#include "granule.h"

#define PPM UINT64_C(1000000)

bool pg64_granule_contiguous(const uint64_t *pagemap, unsigned int pages)
{
	uint64_t first = pagemap[0] & PG64_PM_PFN;

	if (first == 0 || first % pages != 0)
		return false;
	for (unsigned int i = 0; i < pages; i++)
		if (!(pagemap[i] & PG64_PM_PRESENT) || (pagemap[i] & PG64_PM_PFN) != first + i)
			return false;
	return true;
}

bool pg64_granule_compound(const uint64_t *flags, unsigned int pages)
{
	/* Where the base page is the granule, one page is all there is to it. */
	if (pages == 1)
		return !(flags[0] & PG64_KPF_ZERO);
	for (unsigned int i = 0; i < pages; i++) {
		bool head = flags[i] & PG64_KPF_HEAD;
		bool tail = flags[i] & PG64_KPF_TAIL;

		/* A head past the first page is where another, smaller, compound page begins. */
		if ((flags[i] & PG64_KPF_ZERO) || (i == 0 ? !(head || tail) : head || !tail))
			return false;
	}
	return true;
}

uint64_t pg64_ppm(uint64_t part, uint64_t whole)
{
	if (part >= whole)
		return whole ? PPM : 0;
	/* Digits that a share cannot show make room for the product. */
	while (whole > UINT64_MAX / PPM) {
		whole >>= 1;
		part >>= 1;
	}
	return part * PPM / whole;
}
