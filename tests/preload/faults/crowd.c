/* SPDX-License-Identifier: MIT */
/* crowd N: N children at once, every second of which executes this program anew with N = 0. */
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static int child(int i, char *self)
{
	void *p = malloc(1000 * (size_t)i + 1);

	CHECK(p);
	hide(p);
	free(p);
	if (i % 2) {
		execl(self, self, "0", (char *)NULL);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 0;
	int status;

	for (int i = 0; i < count; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid == 0)
			exit(child(i, argv[0]));
	}
	for (int i = 0; i < count; i++)
		CHECK(wait(&status) > 0 && status == 0);
	return 0;
}
