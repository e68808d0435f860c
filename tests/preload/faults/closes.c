/* SPDX-License-Identifier: MIT */
/*
 * closes FIRST LAST [FILE]: closes these descriptors, as daemons do, opens FILE in their place,
 * and ends with status 7. What is in FILE then is "mine" alone.
 */
#include <fcntl.h>
#include <unistd.h>

#include "check.h"

int main(int argc, char **argv)
{
	void *kept = malloc(1000);

	CHECK(kept && argc > 2);
	hide(kept);
	for (int fd = atoi(argv[1]); fd <= atoi(argv[2]); fd++)
		close(fd);
	if (argc > 3) {
		int fd = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC, 0600);

		for (int i = 0; i < 8; i++) /*
 * each low number
 */
			if (dup(fd) < 0)
				return 1;
		if (write(fd, "mine", 4) != 4)
			return 1;
	}
	free(kept);
	return 7;
}
