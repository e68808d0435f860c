/* SPDX-License-Identifier: MIT */
/*
 * Helpers of the page and arena tests: each case runs in a process of its own, since the layers
 * under test keep their state in static variables; and random numbers that are the same each time.
 */
#ifndef PG64_LAYERS_H
#define PG64_LAYERS_H

#include <sys/wait.h>

#include "../test.h"

struct test_case {
	const char *name;
	void (*run)(void);
};

#define CASE(name)                                                                                 \
	{                                                                                          \
#name, name                                                                        \
	}

static inline bool test_case_holds(const struct test_case *c)
{
	int status = 1;

	fflush(NULL);
	pid_t pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		test_failures = 0;
		c->run();
		fflush(NULL);
		_exit(test_failures ? 1 : 0);
	}
	while (waitpid(pid, &status, 0) < 0)
		;
	if (WIFSIGNALED(status))
		fprintf(stderr, "%s: ended by signal %d\n", c->name, WTERMSIG(status));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/** Run all cases, or the one that is named on the command line. Exit status of main(). */
static inline int test_cases(const struct test_case *cases, size_t count, int argc, char **argv)
{
	for (size_t i = 0; i < count; i++) {
		if (argc > 1 && strcmp(argv[1], cases[i].name) != 0)
			continue;
		test_judge(test_case_holds(&cases[i]), __FILE__, __LINE__, "case %s failed",
			cases[i].name);
	}
	return test_result();
}

#define RUN_CASES(cases, argc, argv)                                                               \
	test_cases(cases, sizeof(cases) / sizeof((cases)[0]), argc, argv)

static inline uint64_t test_random(void)
{
	static uint64_t x = 0x9e3779b97f4a7c15;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static inline size_t test_below(size_t limit)
{
	return (size_t)(test_random() % limit);
}

#endif /* PG64_LAYERS_H */
