/* SPDX-License-Identifier: MIT */
/*
 * Symbol look-up against dlsym(): in the C library, and in a library of ours that has only the old
 * hash table and two versions of one function.
 */
#include <dlfcn.h>

#include "base/elfsym.h"
#include "elfsym_lib.h"
#include "test.h"

static void test_libc(void)
{
	/* Old and new versions of some are in the library; dlsym() gives the default one. */
	static const char *const names[] = {"memalign", "qsort", "fopen", "strtol", "fork",
		"posix_spawn", "realpath", "mmap", "pthread_create", "pthread_cond_wait",
		"sched_setaffinity", "__libc_malloc", "glob"};
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);

	REQUIRE(libc);
	for (size_t i = 0; i < PG64_ARRAY_LEN(names); i++) {
		void *wanted = dlsym(libc, names[i]);
		void *got = pg64_elf_symbol("libc.so.", names[i]);

		test_judge(
			got == wanted, __FILE__, __LINE__, "%s: %p, not %p", names[i], got, wanted);
	}
	dlclose(libc);
	CHECK(pg64_elf_symbol("libc.so.", "no_such_function") == NULL);
	CHECK(pg64_elf_symbol("libc.so.", "") == NULL);
	CHECK(pg64_elf_symbol("no-such-object.so.", "memalign") == NULL);
	/* Data is no function, and what the dynamic linker picks (IFUNC) is not ours to call. */
	CHECK(pg64_elf_symbol("libc.so.", "environ") == NULL);
	CHECK(pg64_elf_symbol("libc.so.", "stdout") == NULL);
}

static void test_old_hash(void)
{
	int (*answer)(void);

	CHECK_EQ(elfsym_answer(), 2);
	*(void **)&answer = pg64_elf_symbol("libelfsym-", "elfsym_answer");
	REQUIRE(answer);
	CHECK_EQ(answer(), 2);
	CHECK(pg64_elf_symbol("libelfsym-", "elfsym_other") == (void *)elfsym_other);
	/* Imported there, not defined. */
	CHECK(pg64_elf_symbol("libelfsym-", "getppid") == NULL);
	CHECK(pg64_elf_symbol("libelfsym-", "elfsym_answer_old") == NULL);
}

/** The one object whose dynamic section nobody relocates. */
static void test_vdso(void)
{
#if defined(__x86_64__)
	const char *name = "__vdso_getcpu";
#else
	const char *name = "__kernel_clock_getres";
#endif
	void *vdso = dlopen("linux-vdso.so.1", RTLD_NOW | RTLD_NOLOAD);

	if (!vdso)
		return;
	CHECK(pg64_elf_symbol("linux-vdso.", name) == dlsym(vdso, name));
	dlclose(vdso);
}

int main(void)
{
	test_libc();
	test_old_hash();
	test_vdso();
	return test_result();
}
