/* SPDX-License-Identifier: MIT */
/*
 * Does nothing wrong and leaves nothing allocated, blocks of the C library's included; with an
 * argument it reads a byte past a block.
 */
#include <pthread.h>

#include "check.h"

static void *work(void *arg)
{
	char *p = malloc(3000);

	CHECK(p);
	memset(p, 1, 3000);
	CHECK(p = realloc(p, 30000));
	free(p);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	char *p = malloc(10);
	char *copy = strdup(argv[0]);
	char *root = realpath("/", NULL);

	CHECK(p && copy && root && pthread_create(&thread, NULL, work, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	memset(p, 1, 10);
	hide(p);
	if (argc > 1)
		printf("past %d\n", p[10] == p[0]);
	free(copy);
	free(root);
	free(p);
	printf("done\n");
	return 0;
}
