/* SPDX-License-Identifier: MIT */
/*
 * The configuration: each option, each mistake and its exact line, policy files, the environment,
 * and what a set-id process takes of them.
 */
#include <errno.h>

#include "base/counters.h"
#include "config/table.h"
#include "test.h"

static char conf_path[64];
static char second_path[80]; /* conf_path and "-2" */

static void write_file(const char *path, const char *text, size_t len)
{
	FILE *file = fopen(path, "w");

	REQUIRE(file);
	REQUIRE(fwrite(text, 1, len, file) == len);
	REQUIRE(fclose(file) == 0);
}

/**
 * Load from a policy file with @conf in it and from @env (NULL: empty), as @exe. What was logged,
 * with the paths of the files taken out, is compared with @lines.
 */
static struct pg64_config load(const char *conf, char *const *env, const char *exe, bool secure,
	const char *lines, int line)
{
	static char *const nothing[] = {NULL};
	static char text[8192];
	struct pg64_config config;
	struct pg64_config_source source = {
		.conf_path = conf_path,
		.env = env ? env : nothing,
		.exe = exe,
		.secure = secure,
	};
	size_t len = strlen(conf_path);
	int fd = test_log_start();

	write_file(conf_path, conf, strlen(conf));
	pg64_config_load_from(&config, &source);
	test_log_end(fd, text, sizeof(text));
	for (char *path = text; (path = strstr(path, conf_path));)
		memmove(path, path + len, strlen(path + len) + 1);
	test_judge(
		strcmp(text, lines) == 0, __FILE__, line, "logged \"%s\", not \"%s\"", text, lines);
	return config;
}

#define LOAD(conf, env, exe, lines) load(conf, env, exe, false, lines, __LINE__)
#define ENV(...) ((char *const *)(const char *const[]){__VA_ARGS__, NULL})

static const char *printed(const struct pg64_config *config, const char *name)
{
	static char text[256];
	int index = pg64_config_find(name);

	REQUIRE(index >= 0);
	CHECK_EQ(pg64_config_print(config, (unsigned int)index, text, sizeof(text)), strlen(text));
	return text;
}

static void test_defaults(void)
{
	struct pg64_config config;
	struct pg64_option option = {.size = sizeof(option)};
	char message[256];
	char wanted[256];
	unsigned int i;

	pg64_config_defaults(&config);
	CHECK(config.enable && config.malloc && config.mmap && !config.denied);
	CHECK_EQ(config.backend, PG64_BACKEND_UNKNOWN);
	CHECK_EQ(config.mmap_min, 65536);
	CHECK_EQ(config.arena_size, 1 << 30);
	CHECK_STR(config.stats, "");
	/* The default as text is the default, and is allowed. */
	for (i = 0; pg64_option_get(i, &option) == 0; i++) {
		CHECK_STR(config.origin[i], "default");
		snprintf(wanted, sizeof(wanted), "%s = %s", option.name, option.fallback);
		CHECK_STR(printed(&config, option.name), wanted);
		CHECK_EQ(pg64_option_check(option.name, option.fallback, message, sizeof(message)),
			0);
		CHECK(*option.help && *message == '\0');
	}
	CHECK_EQ(i, pg64_config_count());
	CHECK_EQ(pg64_option_get(i, &option), -ENOENT);
	CHECK_EQ(pg64_config_print(&config, i, wanted, sizeof(wanted)), -ENOENT);
	option.size = 4;
	CHECK_EQ(pg64_option_get(0, &option), -EINVAL);
	CHECK_EQ(pg64_option_get(0, NULL), -EINVAL);
}

static void test_values(void)
{
	static const struct {
		const char *name;
		const char *value;
		const char *printed; /* NULL: as given */
	} good[] = {
		{"enable", "0", NULL},
		{"enable", "1", NULL},
		{"backend", "auto", NULL},
		{"backend", "patched", NULL},
		{"backend", "mthp", NULL},
		{"backend", "collapse", NULL},
		{"backend", "base", NULL},
		{"malloc", "0", NULL},
		{"mmap", "0", NULL},
		{"mmap_min", "64K", NULL},
		{"mmap_min", "1T", NULL},
		{"mmap_min", "65537", NULL},
		{"mmap_min", "1024K", "1M"},
		{"heap_min", "0", NULL},
		{"collapse_min", "3G", NULL},
		{"arena_size", "32M", NULL},
		{"purge_delay_ms", "0", NULL},
		{"purge_delay_ms", "3600000", NULL},
		{"pmd", "off", NULL},
		{"pmd", "auto", NULL},
		{"pmd", "allow", NULL},
		{"pmd_min", "1G", NULL},
		{"verbose", "2", NULL},
		{"stats", "", NULL},
		{"stats", "stderr", NULL},
		{"stats", "fd:7", NULL},
		{"stats", "/tmp/a b.%p", NULL},
		{"stats_format", "text", NULL},
		{"stats_format", "json", NULL},
		{"stats_format", "openmetrics", NULL},
	};
	struct pg64_config config;
	char message[256];
	char wanted[256];

	pg64_config_defaults(&config);
	for (size_t i = 0; i < PG64_ARRAY_LEN(good); i++) {
		CHECK_EQ(pg64_config_set(
				 &config, good[i].name, good[i].value, message, sizeof(message)),
			0);
		snprintf(wanted, sizeof(wanted), "%s = %s", good[i].name,
			good[i].printed ? good[i].printed : good[i].value);
		CHECK_STR(printed(&config, good[i].name), wanted);
	}
	CHECK_EQ(config.backend, PG64_BACKEND_BASE);
	CHECK_EQ(config.pmd, PG64_PMD_ALLOW);
	CHECK_EQ(config.stats_format, PG64_FORMAT_OPENMETRICS);
	CHECK_EQ(config.purge_delay_ms, 3600000);
	CHECK_EQ(config.arena_size, 32 << 20);
}

static void test_mistakes(void)
{
	static const struct {
		const char *name;
		const char *value;
		const char *message;
	} bad[] = {
		{"enable", "yes", "enable: \"yes\" is not allowed; give 0|1"},
		{"enable", "", "enable: \"\" is not allowed; give 0|1"},
		{"enable", "0|1", "enable: \"0|1\" is not allowed; give 0|1"},
		{"backend", "mth",
			"backend: \"mth\" is not allowed; give auto|patched|mthp|collapse|base"},
		{"backend", "AUTO",
			"backend: \"AUTO\" is not allowed; give auto|patched|mthp|collapse|base"},
		{"mmap_min", "32K",
			"mmap_min: \"32K\" is not allowed; give 64K to 1T, with K, M, G or T"},
		{"mmap_min", "64 K",
			"mmap_min: \"64 K\" is not allowed; give 64K to 1T, with K, M, G or T"},
		{"mmap_min", "99999999999999999999",
			"mmap_min: \"99999999999999999999\" is not allowed; give 64K to 1T, with "
			"K, M, G or T"},
		{"arena_size", "2T", "arena_size: \"2T\" is not allowed; give 32M to 1T"},
		{"purge_delay_ms", "3600001",
			"purge_delay_ms: \"3600001\" is not allowed; give 0 to 3600000"},
		{"purge_delay_ms", "1K",
			"purge_delay_ms: \"1K\" is not allowed; give 0 to 3600000"},
		{"verbose", "-1", "verbose: \"-1\" is not allowed; give 0 to 2"},
		{"stats", "fd:",
			"stats: \"fd:\" is not allowed; give a path (%p: the process "
			"id), fd:N, stderr"},
		{"stats", "fd:99999999999",
			"stats: \"fd:99999999999\" is not allowed; give a path "
			"(%p: the process id), fd:N, stderr"},
		{"malock", "1", "malock: no such option; did you mean malloc?"},
		{"mmapmin", "1", "mmapmin: no such option; did you mean mmap_min?"},
		{"colour", "1", "colour: no such option; pg64(7) lists them"},
		{"", "1", ": no such option; pg64(7) lists them"},
		{"Enable", "1", "Enable: no such option; did you mean enable?"},
	};
	char message[256];
	char small[12];

	for (size_t i = 0; i < PG64_ARRAY_LEN(bad); i++) {
		CHECK_EQ(pg64_option_check(bad[i].name, bad[i].value, message, sizeof(message)),
			-EINVAL);
		CHECK_STR(message, bad[i].message);
	}
	CHECK_EQ(pg64_option_check("enable", "2", small, sizeof(small)), -EINVAL);
	CHECK_STR(small, "enable: \"2\"");
	CHECK_EQ(pg64_option_check("enable", "2", NULL, 5), -EINVAL);
	CHECK_EQ(pg64_option_check(NULL, "2", message, sizeof(message)), -EINVAL);
	CHECK_EQ(pg64_option_check("enable", NULL, message, sizeof(message)), -EINVAL);
}

static void test_environment(void)
{
	uint64_t bad = pg64_counted(PG64_C_bad_option);
	char stats[] = "PG64_STATS=/tmp/x.%p";
	struct pg64_config config = LOAD("",
		ENV("PATH=/bin", "PG64_BACKEND=mthp", "PG64_MMAP_MIN=1M", stats,
			"PG64_CONFIG=", "PG64_BROKEN"),
		NULL, "");

	CHECK_EQ(config.backend, PG64_BACKEND_MTHP);
	CHECK_EQ(config.mmap_min, 1 << 20);
	CHECK_STR(config.origin[pg64_config_find("backend")], "environment");
	CHECK_STR(config.origin[pg64_config_find("malloc")], "default");
	/* Programs write over their environment to set their title. */
	memset(stats, 'x', sizeof(stats) - 1);
	CHECK_STR(config.stats, "/tmp/x.%p");
	CHECK_EQ(pg64_counted(PG64_C_bad_option), bad);

	config = LOAD("",
		ENV("PG64_MMAP_MIN=12", "PG64_ENABLE=no", "PG64_MALOC=1", "PG64_Enable=1",
			"PG64_COLOUR=blue", "PG64_=1"),
		NULL,
		"pg64: PG64_MMAP_MIN: \"12\" is not allowed; give 64K to 1T, with K, M, G or T; "
		"running with mmap_min = 64K\n"
		"pg64: PG64_ENABLE: \"no\" is not allowed; give 0|1; running with enable = 1\n"
		"pg64: PG64_MALOC: no such option; did you mean PG64_MALLOC?\n"
		"pg64: PG64_Enable: no such option; did you mean PG64_ENABLE?\n"
		"pg64: PG64_COLOUR: no such option; pg64(7) lists them\n"
		"pg64: PG64_: no such option; pg64(7) lists them\n");
	CHECK(config.enable);
	CHECK_EQ(pg64_counted(PG64_C_bad_option), bad + 6);
}

static void test_sections(void)
{
	static const char conf[] = "# a comment\n"
				   "heap_min = 1M   # for everybody\n"
				   "[*]\n"
				   "  backend=mthp\r\n"
				   "[postgres]\n"
				   "pmd = allow\n"
				   "[/usr/bin/p?stgr*]\n"
				   "\tmmap_min\t=\t2M\t\n"
				   "[ /opt/*/bin/* ]\n"
				   "stats = /tmp/no#comment #a comment\n"
				   "[other]\n"
				   "this is not looked at\n"
				   "[*]\n"
				   "heap_min = 4M";
	struct pg64_config config = LOAD(conf, NULL, "/usr/bin/postgres", "");

	CHECK_EQ(config.heap_min, 4 << 20);
	CHECK_EQ(config.backend, PG64_BACKEND_MTHP);
	CHECK_EQ(config.pmd, PG64_PMD_ALLOW);
	CHECK_EQ(config.mmap_min, 2 << 20);
	CHECK_STR(config.stats, "");
	CHECK_STR(config.origin[pg64_config_find("pmd")], conf_path);

	config = LOAD(conf, NULL, "/opt/x/y/bin/postgresql", "");
	CHECK_EQ(config.pmd, PG64_PMD_OFF);
	CHECK_EQ(config.mmap_min, 65536);
	CHECK_STR(config.stats, "/tmp/no#comment");

	/* The environment comes last; NULL asks the kernel who this is. */
	config = LOAD("[test_config*]\nverbose = 2\npmd = allow\n", ENV("PG64_PMD=off"), NULL, "");
	CHECK_EQ(config.verbose, 2);
	CHECK_EQ(config.pmd, PG64_PMD_OFF);
}

static void test_file_mistakes(void)
{
	struct pg64_config config = LOAD("nonsense\n"
					 "mmap_min = 1\n"
					 "malock = 0\n"
					 "colour = blue\n"
					 "= 1\n"
					 "[\n"
					 "backend = base\n"
					 "[]\n"
					 "backend = base\n"
					 "[*] # fine\n"
					 "backend =\n",
		NULL, "/bin/x",
		"pg64: :1: nonsense: not understood; give name = value, deny, allow or [PROGRAM]\n"
		"pg64: :2: mmap_min: \"1\" is not allowed; give 64K to 1T, with K, M, G or T\n"
		"pg64: :3: malock: no such option; did you mean malloc?\n"
		"pg64: :4: colour: no such option; pg64(7) lists them\n"
		"pg64: :5: no such option; pg64(7) lists them\n"
		"pg64: :6: [: a section starts with [PROGRAM]\n"
		"pg64: :8: []: a section starts with [PROGRAM]\n"
		"pg64: :11: backend: \"\" is not allowed; give auto|patched|mthp|collapse|base\n");

	CHECK_EQ(config.backend, PG64_BACKEND_UNKNOWN);
}

static void test_large_files(void)
{
	struct pg64_config config;
	static char large[80000];
	char line[700];

	/* A line that fits just so, one that does not, and one after it. */
	memset(line, ' ', sizeof(line));
	memcpy(line, "verbose = 1", 11);
	line[511] = '\n';
	memcpy(line + 512, "malloc=0\n", 10);
	config = LOAD(line, NULL, "/bin/x", "");
	CHECK_EQ(config.verbose, 1);
	CHECK(!config.malloc);
	memset(line, ' ', sizeof(line));
	memcpy(line, "verbose = 1", 11);
	line[512] = '\n';
	memcpy(line + 513, "malloc=0\n", 10);
	config = LOAD(
		line, NULL, "/bin/x", "pg64: :1: longer than 511 bytes; the line is ignored\n");
	CHECK_EQ(config.verbose, 0);
	CHECK(!config.malloc);

	/* One option at each end of 64 KiB. */
	for (size_t i = 0; i < sizeof(large); i += 16)
		memcpy(large + i, "# fifteen chars\n", 16);
	memcpy(large + 65536 - 16, "verbose = 1    \n", 16);
	memcpy(large + 65536, "malloc = 0     \n", 16);
	large[sizeof(large) - 1] = '\0';
	config = LOAD(
		large, NULL, "/bin/x", "pg64: :4097: longer than 64 KiB; the rest is ignored\n");
	CHECK_EQ(config.verbose, 1);
	CHECK(config.malloc);
}

static void test_deny(void)
{
	struct pg64_config config;

	config = LOAD("[bad]\ndeny\n", ENV("PG64_ENABLE=1"), "/bin/bad", "");
	CHECK(config.denied && !config.enable);
	CHECK_STR(config.origin[pg64_config_find("enable")], conf_path);
	config = LOAD("[bad]\ndeny\n", NULL, "/bin/good", "");
	CHECK(!config.denied && config.enable);
	config = LOAD("deny\n[good]\nallow\n", NULL, "/bin/good", "");
	CHECK(!config.denied && config.enable);
	config = LOAD("deny\n[good]\nallow\n", NULL, "/bin/bad", "");
	CHECK(config.denied && !config.enable);
	/* enable = 0 is a default that a user may change; deny is not. */
	config = LOAD("enable = 0\n", ENV("PG64_ENABLE=1"), "/bin/x", "");
	CHECK(!config.denied && config.enable);
	config = LOAD("deny\nenable = 1\n", NULL, "/bin/x", "");
	CHECK(config.denied && !config.enable);
}

static void test_second_file(void)
{
	struct pg64_config config;
	char variable[128];

	snprintf(variable, sizeof(variable), "PG64_CONFIG=%s", second_path);
	write_file(second_path, "verbose = 2\nallow\n", 18);
	config = LOAD("deny\nverbose = 1\n", ENV(variable), "/bin/x", "");
	CHECK(config.denied && !config.enable);
	CHECK_EQ(config.verbose, 2);
	CHECK_STR(config.origin[pg64_config_find("verbose")], second_path);
	write_file(second_path, "deny\n", 5);
	config = LOAD("", ENV(variable, "PG64_ENABLE=1"), "/bin/x", "");
	CHECK(config.denied && !config.enable);

	config = load("verbose = 1\n", ENV(variable, "PG64_BACKEND=base", "PG64_NONSENSE=1"),
		"/bin/x", true, "", __LINE__);
	CHECK(!config.denied && config.enable);
	CHECK_EQ(config.verbose, 1);
	CHECK_EQ(config.backend, PG64_BACKEND_UNKNOWN);

	unlink(second_path);
	LOAD("", ENV(variable), "/bin/x",
		"pg64: -2: cannot be read (error 2); running without it\n");
}

static void test_no_file(void)
{
	struct pg64_config config;
	char text[256];
	int fd = test_log_start();

	pg64_config_load(&config, "/nonexistent/pg64.conf");
	pg64_config_load(&config, "/dev/null/pg64.conf");
	CHECK_STR(test_log_end(fd, text, sizeof(text)), "");
	CHECK(config.enable);
	fd = test_log_start();
	pg64_config_load(&config, "/proc");
	CHECK_STR(test_log_end(fd, text, sizeof(text)),
		"pg64: /proc:1: cannot be read from here on\n");
}

static void test_glob(void)
{
	static const struct {
		const char *pattern;
		const char *text;
		bool match;
	} cases[] = {
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "abc", true},
		{"a", "a", true},
		{"a", "ab", false},
		{"a*", "ab", true},
		{"*b", "ab", true},
		{"*b", "abc", false},
		{"a*c", "abbbc", true},
		{"?", "", false},
		{"?", "x", true},
		{"??", "x", false},
		{"*ab*ab", "aabab", true},
		{"*ab*ab", "abab", true},
		{"*ab*ab", "aab", false},
		{"a**b", "ab", true},
		{"*.*", "ab", false},
		{"[a]", "a", false},
		{"[a]", "[a]", true},
		{"/usr/*/x", "/usr/a/b/x", true},
	};

	for (size_t i = 0; i < PG64_ARRAY_LEN(cases); i++)
		test_judge(pg64_glob(cases[i].pattern, cases[i].text) == cases[i].match, __FILE__,
			__LINE__, "glob \"%s\" \"%s\"", cases[i].pattern, cases[i].text);
}

int main(void)
{
	const char *folder = getenv("TMPDIR");

	snprintf(conf_path, sizeof(conf_path), "%.40s/pg64-conf-%d", folder ? folder : "/tmp",
		(int)getpid());
	snprintf(second_path, sizeof(second_path), "%s-2", conf_path);
	test_defaults();
	test_values();
	test_mistakes();
	test_environment();
	test_sections();
	test_file_mistakes();
	test_large_files();
	test_deny();
	test_second_file();
	test_no_file();
	test_glob();
	unlink(conf_path);
	return test_result();
}
