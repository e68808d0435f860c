/* SPDX-License-Identifier: MIT */
/*
 * What the kernel that is there tells of a stretch: what is present, and what a forked process has.
 */
#include <signal.h>
#include <sys/mman.h>

#include "layers.h"
#include "page/page.h"

static char *stretch;

static struct pg64_page_seen look(void)
{
	struct pg64_page_seen seen;

	REQUIRE(pg64_page_os_kernel.look(stretch, pg64_pmd_bytes(), &seen) == 0);
	return seen;
}

static void present(void)
{
	size_t page = pg64_page_bytes(), pmd = pg64_pmd_bytes();

	CHECK_EQ(look().present, 0);
	stretch[0] = stretch[pmd - 1] = 1;
	CHECK_EQ(look().present, 2 * page);
	memset(stretch, 1, pmd);
	CHECK_EQ(look().present, pmd);
	CHECK_EQ(look().shared, 0);
	madvise(stretch + page, pmd / 2, MADV_DONTNEED);
	CHECK_EQ(look().present, pmd / 2);
}

static void shared_with_a_child(void)
{
	size_t page = pg64_page_bytes(), pmd = pg64_pmd_bytes();

	memset(stretch, 1, pmd);
	if (!look().shared_known)
		return;
	pid_t pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		pause();
		_exit(0);
	}
	CHECK_EQ(look().shared, pmd);
	stretch[0] = 2;
	CHECK_EQ(look().shared, pmd - page);
	kill(pid, SIGKILL);
	REQUIRE(waitpid(pid, NULL, 0) == pid);
	CHECK_EQ(look().shared, 0);
}

static void not_mapped(void)
{
	struct pg64_page_seen seen;

	munmap(stretch, pg64_pmd_bytes());
	/* Nothing is there: an error, or nothing. */
	if (pg64_page_os_kernel.look(stretch, pg64_pmd_bytes(), &seen) == 0)
		CHECK_EQ(seen.present, 0);
}

static void clock_goes_on(void)
{
	uint64_t first = pg64_page_os_kernel.now_ns();

	while (pg64_page_os_kernel.now_ns() == first)
		;
	CHECK(pg64_page_os_kernel.now_ns() > first);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		CASE(present), CASE(shared_with_a_child), CASE(not_mapped), CASE(clock_goes_on)};
	size_t pmd = pg64_pmd_bytes();

	char *map = mmap(NULL, 2 * pmd, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(map != MAP_FAILED);
	/* Base pages, whatever the machine is set to. */
	madvise(map, 2 * pmd, MADV_NOHUGEPAGE);
	stretch = (char *)pg64_align_up((uintptr_t)map, pmd);
	return RUN_CASES(cases, argc, argv);
}
