/* SPDX-License-Identifier: MIT */
/*
 * Backends: which is chosen and why, what closes a gate and what does not, what a probe believes.
 */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/counters.h"
#include "base/sysfs.h"
#include "fake_kernel.h"
#include "layers.h"

#define SYSFS(machine) TEST_DATA "/sysfs/" machine

/*
 * A fresh kernel, a fresh page layer with @backend forced (UNKNOWN: auto), and a machine's knobs.
 */
static void start(enum pg64_backend backend, enum pg64_pmd pmd, const char *sysfs)
{
	struct pg64_config config;

	fake_reset();
	pg64_sysfs_root(sysfs);
	pg64_config_defaults(&config);
	config.backend = backend;
	config.pmd = pmd;
	pg64_page_init(&config);
	pg64_page_reset();
}

static void start_auto(void)
{
	start(PG64_BACKEND_UNKNOWN, PG64_PMD_OFF, SYSFS("madvise-64k"));
}

/* Memory as a program maps it: readable and writable, aligned. */
static char *map(size_t len, int flags)
{
	size_t align = 2 * pg64_pmd_bytes();
	char *p = pg64_page_os()->mmap(
		NULL, len + align, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	return (char *)pg64_align_up((uintptr_t)p, align);
}

static bool says(const char *text, const char *part)
{
	if (strstr(text, part))
		return true;
	fprintf(stderr, "\"%s\" does not say \"%s\"\n", text, part);
	return false;
}

static void best_first(void)
{
	start_auto();
	CHECK_EQ(pg64_page_backend_known(PG64_MEM_HEAP), PG64_BACKEND_UNKNOWN);
	CHECK(says(pg64_page_reason(PG64_MEM_HEAP), "not needed yet"));
	fake.patched = fake.mthp = fake.shmem_mthp = true;
	for (int kind = 0; kind < PG64_MEM_KINDS; kind++)
		CHECK_EQ(pg64_page_backend(kind), PG64_BACKEND_PATCHED);
	CHECK(says(pg64_page_reason(PG64_MEM_HEAP), "brought 65536 bytes"));
	/* Asked again, nothing is probed again. */
	unsigned int mmaps = fake.mmaps;
	CHECK_EQ(pg64_page_backend(PG64_MEM_HEAP), PG64_BACKEND_PATCHED);
	CHECK_EQ(fake.mmaps, mmaps);
	CHECK_EQ(pg64_live.backend[PG64_MEM_HEAP], PG64_BACKEND_PATCHED);

	start_auto();
	fake.mthp = true;
	CHECK_EQ(pg64_page_backend(PG64_MEM_HEAP), PG64_BACKEND_MTHP);
	CHECK_EQ(pg64_page_backend(PG64_MEM_ANON), PG64_BACKEND_MTHP);
	CHECK_EQ(pg64_page_backend(PG64_MEM_SHARED), PG64_BACKEND_BASE);
	CHECK(!pg64_page_wants_populate());

	start_auto();
	CHECK_EQ(pg64_page_backend(PG64_MEM_HEAP), PG64_BACKEND_COLLAPSE);
	CHECK_EQ(pg64_page_backend(PG64_MEM_ANON), PG64_BACKEND_BASE);
	CHECK(pg64_page_wants_populate());
	/* Proofs leave nothing behind. */
	CHECK_EQ(fake.space, 0);

	start_auto();
	fake.refuse[FAKE_COLLAPSE] = -EINVAL;
	CHECK_EQ(pg64_page_backend(PG64_MEM_HEAP), PG64_BACKEND_BASE);
	CHECK(!pg64_page_wants_populate());
	CHECK_EQ(pg64_page_advise(map(PG64_GRANULE, MAP_PRIVATE), PG64_GRANULE, PG64_MEM_HEAP),
		PG64_BACKEND_BASE);
}

static void forced(void)
{
	for (int id = PG64_BACKEND_PATCHED; id < PG64_BACKENDS; id++) {
		start(id, PG64_PMD_OFF, SYSFS("madvise-64k"));
		fake.patched = fake.mthp = true;
		CHECK_EQ(pg64_page_backend(PG64_MEM_HEAP), id);
	}
	start(PG64_BACKEND_PATCHED, PG64_PMD_OFF, SYSFS("madvise-64k"));
	fake.mthp = true;
	CHECK_EQ(pg64_page_backend(PG64_MEM_HEAP), PG64_BACKEND_BASE);
	CHECK(says(pg64_page_reason(PG64_MEM_HEAP), "patched: the kernel has no"));
	start(PG64_BACKEND_COLLAPSE, PG64_PMD_OFF, SYSFS("madvise-64k"));
	CHECK_EQ(pg64_page_backend(PG64_MEM_ANON), PG64_BACKEND_BASE);
	CHECK(says(pg64_page_reason(PG64_MEM_ANON), "collapse: "));
}

/* Refusals that will not pass: closed once, counted once, and the next backend takes over. */
static void gate_closes(void)
{
	static const int errors[] = {-EPERM, -EINVAL, -ENOSYS, -EACCES};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		uint64_t closed = pg64_counted(PG64_C_gate_mthp_closed);
		uint64_t failed = pg64_counted(PG64_C_fail_advise);

		start_auto();
		fake.mthp = true;
		char *p = map(4 * PG64_GRANULE, MAP_PRIVATE);
		CHECK_EQ(pg64_page_advise(p, 4 * PG64_GRANULE, PG64_MEM_HEAP), PG64_BACKEND_MTHP);
		CHECK(fake_is_advised(p));
		fake.refuse[MADV_HUGEPAGE] = errors[i];
		CHECK_EQ(pg64_page_advise(p, PG64_GRANULE, PG64_MEM_HEAP), PG64_BACKEND_COLLAPSE);
		CHECK_EQ(pg64_counted(PG64_C_gate_mthp_closed), closed + 1);
		CHECK_EQ(pg64_counted(PG64_C_fail_advise), failed + 1);
		unsigned int asked = fake.advised[MADV_HUGEPAGE];
		CHECK_EQ(pg64_page_advise(p, PG64_GRANULE, PG64_MEM_HEAP), PG64_BACKEND_COLLAPSE);
		CHECK_EQ(fake.advised[MADV_HUGEPAGE], asked);
		/* For good: it is not used again when the kernel has changed its mind. */
		fake.refuse[MADV_HUGEPAGE] = 0;
		CHECK_EQ(pg64_page_advise(p, PG64_GRANULE, PG64_MEM_HEAP), PG64_BACKEND_COLLAPSE);
		CHECK_EQ(pg64_counted(PG64_C_gate_mthp_closed), closed + 1);
		/* Another kind of memory has a gate of its own. */
		CHECK_EQ(pg64_page_advise(p, PG64_GRANULE, PG64_MEM_ANON), PG64_BACKEND_MTHP);
		fake.refuse[MADV_HUGEPAGE] = errors[i];
		CHECK_EQ(pg64_page_advise(p, PG64_GRANULE, PG64_MEM_ANON), PG64_BACKEND_BASE);
		CHECK(says(pg64_page_reason(PG64_MEM_ANON), "mthp: "));
		CHECK(says(pg64_page_reason(PG64_MEM_ANON), "not used any more"));
		/* The memory is as usable as before. */
		fake_write(p, 4 * PG64_GRANULE, 1);
	}
}

/* From the best down to base, one gate after the other. */
static void gates_in_a_row(void)
{
	start_auto();
	fake.patched = fake.mthp = true;
	char *p = map(pg64_pmd_bytes(), MAP_PRIVATE);
	CHECK_EQ(pg64_page_backend(PG64_MEM_HEAP), PG64_BACKEND_PATCHED);
	fake.refuse[FAKE_PAGESIZE_64K] = -EOPNOTSUPP;
	CHECK_EQ(pg64_page_advise(p, PG64_GRANULE, PG64_MEM_HEAP), PG64_BACKEND_MTHP);
	fake.refuse[MADV_HUGEPAGE] = -EPERM;
	CHECK_EQ(pg64_page_advise(p, PG64_GRANULE, PG64_MEM_HEAP), PG64_BACKEND_COLLAPSE);
	fake.refuse[FAKE_COLLAPSE] = -ENOSYS;
	CHECK(!pg64_page_populate(p, pg64_pmd_bytes()));
	CHECK_EQ(pg64_page_backend(PG64_MEM_HEAP), PG64_BACKEND_BASE);
	CHECK_EQ(pg64_counted(PG64_C_gate_patched_closed), 1);
	CHECK_EQ(pg64_counted(PG64_C_gate_mthp_closed), 1);
	CHECK_EQ(pg64_counted(PG64_C_gate_collapse_closed), 1);
	CHECK(!pg64_page_populate(p, pg64_pmd_bytes()));
	CHECK_EQ(pg64_counted(PG64_C_fail_collapse), 1);
	fake_write(p, pg64_pmd_bytes(), 1);
}

static void limits_leave_it_open(void)
{
	static const int errors[] = {-ENOMEM, -EAGAIN, -EBUSY};

	start_auto();
	fake.mthp = true;
	char *p = map(PG64_GRANULE, MAP_PRIVATE);
	CHECK_EQ(pg64_page_backend(PG64_MEM_ANON), PG64_BACKEND_MTHP);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		fake.refuse[MADV_HUGEPAGE] = errors[i];
		CHECK_EQ(pg64_page_advise(p, PG64_GRANULE, PG64_MEM_ANON), PG64_BACKEND_BASE);
		CHECK_EQ(pg64_counted(PG64_C_fail_advise), i + 1);
	}
	fake.refuse[MADV_HUGEPAGE] = 0;
	CHECK_EQ(pg64_page_advise(p, PG64_GRANULE, PG64_MEM_ANON), PG64_BACKEND_MTHP);
	CHECK_EQ(pg64_counted(PG64_C_gate_mthp_closed), 0);
}

static void one_range_only(void)
{
	start_auto();
	fake.mthp = true;
	char *p = map(PG64_GRANULE, MAP_PRIVATE);
	CHECK_EQ(pg64_page_advise_once(p, PG64_GRANULE, PG64_MEM_ANON), 0);
	fake.refuse[MADV_HUGEPAGE] = -EINVAL;
	CHECK_EQ(pg64_page_advise_once(p, PG64_GRANULE, PG64_MEM_ANON), -EINVAL);
	CHECK_EQ(pg64_page_backend(PG64_MEM_ANON), PG64_BACKEND_MTHP);
	CHECK_EQ(pg64_counted(PG64_C_gate_mthp_closed), 0);
	CHECK_EQ(pg64_page_advise_once(p, PG64_GRANULE, PG64_MEM_SHARED), -EOPNOTSUPP);
}

static void patched_rounds_inwards(void)
{
	start_auto();
	fake.patched = true;
	char *p = map(8 * PG64_GRANULE, MAP_PRIVATE);
	CHECK_EQ(pg64_page_advise(p + 4096, 3 * PG64_GRANULE, PG64_MEM_ANON), PG64_BACKEND_PATCHED);
	CHECK(!fake_is_advised(p + PG64_GRANULE - 4096));
	CHECK(fake_is_advised(p + PG64_GRANULE));
	CHECK(fake_is_advised(p + 3 * PG64_GRANULE - 4096));
	CHECK(!fake_is_advised(p + 3 * PG64_GRANULE));
	CHECK_EQ(pg64_counted(PG64_C_gate_patched_closed), 0);
}

static void populate_works(void)
{
	size_t pmd = pg64_pmd_bytes();

	start_auto();
	char *p = map(4 * pmd, MAP_PRIVATE);
	CHECK(pg64_page_wants_populate());
	fake.faults = 0;
	CHECK(pg64_page_populate(p, pmd));
	CHECK_EQ(fake_present(p, pmd), pmd);
	CHECK_EQ(fake_order(p), 9);
	CHECK_EQ(fake.faults, 1);
	CHECK_EQ(pg64_counted(PG64_C_collapse_ok), 1);
	/* One odd stretch, in which the program has set a boundary: not the backend's fault. */
	pg64_page_os()->madvise(p + pmd, PG64_GRANULE, MADV_RANDOM);
	CHECK(!pg64_page_populate(p + pmd, pmd));
	CHECK_EQ(pg64_page_backend(PG64_MEM_HEAP), PG64_BACKEND_COLLAPSE);
	CHECK(pg64_page_populate(p + 2 * pmd, pmd));
	CHECK_EQ(pg64_counted(PG64_C_fail_collapse), 1);
	/* But where none works any more (PR_SET_THP_DISABLE), it ends. */
	fake.refuse[FAKE_COLLAPSE] = -EINVAL;
	for (int i = 0; i < 64; i++)
		CHECK(!pg64_page_populate(p + 3 * pmd, pmd));
	CHECK_EQ(pg64_page_backend(PG64_MEM_HEAP), PG64_BACKEND_BASE);
	CHECK_EQ(pg64_counted(PG64_C_gate_collapse_closed), 1);
}

static void populate_out_of_memory(void)
{
	size_t pmd = pg64_pmd_bytes();

	start_auto();
	char *p = map(2 * pmd, MAP_PRIVATE);
	for (int round = 0; round < 2; round++) {
		fake.refuse[FAKE_COLLAPSE] = round ? -EAGAIN : 0;
		CHECK_EQ(pg64_page_populate(p, pmd), !round);
		fake.refuse[FAKE_COLLAPSE] = -ENOMEM;
		for (int i = round; i < 63; i++)
			CHECK(!pg64_page_populate(p + pmd, pmd));
		CHECK_EQ(pg64_page_backend(PG64_MEM_HEAP), PG64_BACKEND_COLLAPSE);
		CHECK_EQ(pg64_counted(PG64_C_gate_collapse_closed), 0);
		fake.refuse[FAKE_COLLAPSE] = 0;
		CHECK(pg64_page_populate(p, pmd));
	}
	fake.refuse[FAKE_COLLAPSE] = -ENOMEM;
	for (int i = 0; i < 64; i++)
		CHECK(!pg64_page_populate(p + pmd, pmd));
	CHECK_EQ(pg64_page_backend(PG64_MEM_HEAP), PG64_BACKEND_BASE);
	CHECK_EQ(pg64_counted(PG64_C_gate_collapse_closed), 1);
}

static void populate_never_worked(void)
{
	size_t pmd = pg64_pmd_bytes();

	start_auto();
	char *p = map(pmd, MAP_PRIVATE);
	CHECK(pg64_page_wants_populate());
	fake.refuse[FAKE_COLLAPSE] = -EINVAL;
	CHECK(!pg64_page_populate(p, pmd));
	CHECK_EQ(pg64_counted(PG64_C_gate_collapse_closed), 1);
	CHECK_EQ(pg64_page_backend(PG64_MEM_HEAP), PG64_BACKEND_BASE);
}

/* Success without effect is no success. */
static void populate_lies(void)
{
	size_t pmd = pg64_pmd_bytes();

	start_auto();
	fake.collapse_lies = true;
	char *p = map(pmd, MAP_PRIVATE);
	CHECK(!pg64_page_populate(p, pmd));
	CHECK_EQ(pg64_page_backend(PG64_MEM_HEAP), PG64_BACKEND_BASE);
	CHECK_EQ(pg64_counted(PG64_C_gate_collapse_closed), 1);
}

static void needs_fence(void)
{
	start_auto();
	fake.mthp = fake.shmem_mthp = fake.pmd = true;
	CHECK(!pg64_page_needs_fence(PG64_MEM_HEAP));
	for (int kind = 0; kind < PG64_MEM_KINDS; kind++) {
		CHECK_EQ(pg64_page_backend(kind), PG64_BACKEND_MTHP);
		CHECK_EQ(pg64_page_needs_fence(kind), kind != PG64_MEM_SHARED);
	}
	CHECK(says(pg64_page_reason(PG64_MEM_HEAP), "fenced out"));
	CHECK(says(pg64_page_reason(PG64_MEM_SHARED), "enabled for shared memory"));

	start(PG64_BACKEND_UNKNOWN, PG64_PMD_ALLOW, SYSFS("madvise-64k"));
	fake.mthp = fake.pmd = true;
	CHECK_EQ(pg64_page_backend(PG64_MEM_ANON), PG64_BACKEND_MTHP);
	CHECK(!pg64_page_needs_fence(PG64_MEM_ANON));

	/* No PMD-size page was free at the time of the probe, but the knob is on. */
	start(PG64_BACKEND_UNKNOWN, PG64_PMD_OFF, SYSFS("vm-6.18"));
	fake.mthp = true;
	CHECK_EQ(pg64_page_backend(PG64_MEM_ANON), PG64_BACKEND_MTHP);
	CHECK(pg64_page_needs_fence(PG64_MEM_ANON));

	start_auto();
	fake.mthp = true;
	CHECK_EQ(pg64_page_backend(PG64_MEM_ANON), PG64_BACKEND_MTHP);
	CHECK(!pg64_page_needs_fence(PG64_MEM_ANON));

	start_auto();
	fake.patched = fake.pmd = true;
	CHECK_EQ(pg64_page_backend(PG64_MEM_ANON), PG64_BACKEND_PATCHED);
	CHECK(!pg64_page_needs_fence(PG64_MEM_ANON));
}

static void purge_and_split(void)
{
	size_t pmd = pg64_pmd_bytes();

	start_auto();
	char *p = map(2 * pmd, MAP_PRIVATE);
	REQUIRE(pg64_page_populate(p, pmd));
	memset(p, 7, pmd);
	/* Without a split, a part that is purged stays allocated behind the back of RSS. */
	CHECK_EQ(pg64_page_purge(p, PG64_GRANULE), 0);
	CHECK_EQ(fake_stranded(p, pmd), PG64_GRANULE);
	CHECK(fake_is_zero(p, PG64_GRANULE));
	CHECK_EQ(pg64_page_purge(p, pmd), 0);
	CHECK_EQ(fake_stranded(p, pmd), 0);
	REQUIRE(pg64_page_populate(p, pmd));
	CHECK_EQ(pg64_page_split(p), 0);
	CHECK_EQ(pg64_page_purge(p, PG64_GRANULE), 0);
	CHECK_EQ(fake_stranded(p, pmd), 0);
	CHECK_EQ(pg64_counted(PG64_C_heap_purged_bytes), pmd + 2 * PG64_GRANULE);

	fake.refuse[MADV_DONTNEED] = -EPERM;
	CHECK_EQ(pg64_page_purge(p, PG64_GRANULE), -EPERM);
	CHECK_EQ(pg64_counted(PG64_C_fail_purge), 1);
	CHECK_EQ(pg64_counted(PG64_C_heap_purged_bytes), pmd + 2 * PG64_GRANULE);

	/* Locked memory refuses MADV_DONTNEED; what is free goes back all the same. */
	fake.refuse[MADV_DONTNEED] = 0;
	fake.locked = true;
	fake_write(p, pmd, 7);
	CHECK_EQ(pg64_page_purge(p, pmd), 0);
	CHECK_EQ(fake_present(p, pmd), 0);
	fake.refuse[FAKE_DONTNEED_LOCKED] = -EINVAL;
	CHECK_EQ(pg64_page_purge(p, pmd), -EINVAL);
	CHECK_EQ(pg64_counted(PG64_C_fail_purge), 2);
}

/*
 * ---- the real kernel
 * ---------------------------------------------------------------------------
 */

static long minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/*
 * A touch must be a write, whatever the compiler makes of it: a write after it costs no fault. And
 * memory that the program has sealed must survive it.
 */
static void touch_writes(void)
{
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	pg64_page_os_kernel.touch(p + 5);
	/* A read costs nothing either way, and brings in what a sanitizer has beside the page. */
	(void)*(volatile char *)(p + 5);
	minor_faults();
	long before = minor_faults();
	*(volatile char *)(p + 5) = 7;
	CHECK_EQ(minor_faults(), before);
	pg64_page_os_kernel.touch(p + 5);
	CHECK_EQ(p[5], 7);
	REQUIRE(mprotect(p, 4096, PROT_READ) == 0);
	pg64_page_os_kernel.touch(p);
	CHECK_EQ(p[5], 7);
}

static void counts_vmas(void)
{
	const struct pg64_page_os *kernel = &pg64_page_os_kernel;
	int before = kernel->vma_count(NULL);

	CHECK(before > 3);
	CHECK_EQ(kernel->vma_count("pg64-no-such-name"), 0);
	char *p = kernel->mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK_EQ(kernel->mprotect(p + 4096, 4096, PROT_READ), 0);
	CHECK(kernel->vma_count(NULL) >= before + 2);
	if (kernel->vma_name(p, 4096, "pg64-test") == 0)
		CHECK_EQ(kernel->vma_count("pg64-test"), 1);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {CASE(best_first), CASE(forced), CASE(gate_closes),
		CASE(gates_in_a_row), CASE(limits_leave_it_open), CASE(one_range_only),
		CASE(patched_rounds_inwards), CASE(populate_works), CASE(populate_out_of_memory),
		CASE(populate_never_worked), CASE(populate_lies), CASE(needs_fence),
		CASE(purge_and_split), CASE(touch_writes), CASE(counts_vmas)};

	return RUN_CASES(cases, argc, argv);
}
