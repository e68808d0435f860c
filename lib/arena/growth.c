/* SPDX-License-Identifier: MIT */
/*
 * The slot of the growth hook, and what each thread has not told it yet.
 */
#include <errno.h>

#include "arena/growth.h"

pg64_growth_fn pg64_growth_hook;

static __thread struct {
	void *addr; /* of the last commit: that is where the block is */
	size_t bytes; /* of all commits that were not told yet */
	bool telling; /* the hook runs: what it allocates itself is not told */
} noted;

pg64_growth_fn pg64_growth_set(pg64_growth_fn hook)
{
	return __atomic_exchange_n(&pg64_growth_hook, hook, __ATOMIC_ACQ_REL);
}

void pg64_growth_note(void *addr, size_t bytes)
{
	if (noted.telling)
		return;
	noted.addr = addr;
	noted.bytes += bytes;
}

void pg64_growth_tell(void)
{
	pg64_growth_fn hook = __atomic_load_n(&pg64_growth_hook, __ATOMIC_ACQUIRE);
	size_t bytes = noted.bytes;
	int saved = errno;

	if (bytes == 0 || noted.telling)
		return;
	PG64_KEEP_FRAME();
	noted.bytes = 0;
	if (!hook)
		return;
	noted.telling = true;
	hook(noted.addr, bytes);
	noted.telling = false;
	errno = saved;
}
