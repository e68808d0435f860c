/* SPDX-License-Identifier: MIT */
/*
 * Probes: the verdict and the sentence of each backend on each sort of kernel.
 */
#include <errno.h>
#include <sys/mman.h>

#include "base/sysfs.h"
#include "fake_kernel.h"
#include "layers.h"

#define SYSFS(machine) TEST_DATA "/sysfs/" machine

static struct pg64_probe result;

static void kernel(const char *sysfs)
{
	struct pg64_config config;

	fake_reset();
	pg64_sysfs_root(sysfs);
	pg64_config_defaults(&config);
	pg64_page_init(&config);
	pg64_page_reset();
}

/* Probe, and check what must hold of every probe. */
static const char *probe(enum pg64_backend backend, enum pg64_mem kind)
{
	memset(&result, 0xee, sizeof(result));
	result.size = sizeof(result);
	CHECK_EQ(pg64_probe(backend, kind, &result), 0);
	CHECK_EQ(result.version, 1);
	CHECK_EQ(result.size, sizeof(result));
	CHECK_EQ(result.kind, kind);
	if (backend != PG64_BACKEND_UNKNOWN)
		CHECK_EQ(result.backend, backend);
	CHECK(result.error <= 0);
	CHECK(strlen(result.reason) > 10 && strlen(result.reason) < sizeof(result.reason) - 1);
	/* A probe leaves nothing behind. */
	CHECK_EQ(fake.space, 0);
	return result.reason;
}

#define EXPECT(backend, kind, wanted_error, part)                                                  \
	do {                                                                                       \
		const char *reason_ = probe(backend, kind);                                        \
		CHECK_EQ(result.error, wanted_error);                                              \
		test_judge(strstr(reason_, part) != NULL, __FILE__, __LINE__,                      \
			"\"%s\" does not say \"%s\"", reason_, part);                              \
	} while (0)

static void patched(void)
{
	kernel(SYSFS("vm-6.18"));
	EXPECT(PG64_BACKEND_PATCHED, PG64_MEM_HEAP, -EINVAL, "the kernel has no MADV_PAGESIZE_64K");
	fake.refuse[FAKE_PAGESIZE_64K] = -EOPNOTSUPP;
	EXPECT(PG64_BACKEND_PATCHED, PG64_MEM_HEAP, -EOPNOTSUPP, "sudo sysctl vm.pagesize_64k=1");
	fake.refuse[FAKE_PAGESIZE_64K] = -EPERM;
	EXPECT(PG64_BACKEND_PATCHED, PG64_MEM_HEAP, -EPERM, "refused: error 1");
	fake.refuse[FAKE_PAGESIZE_64K] = 0;
	fake.patched = true;
	for (int kind = 0; kind < PG64_MEM_KINDS; kind++) {
		EXPECT(PG64_BACKEND_PATCHED, kind, 0, "brought 65536 bytes");
		CHECK_EQ(result.touched_bytes, 65536);
		CHECK_EQ(result.pmd_wins, 0);
	}
}

static void mthp_says_why_not(void)
{
	kernel(SYSFS("vm-6.18"));
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_HEAP, -EOPNOTSUPP,
		"one touch brought 4096 bytes; hugepages-64kB/enabled is 'never' "
		"(run: sudo pg64 enable)");
	CHECK_EQ(result.touched_bytes, 4096);
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_SHARED, -EOPNOTSUPP,
		"hugepages-64kB/shmem_enabled is 'never' (run: sudo pg64 enable --shmem)");
	/* Only PMD-size pages: 2 MiB pages are not what this backend is for. */
	fake.pmd = true;
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_HEAP, -EOPNOTSUPP, "one touch brought 4096 bytes");
	CHECK_EQ(result.pmd_wins, 1);

	/* The knobs are as they should be: to set them again is no advice. */
	kernel(SYSFS("madvise-64k"));
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_HEAP, -EOPNOTSUPP,
		"though hugepages-64kB/enabled is 'madvise': PR_SET_THP_DISABLE is set");
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_SHARED, -EOPNOTSUPP,
		"though hugepages-64kB/shmem_enabled is 'advise'");
	kernel(SYSFS("small-sizes"));
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_HEAP, -EOPNOTSUPP,
		"though hugepages-64kB/enabled is 'inherit'");

	kernel(SYSFS("debian-6.1"));
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_HEAP, -EOPNOTSUPP,
		"no hugepages-64kB/enabled (Linux >= 6.8 has)");
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_SHARED, -EOPNOTSUPP, "(Linux >= 6.12 has)");
	kernel(TEST_DATA "/no-such-folder");
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_HEAP, -EOPNOTSUPP, "no hugepages-64kB/enabled");
}

static void mthp_works(void)
{
	kernel(SYSFS("madvise-64k"));
	fake.mthp = fake.shmem_mthp = true;
	for (int kind = 0; kind < PG64_MEM_KINDS; kind++) {
		EXPECT(PG64_BACKEND_MTHP, kind, 0, "brought 65536 bytes");
		CHECK_EQ(result.touched_bytes, 65536);
		CHECK_EQ(result.pmd_wins, 0);
	}
	fake.pmd = true;
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_ANON, 0,
		"65536 bytes (PMD-size pages are enabled too: "
		"fenced out)");
	CHECK_EQ(result.pmd_wins, 1);
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_SHARED, 0, "enabled for shared memory");
	CHECK_EQ(result.touched_bytes, pg64_pmd_bytes());
	/* The machine whose small folios make few faults of small pages is no 64 KiB machine. */
	kernel(SYSFS("small-sizes"));
	probe(PG64_BACKEND_MTHP, PG64_MEM_HEAP);
	CHECK(result.error != 0);
}

/* Neither ink holds: then nobody may say that they were fenced out. */
static void mthp_without_fences(void)
{
	kernel(SYSFS("madvise-64k"));
	fake.mthp = fake.pmd = true;
	fake.names = false;
	fake.refuse[MADV_RANDOM] = -EPERM;
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_HEAP, 0, "cannot be fenced out: error 1");
	CHECK_EQ(result.touched_bytes, pg64_pmd_bytes());
}

static void collapse(void)
{
	kernel(SYSFS("vm-6.18"));
	EXPECT(PG64_BACKEND_COLLAPSE, PG64_MEM_HEAP, 0,
		"one touch and MADV_COLLAPSE brought 2097152 bytes");
	CHECK_EQ(result.touched_bytes, pg64_pmd_bytes());
	EXPECT(PG64_BACKEND_COLLAPSE, PG64_MEM_ANON, -EOPNOTSUPP, "only of the heap");
	EXPECT(PG64_BACKEND_COLLAPSE, PG64_MEM_SHARED, -EOPNOTSUPP, "only of the heap");
	fake.collapse_lies = true;
	EXPECT(PG64_BACKEND_COLLAPSE, PG64_MEM_HEAP, -EOPNOTSUPP, "only 4096 bytes are there");
	fake.collapse_lies = false;
	fake.refuse[FAKE_COLLAPSE] = -EINVAL;
	EXPECT(PG64_BACKEND_COLLAPSE, PG64_MEM_HEAP, -EINVAL,
		"no MADV_COLLAPSE (Linux >= 6.1 has)");
	fake.refuse[FAKE_COLLAPSE] = -EPERM;
	EXPECT(PG64_BACKEND_COLLAPSE, PG64_MEM_HEAP, -EPERM, "refuses MADV_COLLAPSE: error 1");
	fake.refuse[FAKE_COLLAPSE] = 0;
	fake.space_limit = PG64_MIB;
	EXPECT(PG64_BACKEND_COLLAPSE, PG64_MEM_HEAP, -ENOMEM, "no scratch memory");
}

static void base(void)
{
	kernel(SYSFS("vm-6.18"));
	for (int kind = 0; kind < PG64_MEM_KINDS; kind++)
		EXPECT(PG64_BACKEND_BASE, kind, 0, "base pages of 4 KiB");
}

/* The witness is silent, or there is no memory for the experiment. */
static void failing_experiments(void)
{
	kernel(SYSFS("madvise-64k"));
	fake.mthp = fake.patched = true;
	fake.mincore_error = -ENOSYS;
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_HEAP, -ENOSYS, "mincore failed: error 38");
	EXPECT(PG64_BACKEND_PATCHED, PG64_MEM_HEAP, -ENOSYS, "error 38");
	EXPECT(PG64_BACKEND_COLLAPSE, PG64_MEM_HEAP, -ENOSYS, "error 38");
	EXPECT(PG64_BACKEND_UNKNOWN, PG64_MEM_HEAP, 0, "mthp: ");
	CHECK_EQ(result.backend, PG64_BACKEND_BASE);
	fake.mincore_error = 0;
	fake.space_limit = 4 * pg64_pmd_bytes() - 1;
	for (int kind = 0; kind < PG64_MEM_KINDS; kind++) {
		EXPECT(PG64_BACKEND_MTHP, kind, -ENOMEM,
			"no scratch memory for the probe: error 12");
		EXPECT(PG64_BACKEND_PATCHED, kind, -ENOMEM, "no scratch memory");
	}
	fake.space_limit = SIZE_MAX;
	fake.fixed_error = -ENOMEM;
	EXPECT(PG64_BACKEND_PATCHED, PG64_MEM_SHARED, -ENOMEM, "no scratch memory");
	fake.fixed_error = 0;
	fake.refuse[MADV_HUGEPAGE] = -EPERM;
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_HEAP, -EPERM, "refuses MADV_HUGEPAGE: error 1");
}

/* mlockall(MCL_FUTURE) makes memory present before anybody touches it: no witness. */
static void locked(void)
{
	kernel(SYSFS("vm-6.18"));
	fake.locked = true;
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_ANON, -EOPNOTSUPP, "brought 4096 bytes");
	fake.mthp = true;
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_ANON, 0, "brought 65536 bytes");
	fake.mthp = false;
	fake.refuse[FAKE_DONTNEED_LOCKED] = -EINVAL;
	EXPECT(PG64_BACKEND_MTHP, PG64_MEM_ANON, -EBUSY, "error 16");
	fake.patched = true;
	EXPECT(PG64_BACKEND_PATCHED, PG64_MEM_ANON, -EBUSY, "error 16");
}

static void winner(void)
{
	kernel(SYSFS("madvise-64k"));
	fake.mthp = true;
	EXPECT(PG64_BACKEND_UNKNOWN, PG64_MEM_ANON, 0, "brought 65536 bytes");
	CHECK_EQ(result.backend, PG64_BACKEND_MTHP);
	kernel(SYSFS("vm-6.18"));
	EXPECT(PG64_BACKEND_UNKNOWN, PG64_MEM_HEAP, 0, "MADV_COLLAPSE brought 2097152");
	CHECK_EQ(result.backend, PG64_BACKEND_COLLAPSE);
	EXPECT(PG64_BACKEND_UNKNOWN, PG64_MEM_ANON, 0, "hugepages-64kB/enabled is 'never'");
	CHECK_EQ(result.backend, PG64_BACKEND_BASE);
	/* Asking changes nothing. */
	CHECK_EQ(pg64_page_backend_known(PG64_MEM_ANON), PG64_BACKEND_UNKNOWN);
}

static void bad_arguments(void)
{
	struct pg64_probe p = {.size = sizeof(p)};

	kernel(SYSFS("vm-6.18"));
	CHECK_EQ(pg64_probe(PG64_BACKEND_MTHP, PG64_MEM_HEAP, NULL), -EINVAL);
	CHECK_EQ(pg64_probe(PG64_BACKENDS, PG64_MEM_HEAP, &p), -EINVAL);
	CHECK_EQ(pg64_probe((enum pg64_backend) - 1, PG64_MEM_HEAP, &p), -EINVAL);
	CHECK_EQ(pg64_probe(PG64_BACKEND_MTHP, PG64_MEM_KINDS, &p), -EINVAL);
	p.size = sizeof(p) - 1;
	CHECK_EQ(pg64_probe(PG64_BACKEND_MTHP, PG64_MEM_HEAP, &p), -EINVAL);
	CHECK_EQ(fake.mmaps, 0);
	CHECK_STR(pg64_backend_name(PG64_BACKEND_MTHP), "mthp");
	CHECK_STR(pg64_backend_name(PG64_BACKENDS), "?");
	CHECK_STR(pg64_backend_name((enum pg64_backend) - 1), "?");
	CHECK_STR(pg64_mem_name(PG64_MEM_SHARED), "shared");
	CHECK_STR(pg64_mem_name(PG64_MEM_KINDS), "?");
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {CASE(patched), CASE(mthp_says_why_not),
		CASE(mthp_works), CASE(mthp_without_fences), CASE(collapse), CASE(base),
		CASE(failing_experiments), CASE(locked), CASE(winner), CASE(bad_arguments)};

	return RUN_CASES(cases, argc, argv);
}
