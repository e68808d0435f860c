/* SPDX-License-Identifier: MIT */
/*
 * Writes its statistics as a process does when it ends; check_document.py reads them.
 *
 * usage: stats_document SINK FORMAT [fork | closed | reused]
 */
#include <fcntl.h>
#include <sys/wait.h>

#include "base/counters.h"
#include "stats/stats.h"
#include "test.h"

int main(int argc, char **argv)
{
	struct pg64_config config;
	char message[256];
	const char *mode = argc > 3 ? argv[3] : "";

	REQUIRE(argc >= 3);
	pg64_config_defaults(&config);
	REQUIRE(pg64_config_set(&config, "stats", argv[1], message, sizeof(message)) == 0);
	REQUIRE(pg64_config_set(&config, "stats_format", argv[2], message, sizeof(message)) == 0);
	pg64_live.active = 3;
	pg64_count_add(PG64_C_skip_file, 5);
	pg64_stats_setup(&config);

	if (strcmp(mode, "closed") == 0)
		close(2);
	if (strcmp(mode, "reused") == 0) {
		/* As a daemon does it: close everything, then open files of its own. */
		for (int fd = 3; fd < 200; fd++)
			close(fd);
		for (int i = 0; i < 150; i++)
			REQUIRE(open("/dev/zero", O_RDONLY) >= 0);
	}
	if (strcmp(mode, "fork") == 0) {
		pid_t child = fork();

		if (child == 0) {
			pg64_stats_after_fork();
			pg64_stats_write(&config);
			_exit(0);
		}
		REQUIRE(child > 0);
		waitpid(child, NULL, 0);
	}
	pg64_stats_write(&config);
	return 0;
}
