/* SPDX-License-Identifier: MIT */
/*
 * The start-up block, read before any constructor and in main(). Built a second time as a static
 * program, where the block is found in another way. Runs itself with a known environment.
 */
#include <elf.h>
#include <sys/auxv.h>

#include "base/args.h"
#include "test.h"

/* What the first constructor saw, before the C library's own had run. */
static unsigned long early_page;
static char early_value[16];

static void __attribute__((constructor(101))) early(void)
{
	const char *value = pg64_env("TEST_ARGS");

	early_page = pg64_auxval(AT_PAGESZ, 0);
	if (value)
		pg64_snprintf(early_value, sizeof(early_value), "%s", value);
}

static void test_block(int argc, char **argv)
{
	unsigned int count = 0;

	CHECK_EQ(early_page, sysconf(_SC_PAGESIZE));
	CHECK_STR(early_value, "yes=no");
	CHECK_STR(pg64_env("TEST_ARGS"), "yes=no");
	CHECK_STR(pg64_env("TEST_EMPTY"), "");
	CHECK(pg64_env("TEST") == NULL);
	CHECK(pg64_env("TEST_ARGS_") == NULL);
	for (char *const *entry = pg64_env_all(); *entry; entry++)
		count++;
	CHECK_EQ(count, 2);
	CHECK(pg64_env_all() == (char *const *)argv + argc + 1);

	/* The block is that of exec. */
	setenv("TEST_LATER", "1", 1);
	setenv("TEST_ARGS", "other", 1);
	CHECK(pg64_env("TEST_LATER") == NULL);
	CHECK_STR(pg64_env("TEST_ARGS"), "yes=no");
}

static void test_auxv(void)
{
	static const unsigned long types[] = {AT_PAGESZ, AT_PHDR, AT_ENTRY, AT_UID, AT_CLKTCK};

	for (size_t i = 0; i < PG64_ARRAY_LEN(types); i++)
		CHECK_EQ(pg64_auxval(types[i], 12345), getauxval(types[i]));
	CHECK_EQ(pg64_auxval(999, 12345), 12345);
	CHECK_EQ(pg64_secure(), getauxval(AT_SECURE) != 0);
	CHECK_EQ(pg64_page_bytes(), sysconf(_SC_PAGESIZE));
	CHECK_EQ(pg64_pmd_bytes(), pg64_page_bytes() / 8 * pg64_page_bytes());
}

int main(int argc, char **argv)
{
	const char *const environment[] = {"TEST_ARGS=yes=no", "TEST_EMPTY=", NULL};

	if (argc < 2) {
		execle("/proc/self/exe", argv[0], "again", "", NULL, environment);
		return test_skip("cannot run itself without /proc");
	}
	test_block(argc, argv);
	test_auxv();
	return test_result();
}
